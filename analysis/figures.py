"""A run's figures. Each is drawn from :func:`~fedchunk.analysis.figure_data.figure_data`, which holds its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from fedchunk.analysis.chunk_figures import draw_importance, draw_layers, draw_selection
from fedchunk.analysis.drawing import (
    BLUE,
    GREEN,
    GREY,
    KIND_COLORS,
    ORANGE,
    VERMILION,
    figure,
    legend_below,
    marker,
    round_axis,
)
from fedchunk.analysis.figure_data import figure_data
from fedchunk.analysis.figure_files import save_all
from fedchunk.analysis.load import Run
from fedchunk.analysis.metric_figures import draw_metrics
from fedchunk.analysis.mpl import Axes, Figure, PercentFormatter, own_style
from fedchunk.analysis.round_figures import (
    draw_age,
    draw_client_overlap,
    draw_consensus,
    draw_overlap,
    draw_residual,
    draw_sensitivity,
)
from fedchunk.analysis.summaries import missing_figures
from fedchunk.analysis.text import bytes_text
from fedchunk.orchestrator.core.errors import RecordsError
from fedchunk.orchestrator.core.target import ACCURACY_COLUMNS, OWN_COLUMNS, TARGET_COLUMNS

__all__ = [
    "FIGURES",
    "draw",
    "draw_accuracy",
    "draw_all",
    "draw_bytes",
    "draw_one",
    "drawable",
    "figure_data",
    "save_all",
    "save_data",
]

OFF_SCALE = 3.0
"""Full exchange is drawn beside the bytes if it costs at most so many times as much; beyond, it flattens them."""

FIGURES = (
    "accuracy", "target", "metrics", "bytes", "chunk_selection", "layers", "importance", "overlap", "client_overlap",
    "age", "sensitivity", "residual", "consensus",
)  # fmt: skip
"""Names of all figures that a run may have, in the report's order."""


def draw_all(run: Run) -> dict[str, Figure]:
    """Every one of :data:`FIGURES` that the run has data for."""
    return draw(run.figure_data)


def draw(data: Mapping[str, pa.Table]) -> dict[str, Figure]:
    """The figures of already computed data; see :func:`draw_all`."""
    with own_style():
        return {name: _drawn(name, data) for name in drawable(data)}


def draw_one(run: Run, name: str) -> Figure:
    """One of the figures of a run. Raises RecordsError where it has none of this name; the message says what it has."""
    there = drawable(run.figure_data)
    if name not in there:
        raise RecordsError(f"{run.path}: {_no_figure(run, name, there)}")
    with own_style():
        return _drawn(name, run.figure_data)


def drawable(data: Mapping[str, pa.Table]) -> tuple[str, ...]:
    """Names of the figures that these data are enough for."""
    return tuple(name for name in FIGURES if _is_enough(name, data))


def _no_figure(run: Run, name: str, there: Sequence[str]) -> str:
    missing = missing_figures(run, there, FIGURES)
    reasons = ", ".join(f"{other} ({why})" for other, why in missing)
    what = f"figure {name!r} cannot be drawn" if name in FIGURES else f"there is no figure {name!r}"
    has = f"this run has {', '.join(there)}" if there else "this run has no figure"
    return f"{what}; {has}" + (f"; missing: {reasons}" if missing else "")


def _is_enough(name: str, data: Mapping[str, pa.Table]) -> bool:
    _, needed, optional = _drawings()[name]
    return all(part in data for part in needed) and any(part in data for part in (*needed, *optional))


def _drawn(name: str, data: Mapping[str, pa.Table]) -> Figure:
    drawing, needed, optional = _drawings()[name]
    return drawing(*(data[part] for part in needed), *(data.get(part) for part in optional))


def _drawings() -> Mapping[str, tuple[Callable[..., Figure], tuple[str, ...], tuple[str, ...]]]:
    """What draws a figure, from which tables, and from which others where they are there: of these at least one."""
    return {
        "accuracy": (draw_accuracy, ("accuracy",), ()),
        "target": (draw_accuracy, ("target",), ()),
        "metrics": (draw_metrics, ("metrics",), ()),
        "bytes": (draw_bytes, ("bytes", "full_exchange"), ()),
        "chunk_selection": (draw_selection, ("chunk_selection", "layers"), ()),
        "layers": (draw_layers, ("layer_selection",), ()),
        "importance": (draw_importance, ("importance", "layers"), ("concentration", "concentration_summary")),
        "overlap": (draw_overlap, ("coverage",), ("overlap",)),
        "client_overlap": (draw_client_overlap, ("client_overlap",), ()),
        "age": (draw_age, ("age",), ("age_distribution",)),
        "sensitivity": (draw_sensitivity, (), ("energy", "sensitivity_reasons")),
        "residual": (draw_residual, ("residual",), ()),
        "consensus": (draw_consensus, ("consensus",), ()),
    }


