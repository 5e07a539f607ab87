"""The split of a data set as a table for people."""

from __future__ import annotations

from io import StringIO

import numpy as np
from rich.console import Console
from rich.table import Table

from fedchunk.orchestrator.learning.data.held import Held
from fedchunk.orchestrator.learning.data.held_targets import QUANTILES, Row

MOST_CLIENTS = 24
"""Up to so many, each client has a row; of more those with the fewest, the middle and the most samples are shown."""
MOST_LABELS = 12
"""Up to so many, each label, or each number of a sample, has a column."""
WIDE = 1000
"""Columns of text: a table is never folded, since what reads it may be a file."""
NAMES = {0: "least", 50: "median", 100: "most"}
"""How quantiles are called; others by their percentage."""


def split_text(held: Held) -> str:
    """What there is, and who holds it."""
    clients = len(held.clients)
    shape = " x ".join(map(str, held.input_shape))
    lines = [
        f"{held.name}: {held.train.samples:,} training and {held.test.samples:,} test samples of {shape}"
        f", {_targets(held)}",
        f"{held.kind}: {clients:,} clients, {_sizes(held)}{_label_share(held)}",
    ]
    if held.kept:
        lines.append(f"{held.kept.samples:,} more are kept to measure the clients' own models on")
    if held.nobody:
        lines.append(f"{held.nobody.samples:,} training samples are held by nobody")
    return "\n".join([*lines, f"digest {held.digest}", "", _drawn(_table(held))])


def _targets(held: Held) -> str:
    if held.targets.what != "numbers":
        return f"{held.targets.num_classes:,} {held.targets.what}"
    width = len(held.train.figures)
    return "a number each" if width == 1 else f"{width} numbers each"


def _sizes(held: Held) -> str:
    low, high = held.sizes_N.min(), held.sizes_N.max()
    return f"{low:,} samples each" if low == high else f"{low:,} to {high:,} samples"


def _label_share(held: Held) -> str:
    if held.targets.what == "numbers":
        return ""
    return f"; each holds {100 * (held.figures_N > 0).mean():.0f} % of the {held.targets.what} on average"


def _table(held: Held) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("client", no_wrap=True)
    named, keeps = bool(held.own_names), held.kept is not None
    for name in [*["name"] * named, "samples", *["own test"] * keeps, *_headings(held)]:
        table.add_column(name, justify="left" if name == "name" else "right", no_wrap=True)

    def add(title: str, row: Row, name: str = "", kept: str = "") -> None:
        table.add_row(title, *[name] * named, f"{row.samples:,}", *[kept] * keeps, *_cells(held, row))

    for title, client in _shown(held):
        add(title, held.clients[client], held.own_names[client] if named else "", f"{held.kept_N[client]:,}")
    add("all clients", held.all_clients, kept=f"{held.kept_N.sum():,}")
    if held.kept:
        add("own test", held.kept)
    if held.nobody:
        add("nobody", held.nobody)
    add("test", held.test)
    return table


def _headings(held: Held) -> list[str]:
    if held.targets.what == "numbers":
        width = len(held.train.figures)
        if width == 1:
            return [NAMES.get(percent, f"{percent} %") for percent in QUANTILES]
        return [f"median of {place}" for place in range(width)] if width <= MOST_LABELS else []
    labels = [f"of {label}" for label in range(held.targets.num_classes)]
    return [held.targets.what, *(labels if _by_label(held) else ["most of", "share of it"])]


def _by_label(held: Held) -> bool:
    return held.targets.num_classes <= MOST_LABELS


def _shown(held: Held) -> list[tuple[str, int]]:
    """Rows, as a title and a client."""
    clients = len(held.clients)
    if clients <= MOST_CLIENTS:
        return [(str(client), client) for client in range(clients)]
    order = np.argsort(held.sizes_N, kind="stable")
    places = (("smallest", 0), ("median", (clients - 1) // 2), ("largest", clients - 1))
    return [(f"{title}, {order[place]}", int(order[place])) for title, place in places]


def _cells(held: Held, row: Row) -> list[str]:
    if held.targets.what == "numbers":
        if len(row.figures) == 1:
            return [f"{value:.4g}" for value in row.figures[0]]
        return [f"{value:.4g}" for value in row.figures[:, QUANTILES.index(50)]] if _headings(held) else []
    counts_C = row.figures
    first = str(int((counts_C > 0).sum()))
    if _by_label(held):
        return [first, *(f"{count:,}" if count else "-" for count in counts_C)]
    of_all = row.samples if held.targets.flags else counts_C.sum()
    return [first, str(int(counts_C.argmax())), f"{100 * counts_C.max() / max(1, of_all):.1f} %"]


def _drawn(table: Table) -> str:
    text = StringIO()
    Console(file=text, width=WIDE, color_system=None, highlight=False, markup=False).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
