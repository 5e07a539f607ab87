"""The figures of a comparison. Each is drawn from the tables of :class:`fedchunk.analysis.comparison.Comparison`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc

from fedchunk.analysis.comparison import Comparison, Group
from fedchunk.analysis.costs import BYTES, Cost, time_of
from fedchunk.analysis.drawing import GREY, figure, look, share_axis
from fedchunk.analysis.mpl import Axes, Figure, FuncFormatter, NullFormatter, own_style

SHOWN_BELOW = 0.25
"""Accuracy further below the target is off the axis: it would flatten the differences that matter."""
SHOWN_WORSE = 0.5
"""The same of other metrics, as a share of the target."""

LETTERS = 11
"""Letters of legend text to an inch."""


def draw_comparison(comparison: Comparison) -> dict[str, Figure]:
    """``accuracy_bytes``, ``pareto`` and ``bytes_to_target``; ``accuracy_time`` and ``time_to_target`` where asked.

    Of another metric its name stands in the place of ``accuracy``.
    """
    with own_style():
        time, name = time_of(comparison) if comparison.shows_time else None, file_name(comparison)
        figures = {
            f"{name}_bytes": draw_accuracy_bytes(comparison),
            "pareto": draw_pareto(comparison, time if comparison.axis == "time" and time else BYTES),
            "bytes_to_target": draw_to_target(comparison, BYTES),
        }
        if time is not None:
            figures[f"{name}_time"] = draw_accuracy_time(comparison, time)
            figures["time_to_target"] = draw_to_target(comparison, time)
        return figures


def file_name(comparison: Comparison) -> str:
    """The metric as a part of the names of figures' files."""
    return re.sub(r"[^\w.-]", "_", comparison.metric.metric)


def draw_accuracy_bytes(comparison: Comparison) -> Figure:
    """Accuracy against bytes of both directions and of each, log axes; a band from the worst to the best seed."""
    columns = (("total_mb", "Both directions"), ("uplink_mb", "Uplink"), ("downlink_mb", "Downlink"))
    drawn, axes = _figure(comparison, len(columns), 13.5, 4.8)
    for ax, (name, title) in zip(axes, columns, strict=True):
        _draw_curves(ax, comparison, name, 1e6)
        _cost_axis(ax, BYTES)
        ax.set_title(title, loc="left")
    return _labelled(drawn, axes[0], comparison)


def draw_accuracy_time(comparison: Comparison, time: Cost) -> Figure:
    """Accuracy against time, log axis; a band from the worst to the best seed."""
    drawn, axes = _figure(comparison, 1, 10.5, 4.8)
    _draw_curves(axes[0], comparison, "hours", 3600 / time.unit)
    _cost_axis(axes[0], time)
    axes[0].set_title(f"{_name(comparison).capitalize()} and time", loc="left")
    return _labelled(drawn, axes[0], comparison)


def _draw_curves(ax: Axes, comparison: Comparison, name: str, factor: float) -> None:
    """A line for each group over a column of its curve, times ``factor``."""
    curves, metric, target = comparison.curves_to_arrow(), comparison.metric.metric, comparison.target
    far = SHOWN_BELOW if metric == "accuracy" else SHOWN_WORSE * abs(target)
    if comparison.metric.lower:
        best, worst = pc.min(curves[metric]).as_py(), pc.max(curves[f"{metric}_max"]).as_py()
        worst = min(worst, max(target, best) + far)
        curves = curves.filter(pc.less_equal(curves[f"{metric}_min"], worst))
    else:
        best, worst = pc.max(curves[metric]).as_py(), pc.min(curves[f"{metric}_min"]).as_py()
        worst = max(worst, min(target, best) - far)
        curves = curves.filter(pc.greater_equal(curves[f"{metric}_max"], worst))
    for i, group in enumerate(comparison.groups):
        own = curves.filter(pc.equal(curves["label"], group.label))
        spent = own[name].to_numpy() * factor
        low, high = own[f"{metric}_min"].to_numpy(), own[f"{metric}_max"].to_numpy()
        color, line, _ = look(i)
        ax.plot(spent, own[metric].to_numpy(), line, color=color, linewidth=1.7, label=group.label)
        ax.fill_between(spent, low, high, color=color, alpha=0.16, linewidth=0)
    ax.axhline(comparison.target, color=GREY, linestyle="--", linewidth=1, label=_target_label(comparison))
    room = 0.01 if metric == "accuracy" else 0.02 * abs(worst - best)
    ax.set_ylim(top=worst + room) if comparison.metric.lower else ax.set_ylim(bottom=worst - room)


def _name(comparison: Comparison) -> str:
    """The metric in words."""
    return comparison.metric.metric


def _labelled(drawn: Figure, ax: Axes, comparison: Comparison) -> Figure:
    ax.set_ylabel(f"{_name(comparison)} (band: worst to best seed)")
    if comparison.metric.metric == "accuracy":
        share_axis(ax.yaxis)
    _legend(drawn, ax)
    return drawn


