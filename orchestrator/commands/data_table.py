"""The split of a data set as a table for people."""

from __future__ import annotations

from io import StringIO

import numpy as np
from rich.console import Console
from rich.table import Table

from fedchunk.orchestrator.learning.data.held import Held

MOST_CLIENTS = 24
"""Up to so many, each client has a row; of more those with the fewest, the middle and the most samples are shown."""
MOST_LABELS = 12
"""Up to so many, each label has a column."""
WIDE = 1000
"""Columns of text: a table is never folded, since what reads it may be a file."""


def split_text(held: Held) -> str:
    """What there is, and who holds it."""
    clients, labels = held.counts_NC.shape
    shape = " x ".join(map(str, held.input_shape))
    lines = [
        f"{held.name}: {held.train_counts_C.sum():,} training and {held.test_counts_C.sum():,} test samples of {shape}"
        f", {labels} labels",
        f"{held.kind}: {clients:,} clients, {_sizes(held)}; each holds {_label_share(held)} of the labels on average",
    ]
    if held.unheld:
        lines.append(f"{held.unheld:,} training samples are held by nobody")
    return "\n".join([*lines, f"digest {held.digest}", "", _drawn(_table(held))])


def _sizes(held: Held) -> str:
    low, high = held.sizes_N.min(), held.sizes_N.max()
    return f"{low:,} samples each" if low == high else f"{low:,} to {high:,} samples"


def _label_share(held: Held) -> str:
    return f"{100 * (held.counts_NC > 0).mean():.0f} %"


def _table(held: Held) -> Table:
    by_label = held.counts_NC.shape[1] <= MOST_LABELS
    table = Table(box=None, pad_edge=False)
    table.add_column("client", no_wrap=True)
    for name in [*(["name"] if held.own_names else []), "samples", "labels", *_headings(held, by_label)]:
        table.add_column(name, justify="left" if name == "name" else "right", no_wrap=True)
    for title, client in _shown(held):
        own = [held.own_names[client]] if held.own_names else []
        table.add_row(title, *own, *_cells(held.counts_NC[client], by_label))
    blank = [""] if held.own_names else []
    table.add_row("all clients", *blank, *_cells(held.counts_NC.sum(axis=0), by_label))
    if held.unheld:
        table.add_row("nobody", *blank, *_cells(held.train_counts_C - held.counts_NC.sum(axis=0), by_label))
    table.add_row("test", *blank, *_cells(held.test_counts_C, by_label))
    return table


def _headings(held: Held, by_label: bool) -> list[str]:
    return [f"of {label}" for label in range(held.counts_NC.shape[1])] if by_label else ["most of", "share of it"]


def _shown(held: Held) -> list[tuple[str, int]]:
    """Rows, as a title and a client."""
    clients = len(held.counts_NC)
    if clients <= MOST_CLIENTS:
        return [(str(client), client) for client in range(clients)]
    order = np.argsort(held.sizes_N, kind="stable")
    places = (("smallest", 0), ("median", (clients - 1) // 2), ("largest", clients - 1))
    return [(f"{title}, {order[place]}", int(order[place])) for title, place in places]


def _cells(counts_C: np.ndarray, by_label: bool) -> list[str]:
    first = [f"{counts_C.sum():,}", str(int((counts_C > 0).sum()))]
    if by_label:
        return [*first, *(f"{count:,}" if count else "-" for count in counts_C)]
    return [*first, str(int(counts_C.argmax())), f"{100 * counts_C.max() / max(1, counts_C.sum()):.1f} %"]


def _drawn(table: Table) -> str:
    text = StringIO()
    Console(file=text, width=WIDE, color_system=None, highlight=False, markup=False).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
