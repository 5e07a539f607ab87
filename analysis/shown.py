"""How a run shows itself: a line for people, and a small piece of HTML for notebooks."""

from __future__ import annotations

from html import escape

from fedchunk.analysis.judged import target_of
from fedchunk.analysis.load import Run
from fedchunk.analysis.page import table
from fedchunk.analysis.summaries import byte_rows, ended, last_known, last_value
from fedchunk.orchestrator.core.target import OWN_COLUMNS


def run_text(run: Run) -> str:
    """One line: where it is, how it ended, how accurate it was and what it sent."""
    parts = [f"{run.num_rounds} round" + ("" if run.num_rounds == 1 else "s")]
    target = target_of(run)
    value = next((known for name in target.columns[:2] if (known := last_known(run.rounds, name))), None)
    parts += [f"{target.metric} {target.text(value[0], digits=2)}"] if value else []
    if run.num_rounds:
        _, sent, dense, saved = byte_rows(run)[-1]
        parts.append(f"{sent} up and down, full exchange {dense}, saved {saved}")
    return f"run {run.path}: {ended(run)}, {', '.join(parts)}"


def run_html(run: Run) -> str:
    """How it ended, in one line, and a table of what came out. Everything is inline and escaped."""
    name = str(run.config.get("federation_id") or run.path.resolve().name)
    error = run.summary.get("error")
    line = f"fedchunk run {name}: {ended(run)}" + (f" ({error})" if error else "")
    loss = last_known(run.rounds, "loss")
    rows = [
        ("finished rounds", str(run.num_rounds)),
        *((text, last_value(run, column)) for column, text in _names(run).items() if _shown(run, column)),
        *([("loss of the coordinator's model", f"{loss[0]:.4g} (round {loss[1]})")] if loss else []),
        *((way, f"{sent}; full exchange {dense}, saved {saved}") for way, sent, dense, saved in byte_rows(run)),
        ("folder", str(run.path)),
    ]
    return f"<div><p><strong>{escape(line)}</strong></p>\n{table(('', ''), rows)}</div>"


def _names(run: Run) -> dict[str, str]:
    """The columns of what the run is judged by, in words."""
    target = target_of(run)
    own, mean, *_ = target.columns
    of_all = {own: f"{target.metric} of the coordinator's model", mean: f"mean {target.metric} of the clients"}
    on_own = ("the same on their own samples", "worst tenth of these")
    return of_all | dict(zip(OWN_COLUMNS, on_own, strict=True))


def _shown(run: Run, column: str) -> bool:
    """Of clients' own models nothing is said where they were not measured."""
    return column == target_of(run).columns[0] or last_known(run.rounds, column) is not None
