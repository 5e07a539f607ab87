"""The report of a comparison: tables that spreadsheets open, figures, and one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from fedchunk.analysis.comparison import Comparison
from fedchunk.analysis.comparison_figures import draw_comparison, file_name
from fedchunk.analysis.figure_files import checked_formats, pictures, save_all
from fedchunk.analysis.figures import save_data
from fedchunk.analysis.page import Section, image, page, table

TITLES = {
    "pareto": "Pareto front",
    "bytes_to_target": "Bytes to the target",
    "time_to_target": "Time to the target",
}


@dataclass(frozen=True)
class ComparisonReport:
    """Where the parts of a report are."""

    html: Path
    tables: tuple[Path, ...]
    """``comparison.csv`` (a row per group), ``runs.csv`` and ``curves.csv``: the numbers of table and figures."""
    figures: tuple[Path, ...]

    def to_dict(self) -> dict[str, str | list[str]]:
        """The same as JSON's types."""
        listed = {name: [str(path) for path in getattr(self, name)] for name in ("tables", "figures")}
        return {"html": str(self.html), **listed}

    def __str__(self) -> str:
        return "\n".join(["written:", *(f"  {path}" for path in (self.html, *self.tables, *self.figures))])


def write_comparison(comparison: Comparison, output: str | Path, formats: Sequence[str] = ()) -> ComparisonReport:
    """Writes ``comparison.html``, the tables as CSV and ``figures/*.png`` into ``output``, which is made if need be.

    Files of these names are replaced. ``formats`` are those of figures beside PNG: ``svg``, ``pdf``; another one raises
    ValueError.
    """
    formats = checked_formats(formats)
    folder = Path(output)
    data = {
        "comparison": comparison.to_arrow(), "runs": comparison.runs_to_arrow(), "curves": comparison.curves_to_arrow(),
    }  # fmt: skip
    tables = save_data(data, folder)
    figures = save_all(draw_comparison(comparison), folder / "figures", formats)
    report = ComparisonReport(folder / "comparison.html", tables, figures)
    report.html.write_text(comparison_html(comparison, data["runs"], pictures(figures)), encoding="utf-8")
    return report


def comparison_html(comparison: Comparison, runs: pa.Table, figures: tuple[Path, ...]) -> str:
    """The page: everything in it is inline and escaped."""
    target = [("target", f"{comparison.target_text}: {comparison.target_source}")]
    metric, name = comparison.metric.metric.capitalize(), file_name(comparison)
    titles = TITLES | {f"{name}_{cost}": f"{metric} against {cost}" for cost in ("bytes", "time")}
    time = [("time", comparison.time_source)] if comparison.shows_time else []
    sections = [
        Section("In short", table(comparison.headers, [comparison.cells(group) for group in comparison.groups])),
        Section("Notes", table(("", ""), [*target, *time, *(("note", note) for note in comparison.notes)])),
        *(Section(titles[path.stem], image(path, titles[path.stem])) for path in figures),
    ]
    differ = [{"group": group.label, **group.settings} for group in comparison.groups]
    sections.append(Section("Settings in which the groups differ", _rows(differ)))
    sections.append(Section("Runs", _rows(runs.to_pylist())))
    return page("fedchunk comparison", sections)


def _rows(rows: list[dict[str, object]] | list[Mapping[str, object]]) -> str:
    return table(list(rows[0]), [list(row.values()) for row in rows])
