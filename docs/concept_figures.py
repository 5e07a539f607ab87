"""Draws the figures of ``docs/concepts.md`` into ``docs/images/concepts``: ``python docs/concept_figures.py``.

Where a figure shows numbers they come from fedchunk's own functions: the cut from ``Layout``, the choice from the rule
of selection, bytes from messages that were encoded. The files are SVG, and the same bytes each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from fedchunk.analysis.drawing import BLUE, GREEN, GREY, KIND_COLORS, ORANGE, PALETTE, VERMILION, figure
from fedchunk.analysis.mpl import Axes, Figure, own_style
from fedchunk.orchestrator.chunking.encoding import Packing, encode
from fedchunk.orchestrator.chunking.feedback import withheld_after
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.reconstruction import from_contributors
from fedchunk.orchestrator.chunking.scoring import norms, with_age
from fedchunk.orchestrator.chunking.selection import best
from fedchunk.orchestrator.chunking.sensitivity import fixed

IMAGES = Path(__file__).parent / "images" / "concepts"

TENSORS = (("first.weight", 640), ("first.bias", 40), ("second.weight", 400), ("second.bias", 40), ("last.weight", 140))
"""Names and sizes of the parameters of a model that is small enough to be drawn."""
PALE = "#e8edf2"
INK = "#1d2733"


def draw_chunks() -> Figure:
    """One model three times: its tensors, and the two ways to cut it."""
    sizes = np.array([size for _, size in TENSORS])
    bounds = np.append(0, np.cumsum(sizes))
    drawn, (ax,) = figure(1, 10, 3.1)
    _bare(ax)
    for place, (name, size) in enumerate(TENSORS):
        _box(ax, bounds[place], size, 2, PALETTE[place], name if size >= 80 else "bias")
    _cut(ax, 1, Layout(int(bounds[-1]), 12), bounds)
    _cut(ax, 0, Layout.at_tensors(bounds, 12), bounds)
    for row, text in enumerate(("chunk_layout: tensors", "chunk_layout: flat", "the model's tensors")):
        ax.text(-12, row + 0.3, text, ha="right", va="center", color=INK)
    ax.set_xlim(-270, bounds[-1] + 5)
    ax.set_ylim(-0.55, 2.8)
    ax.text(0, -0.4, "12 chunks each; colours say which tensor a value belongs to", color=GREY, fontsize=9)
    return drawn


def _cut(ax: Axes, row: int, layout: Layout, bounds: np.ndarray) -> None:
    """The chunks of a layout, each with its number, over the tensors that they cut."""
    for place, (first, stop) in enumerate(pairwise(bounds)):
        ax.barh(row + 0.3, stop - first, 0.6, left=first, color=PALETTE[place], alpha=0.35, linewidth=0)
    for chunk, (start, size) in enumerate(zip(layout.bounds[:-1], layout.sizes_C, strict=True)):
        ax.barh(row + 0.3, size, 0.6, left=start, fill=False, edgecolor=INK, linewidth=1.1)
        ax.text(start + size / 2, row + 0.3, str(chunk), ha="center", va="center", fontsize=9, color=INK)


def draw_selection() -> Figure:
    """Twelve scores: who goes by importance alone, and by importance and age."""
    rng = np.random.default_rng(4)
    layout = Layout(1200, 12)
    gradient_P = (rng.standard_normal(1200) * np.repeat(rng.uniform(0.3, 1.6, 12), 100)).astype(np.float32)
    scores_C = norms(gradient_P, layout)
    ages_C = np.array([0, 6, 1, 0, 9, 2, 0, 3, 1, 0, 5, 1], np.int32)
    drawn, axes = figure(2, 10, 3.6)
    aged_C = with_age(scores_C, ages_C, 0.5)
    titles = ("Score: how much a chunk matters", "The same, times $\\sqrt{\\mathrm{age} + 1}$")
    for ax, values_C, title in zip(axes, (scores_C, aged_C), titles, strict=True):
        sent_C = best(values_C, fixed(12, 25))
        ax.bar(np.arange(12), values_C, color=np.where(sent_C, BLUE, "#b9c6d3"))
        ax.set_xticks(np.arange(12))
        ax.set_xlabel("chunk")
        ax.set_title(title, loc="left")
        ax.grid(False, axis="x")
    for chunk, age in enumerate(ages_C):
        axes[1].text(chunk, aged_C[chunk], f"{age}", ha="center", va="bottom", fontsize=9, color=INK)
    axes[0].set_ylabel("L2 norm of its gradient")
    axes[0].bar([0], [0], color=BLUE, label="sent: the best 25 %")
    axes[0].bar([0], [0], color="#b9c6d3", label="stays at home")
    axes[0].legend(loc="upper center", ncols=2, frameon=False, fontsize=9)
    axes[0].set_ylim(0, scores_C.max() * 1.2)
    axes[1].text(
        0.01, 0.94, "above each: the rounds it has waited", transform=axes[1].transAxes, color=GREY, fontsize=9
    )
    axes[1].set_ylim(0, aged_C.max() * 1.2)
    return drawn


def draw_reconstruction() -> Figure:
    """Three clients, eight chunks of one value: what is sent, the mean of it, and what each has afterwards."""
    layout = Layout(8, 8)
    own_NC = np.array([[4, 1, 7, 2, 5, 3, 6, 2], [8, 3, 5, 2, 1, 9, 2, 4], [6, 5, 3, 8, 3, 6, 4, 1]], np.float32)
    sent_NC = np.stack([best(own_C, 3) for own_C in own_NC])
    counts_C = sent_NC.sum(axis=0)
    arrived_C = counts_C > 0
    means_K = ((own_NC * sent_NC).sum(axis=0)[arrived_C] / counts_C[arrived_C]).astype(np.float32)
    after_NC = np.stack([from_contributors(own_C, arrived_C, means_K, layout) for own_C in own_NC])
    global_C = np.full(8, np.nan)
    global_C[arrived_C] = means_K
    drawn, axes = figure(3, 11, 3.3)
    _values(axes[0], own_NC, sent_NC, "Clients send their best chunks", ["client 0", "client 1", "client 2"])
    _values(axes[1], global_C[None], arrived_C[None], "The mean of those who sent it", [""])
    is_new_NC = np.repeat(arrived_C[None], 3, axis=0)
    _values(axes[2], after_NC, is_new_NC, "Clients fill the gaps from their own", ["client 0", "client 1", "client 2"])
    return drawn


def _values(ax: Axes, values_NC: np.ndarray, marked_NC: np.ndarray, title: str, names: Sequence[str]) -> None:
    """Rows of boxes with a value each; those that are marked travelled."""
    _bare(ax)
    lowest = (3 - len(values_NC)) / 2
    for place, (values_C, marked_C) in enumerate(zip(values_NC[::-1], marked_NC[::-1], strict=True)):
        row = lowest + place
        for chunk, (value, marked) in enumerate(zip(values_C, marked_C, strict=True)):
            text = "\u2013" if np.isnan(value) else f"{value:.2g}"
            color = BLUE if marked else "white" if np.isnan(value) else PALE
            ax.barh(row, 0.9, 0.7, left=chunk, color=color, edgecolor="#b9c6d3", linewidth=0.8)
            ax.text(chunk + 0.45, row, text, ha="center", va="center", fontsize=9, color="white" if marked else INK)
        ax.text(-0.15, row, names[len(names) - 1 - place], ha="right", va="center", fontsize=9, color=INK)
    for chunk in range(8):
        ax.text(chunk + 0.45, -0.65, str(chunk), ha="center", va="center", fontsize=8, color=GREY)
    ax.set_title(title, loc="left", fontsize=11)
    ax.set_xlim(-1.7 if names[0] else -0.2, 8)
    ax.set_ylim(-1, 2.6)


def draw_error_feedback() -> Figure:
    """What a client has learned in one chunk, and what the others know of it, with error feedback and without."""
    rounds, layout = 24, Layout(4, 4)
    changes_RP = np.random.default_rng(1).uniform(0.2, 1.0, (rounds, 4)).astype(np.float32) * np.array(
        [1, 0.8, 0.6, 0.4]
    )
    drawn, axes = figure(2, 10, 3.6, sharey=True)
    for ax, keeps, title in zip(
        axes, (False, True), ("What was not sent is lost", "Error feedback: it is late"), strict=True
    ):
        known, learned = _exchange(changes_RP.astype(np.float32), layout, keeps=keeps)
        edges = np.arange(rounds + 1) + 0.5
        ax.stairs(
            learned, edges, baseline=known, fill=True, color=ORANGE, alpha=0.45, label="withheld" if keeps else "lost"
        )
        ax.stairs(learned, edges, baseline=None, color=INK, linewidth=1.6, label="learned by the client")
        ax.stairs(known, edges, baseline=None, color=BLUE, linewidth=2, label="known to the others")
        ax.set_title(title, loc="left")
        ax.set_xlabel("round")
        ax.legend(loc="upper left", frameon=False, fontsize=9)
        ax.set_ylim(bottom=-0.15)
    axes[0].set_ylabel("change of chunk 3, summed up")
    return drawn


def _exchange(changes_RP: np.ndarray, layout: Layout, *, keeps: bool) -> tuple[np.ndarray, np.ndarray]:
    """Sums over rounds of the last chunk: what was sent, what was learned. One chunk of four goes in a round."""
    withheld_P, known_P, known, learned = np.zeros(4, np.float32), np.zeros(4), [], []
    for change_P in changes_RP:
        pending_P = withheld_P + change_P if keeps else change_P
        sent_C = best(np.abs(pending_P), 1)
        seen = pending_P[sent_C]
        withheld_P = withheld_after(pending_P, sent_C, seen, layout)
        known_P[sent_C] += seen
        known.append(known_P[3])
        learned.append(change_P[3])
    return np.array(known), np.cumsum(learned)


def draw_relay() -> Figure:
    """A star, and peers of a ring: how far a message of one of them is after each hop."""
    drawn, axes = figure(2, 10, 4.3)
    angles = np.pi / 2 - 2 * np.pi * np.arange(8) / 8
    places = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for ax in axes:
        _bare(ax)
        ax.set_aspect("equal")
        ax.set_xlim(-1.9, 1.9)
        ax.set_ylim(-1.5, 1.35)
    for client, place in enumerate(places):
        _arrow(axes[0], place, np.zeros(2), BLUE, both=True)
        _dot(axes[0], place, str(client), BLUE)
    _dot(axes[0], np.zeros(2), "coordinator", INK, size=3400, fontsize=8)
    hops = [min(client, 8 - client) for client in range(8)]
    colors = (BLUE, GREEN, ORANGE, VERMILION, "#9a4f7d")
    for client, place in enumerate(places):
        for step in (1, -1) if client in (0,) else (1,) if client < 4 else (-1,) if client > 4 else ():
            other = places[(client + step) % 8]
            _arrow(axes[1], place, other, colors[min(hops[client] + 1, 4)])
    for client, place in enumerate(places):
        _dot(axes[1], place, str(client), colors[hops[client]])
    axes[0].set_title("Star: all change one model, by way of the coordinator", loc="left", fontsize=11)
    axes[1].set_title("Relay: what client 0 says, handed on along a ring", loc="left", fontsize=11)
    for hop, color in enumerate(colors):
        text = "says it" if hop == 0 else f"hop {hop}"
        axes[1].plot([], [], "o", color=color, markersize=9, label=text)
    axes[1].legend(loc="lower center", ncols=5, frameon=False, fontsize=9, columnspacing=0.8, handletextpad=0.1)
    return drawn


def draw_ledger() -> Figure:
    """The bytes of messages about one model of 62,000 values, each encoded and measured."""
    values_P = np.random.default_rng(0).standard_normal(62_000).astype(np.float32)
    rows = [
        ("all, float32", 100, "float32"), ("10 %, float32", 10, "float32"), ("10 %, int8", 10, "int8"),
        ("10 %, int4", 10, "int4"), ("1 %, int4", 1, "int4"), ("0.3 %, int4", 0.3, "int4"),
    ]  # fmt: skip
    drawn, (ax,) = figure(1, 10, 3.6)
    shown = set()
    for row, (_, percentage, encoding) in enumerate(reversed(rows)):
        sizes = message_sizes(values_P, percentage, encoding)
        left, total = 0.0, sum(sizes.values())
        for kind in ("header", "mask", "scales", "values"):
            share = 100 * sizes.get(kind, 0) / total
            label = kind if kind not in shown else None
            shown.add(kind)
            ax.barh(row, share, 0.62, left=left, color=KIND_COLORS[kind], label=label)
            left += share
        ax.text(101, row, f"{total:,} bytes", va="center", color=INK)
    ax.set_yticks(range(len(rows)), [name for name, *_ in reversed(rows)])
    ax.set_xlim(0, 122)
    ax.set_xticks(range(0, 101, 20))
    ax.set_xlabel("percent of the message")
    ax.grid(False, axis="y")
    ax.legend(loc="lower center", bbox_to_anchor=(0.42, 1.0), ncols=4, frameon=False)
    return drawn


def message_sizes(values_P: np.ndarray, percentage: float, encoding: str) -> dict[str, int]:
    """Bytes by kind of the message that holds this percentage of 1,000 chunks, over a connection that stands."""
    layout = Layout(len(values_P), 1000)
    sent_C = best(norms(values_P, layout), fixed(1000, percentage))
    message = encode(
        layout, values_P, sent_C, round_index=2, sender=0, num_samples=600, buffers=None,
        packing=Packing.built_in(encoding),  # type: ignore[arg-type]
    )  # fmt: skip
    later = message.over(stands=True)
    assert sum(later.sizes.values()) == len(later.payload)
    return later.sizes


def _bare(ax: Axes) -> None:
    """No axes: a drawing."""
    ax.set_axis_off()


def _box(ax: Axes, left: float, width: float, row: int, color: str, text: str) -> None:
    ax.barh(row + 0.3, width, 0.6, left=left, color=color, edgecolor="white", linewidth=0.8)
    short = width < 70
    height, size = (0.72, 8) if short else (0.3, 8 if width < 100 else 9)
    color = INK if short else "white"
    ax.text(left + width / 2, row + height, text, ha="center", va="center", fontsize=size, color=color)


def _dot(ax: Axes, place: np.ndarray, text: str, color: str, size: float = 620, fontsize: float = 11) -> None:
    ax.scatter(*place, s=size, color=color, zorder=3, edgecolor="white", linewidth=1.5)
    ax.text(*place, text, ha="center", va="center", color="white", zorder=4, fontsize=fontsize)


def _arrow(ax: Axes, start: np.ndarray, end: np.ndarray, color: str, *, both: bool = False) -> None:
    style = {"arrowstyle": "<|-|>" if both else "-|>", "color": color, "linewidth": 1.6, "shrinkA": 15, "shrinkB": 15}
    if both:
        style["shrinkB"] = 32
    ax.annotate("", xy=tuple(end), xytext=tuple(start), arrowprops=style)


FIGURES: dict[str, Callable[[], Figure]] = {
    "chunks": draw_chunks,
    "selection": draw_selection,
    "reconstruction": draw_reconstruction,
    "error_feedback": draw_error_feedback,
    "relay": draw_relay,
    "ledger": draw_ledger,
}


def main(folder: Path = IMAGES) -> None:
    """Writes every figure."""
    folder.mkdir(parents=True, exist_ok=True)
    with own_style():
        for name, draw in FIGURES.items():
            draw().savefig(folder / f"{name}.svg", metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    main()