def save_data(data: Mapping[str, pa.Table], folder: Path) -> tuple[Path, ...]:
    """Writes ``<name>.csv`` of each table into ``folder``, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(folder / f"{name}.csv" for name in data)
    for path, table in zip(paths, data.values(), strict=True):
        pv.write_csv(table, path)
    return paths


def draw_accuracy(accuracy: pa.Table) -> Figure:
    """Accuracy, or what else counts, per round, and per megabyte of both directions with a mark at full exchange."""
    other = accuracy["metric"][0].as_py() if "metric" in accuracy.column_names else None
    name = other or "accuracy"
    drawn, (per_round, per_megabyte) = figure(2, 11, 4.4, sharey=True)
    rounds, total = accuracy["round"].to_numpy(), accuracy["total_mb"].to_numpy()
    _accuracy_lines(per_round, rounds, accuracy)
    _accuracy_lines(per_megabyte, total, accuracy)
    round_axis(per_round, int(rounds[0]), int(rounds[-1]))
    per_round.set_ylabel(f"{name} on the test set")
    if other is None:
        per_round.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    per_round.set_title(f"{name.capitalize()} per round", loc="left")
    dense = float(accuracy["dense_mb"].to_numpy()[-1])
    per_megabyte.axvline(dense, color=GREY, linestyle="--", label="full exchange, same rounds")
    if total[0] > 0 and dense > OFF_SCALE * total[-1]:
        per_megabyte.set_xscale("log")
        per_megabyte.set_xlabel("megabytes up and down so far (log scale)")
    else:
        per_megabyte.set_xlim(left=0)
        per_megabyte.set_xlabel("megabytes up and down so far")
    per_megabyte.set_title(
        f"{name.capitalize()} per megabyte ({bytes_text(total[-1] * 1e6)}; full exchange {bytes_text(dense * 1e6)})",
        loc="left",
    )
    legend_below(drawn, per_megabyte)
    return drawn


def _accuracy_lines(ax: Axes, x: np.ndarray, accuracy: pa.Table) -> None:
    """The coordinator's model and the clients' mean, each where it was measured."""
    own, mean, least, most = ACCURACY_COLUMNS if "accuracy" in accuracy.column_names else TARGET_COLUMNS
    for column, color, label in (
        (own, BLUE, "coordinator's model"),
        (mean, ORANGE, "clients' own models, mean"),
        (OWN_COLUMNS[0], GREEN, "the same on their own samples"),
        (OWN_COLUMNS[1], VERMILION, "worst tenth of these"),
    ):
        if column not in accuracy.column_names:
            continue
        values = accuracy[column].to_numpy()
        known = ~np.isnan(values)
        if known.any():
            ax.plot(x[known], values[known], color=color, marker=marker(len(x)), markersize=4, label=label)
    low, high = (accuracy[column].to_numpy() for column in (least, most))
    if not np.isnan(low).all():
        known = ~np.isnan(low)
        ax.fill_between(
            x[known], low[known], high[known], color=ORANGE, alpha=0.2, linewidth=0, label="worst to best client"
        )


def draw_bytes(parts: pa.Table, full_exchange: pa.Table) -> Figure:
    """Bytes of each round, stacked by kind, for both directions; full exchange beside them or in the title."""
    drawn, axes = figure(2, 11, 4.2, sharey=True)
    kinds = [kind for kind in KIND_COLORS if kind in parts["kind"].to_pylist()]
    others = sorted(set(parts["kind"].to_pylist()) - set(kinds))
    rounds = np.unique(full_exchange["round"].to_numpy())
    stacks = [_stack(parts, direction, [*kinds, *others], rounds) for direction in ("uplink", "downlink")]
    edges = np.append(rounds - 0.5, rounds[-1] + 0.5)
    highest = max(float(stack.sum(axis=0).max()) for stack in stacks) / 1e6
    for ax, direction, stack in zip(axes, ("uplink", "downlink"), stacks, strict=True):
        tops = np.cumsum(stack / 1e6, axis=0)
        bottoms = np.vstack([np.zeros(len(rounds)), tops[:-1]])
        for kind, bottom, top in zip([*kinds, *others], bottoms, tops, strict=True):
            ax.stairs(top, edges, baseline=bottom, fill=True, color=KIND_COLORS.get(kind, GREY), label=kind)
        dense = full_exchange.filter(pc.equal(full_exchange["direction"], direction))["bytes"].to_numpy() / 1e6
        if dense.max() <= OFF_SCALE * highest:
            ax.stairs(dense, edges, baseline=None, color=GREY, linestyle="--", linewidth=1.5, label="full exchange")
        ax.set_title(
            f"{direction.capitalize()}: {bytes_text(stack.sum())} (full exchange {bytes_text(dense.sum() * 1e6)})",
            loc="left",
        )
        round_axis(ax, int(rounds[0]), int(rounds[-1]))
    axes[0].set_ylabel("megabytes in the round")
    axes[0].set_ylim(0, max(ax.dataLim.ymax for ax in axes) * 1.06)
    legend_below(drawn, axes[0], columns=6)
    return drawn


def _stack(parts: pa.Table, direction: str, kinds: list[str], rounds: np.ndarray) -> np.ndarray:
    """Bytes by kind and round, shape (kinds, R); 0 where nothing of the kind was sent."""
    own = parts.filter(pc.equal(parts["direction"], direction))
    stack = np.zeros((len(kinds), len(rounds)))
    rows = [kinds.index(kind) for kind in own["kind"].to_pylist()]
    np.add.at(stack, (rows, np.searchsorted(rounds, own["round"].to_numpy())), own["bytes"].to_numpy())
    return stack
