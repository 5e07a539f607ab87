"""The report of a run: figures, tables that spreadsheets open, and one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from fedchunk.analysis.figure_files import checked_formats, pictures, save_all
from fedchunk.analysis.figures import FIGURES, draw, save_data
from fedchunk.analysis.link_times import LinkTimes
from fedchunk.analysis.load import Run, load_run
from fedchunk.analysis.metric_data import last_metrics, metric_data
from fedchunk.analysis.page import Section, image, page, preformatted, table
from fedchunk.analysis.summaries import (
    byte_rows,
    chunk_texts,
    client_rows,
    component_rows,
    headline,
    method_rows,
    missing_figures,
)
from fedchunk.analysis.written import Report

NO_SETTINGS = ("method", "components", "forked_from", "target")
"""What ``config.json`` holds beside the settings."""
CSV_ROWS = 500
"""Rows of clients.csv at most: MLflow shows no more of a CSV file."""

FIGURE_TITLES = {
    "accuracy": "Accuracy",
    "target": "What the run is judged by",
    "metrics": "Metrics, round by round",
    "bytes": "Bytes per round",
    "chunk_selection": "Which chunks are sent",
    "layers": "Layers",
    "importance": "How importance spreads",
    "overlap": "Overlap and coverage",
    "client_overlap": "Which clients choose alike",
    "age": "Age of chunks",
    "sensitivity": "How many chunks are sent, and why",
    "residual": "What is kept back",
    "consensus": "Consensus",
}


def write_report(
    run: Run | str | Path,
    output: str | Path | None = None,
    times: LinkTimes | None = None,
    formats: Sequence[str] = (),
) -> Report:
    """Writes ``report.html``, ``rounds.csv``, ``clients.csv`` and ``figures/`` of a run, finished or not.

    ``figures/*.png`` are the figures, ``figures/data/*.csv`` the numbers behind them.

    Args:
        run: the run, or its folder.
        output: where to write; None: into the run's folder. Files of these names are replaced.
        times: of the rounds over some links; a section of the page, and ``figures/data/link_times.csv``.
        formats: what figures are written as beside PNG: ``svg``, ``pdf``. The page shows the PNGs.

    Raises:
        ValueError: there is no such format.
        RecordsError: the folder is not a run's, or damaged.
    """
    formats = checked_formats(formats)
    run = run if isinstance(run, Run) else load_run(run)
    folder = Path(output) if output is not None else run.path
    folder.mkdir(parents=True, exist_ok=True)
    numbers = run.figure_data
    figures = save_all(draw(numbers), folder / "figures", formats)
    if times is not None:
        numbers = {**numbers, "link_times": times.to_arrow()}
    data = save_data(numbers, folder / "figures" / "data")
    report = Report(run.path, folder / "report.html", folder / "rounds.csv", folder / "clients.csv", figures, data)
    pv.write_csv(run.rounds, report.rounds_csv)
    pv.write_csv(last_rows(run.clients, CSV_ROWS), report.clients_csv)
    report.html.write_text(report_html(run, pictures(figures), times), encoding="utf-8")
    return report


def last_rows(clients: pa.Table, limit: int) -> pa.Table:
    """The newest rounds of the ``clients`` table that fit whole into ``limit`` rows, or the start of the last one."""
    if clients.num_rows <= limit:
        return clients
    rounds = clients["round"]
    whole = [r for r in rounds.unique().to_pylist() if pc.sum(pc.greater_equal(rounds, r)).as_py() <= limit]
    first = min(whole, default=pc.max(rounds).as_py())
    return clients.filter(pc.greater_equal(rounds, first)).slice(0, limit)


def report_html(run: Run, figures: tuple[Path, ...], times: LinkTimes | None = None) -> str:
    """The page: everything in it is inline and escaped."""
    sections = [Section("In short", table(("", ""), headline(run)))]
    sections.append(Section("Bytes", table(("direction", "sent", "full exchange", "saved"), byte_rows(run))))
    if times is not None:
        sections.append(Section("Time over links", table(("", ""), times.rows())))
    metrics = last_metrics(metric_data(run.metrics))
    if metrics:
        sections.append(Section("Metrics", table(("metric", "value", "of the", "round"), metrics)))
    sections += [Section(FIGURE_TITLES[path.stem], image(path, FIGURE_TITLES[path.stem])) for path in figures]
    notes = missing_figures(run, {path.stem for path in figures}, FIGURES)
    if notes:
        sections.append(Section("Not shown", table(("figure", "why"), notes)))
    sections += [Section(title, preformatted(text)) for title, text in chunk_texts(run)]
    sections.append(Section("Rounds", _arrow(run.rounds)))
    sections.append(Section("Clients in the last rounds", table(*client_rows(last_rows(run.clients, 100)))))
    sections.append(Section("Method", table(("", ""), method_rows(run))))
    components = component_rows(run)
    if components:
        sections.append(Section("Components of your own", table(("setting", "name", "place", "SHA-256"), components)))
    settings = {name: value for name, value in run.config.items() if name not in NO_SETTINGS}
    sections.append(Section("Settings", _mapping(settings)))
    if run.summary:
        sections.append(Section("Summary", _mapping(run.summary)))
    name = str(run.config.get("federation_id") or run.path.resolve().name)
    return page(f"fedchunk run {name}", sections)


def _arrow(values: pa.Table) -> str:
    rows = values.slice(max(0, values.num_rows - CSV_ROWS)).to_pylist()
    return table(values.column_names, [list(row.values()) for row in rows])


def _mapping(values: Mapping[str, object]) -> str:
    return table(("name", "value"), sorted(values.items()))