def draw_pareto(comparison: Comparison, cost: Cost) -> Figure:
    """Final values against all that was spent, with 95 % intervals; the line joins what nothing beats."""
    drawn, (ax,) = _figure(comparison, 1, 10.5, 4.8)
    for i, group in enumerate(comparison.groups):
        color, _, mark = look(i)
        ax.errorbar(
            cost.of_run(group) / cost.unit, group.value.mean, yerr=group.value.half_width or None,
            fmt="s" if group.dense else mark, color=color, markersize=8, capsize=3, elinewidth=1.1,
            markerfacecolor=color if group.on_front else "white", label=group.label, zorder=3,
        )  # fmt: skip
    front = sorted((cost.of_run(g) / cost.unit, g.value.mean) for g in comparison.groups if g.on_front)
    ax.step(*zip(*front, strict=True), where="post", color=GREY, linewidth=1.2, label="Pareto front", zorder=2)
    ax.axhline(comparison.target, color=GREY, linestyle="--", linewidth=1, label=_target_label(comparison))
    _cost_axis(ax, cost)
    if comparison.metric.metric == "accuracy":
        low, high = ax.get_ylim()
        ax.set_ylim(max(low, 0.0), min(high, 1.01))  # an interval of two seeds may reach beyond what can be
        share_axis(ax.yaxis)
    ax.set_ylabel(f"final {_name(comparison)}, mean over seeds with 95 % interval")
    what = "bytes (both directions; " if cost is BYTES else "time ("
    ax.set_title(f"{_name(comparison).capitalize()} and {what}square: full exchange, filled: on the front)", loc="left")
    _legend(drawn, ax)
    return drawn


def draw_to_target(comparison: Comparison, cost: Cost) -> Figure:
    """What the target cost, one bar a group; hollow where it was not reached by all seeds."""
    groups = sorted(comparison.groups, key=lambda group: _length(group, cost))
    drawn, (ax,) = figure(1, 11, 1.7 + 0.45 * len(groups))
    lengths = np.array([_length(group, cost)[1] for group in groups])
    seeds = [spent for group in groups for spent in cost.of_seeds(group)]
    left, right = min([*lengths, *seeds]) / 2 / cost.unit, max([*lengths, *seeds]) / cost.unit
    for row, (group, length) in enumerate(zip(groups, lengths / cost.unit, strict=True)):
        color, *_ = look(comparison.groups.index(group))
        done = cost.to_target(group) is not None
        ax.barh(
            row, length - left, left=left, height=0.62, color=color if done else "white", edgecolor=color,
            linestyle="-" if done else "--", linewidth=1.2, zorder=2,
        )  # fmt: skip
        own = [spent / cost.unit for spent in cost.of_seeds(group)]
        ax.plot(own, [row] * len(own), "o", color="black", markersize=4, zorder=3)
        text = cost.target_text(group)
        text = text if done else f"{text} {'with' if cost is BYTES else 'in'} {cost.text(lengths[row])}"
        ax.annotate(text, (max([length, *own]), row), (6, 0), textcoords="offset points", va="center", fontsize=9)
    _cost_axis(ax, cost)
    ax.set_xlim(left, right * (right / left) ** 0.45)  # room for the words
    ax.set_yticks(range(len(groups)), [group.label for group in groups], parse_math=False, fontsize=9)
    ax.invert_yaxis()
    ax.grid(False, axis="y")
    goal = f"{comparison.target_text} {_name(comparison)}"
    ax.set_title(f"{cost.name.capitalize()} until {goal} (dots: seeds)", loc="left")
    return drawn


def _length(group: Group, cost: Cost) -> tuple[bool, float]:
    """Whether the target was missed, and the bar's length: what it cost, or all that was spent in vain."""
    to_target = cost.to_target(group)
    return to_target is None, cost.of_run(group) if to_target is None else to_target


def _cost_axis(ax: Axes, cost: Cost) -> None:
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: cost.tick(value)))
    low, high = ax.get_xlim()
    if high / low > 30:
        ax.xaxis.set_minor_formatter(NullFormatter())
    else:  # within a decade or so the powers of ten alone would leave the axis without numbers
        ax.xaxis.set_minor_formatter(
            FuncFormatter(lambda value, _: cost.tick(value) if _first(value) in (2, 5) else "")
        )
    ax.tick_params(axis="x", which="both", labelsize=9)
    ax.set_xlabel(cost.label)


def _first(count: float) -> int:
    """The first digit of a number."""
    return round(count / 10.0 ** math.floor(math.log10(count) + 1e-9))


def _target_label(comparison: Comparison) -> str:
    return f"target {comparison.target_text}"


def _figure(comparison: Comparison, panels: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """An empty figure with room for a legend of all groups below it."""
    labels = [group.label for group in comparison.groups]
    rows = -(-(len(labels) + 2) // _columns(labels, width))
    return figure(panels, width, height + 0.2 * rows, sharey=True)


def _columns(labels: Sequence[str], width: float) -> int:
    return max(1, min(4, int(LETTERS * width) // (max(map(len, labels)) + 8)))


def _legend(drawn: Figure, ax: Axes) -> None:
    handles, labels = ax.get_legend_handles_labels()
    columns = _columns(labels, drawn.get_figwidth())
    drawn.legend(handles, labels, loc="outside lower left", ncols=columns, frameon=False, fontsize=9)
