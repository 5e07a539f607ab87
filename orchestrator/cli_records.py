"""The commands about recorded runs: analyze, compare, sync, list, clean."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fedchunk.orchestrator.cli_options import AsJson, FiguresOption, LinksOption, TrackingUri
from fedchunk.orchestrator.commands.console import answering, size
from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.tracking.uri import environment_uri

if TYPE_CHECKING:
    from fedchunk.orchestrator.core.links import Links

records = typer.Typer()


@records.command()
def analyze(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's folder, or its run id in MLflow.", show_default=False)
    ],
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the report; without: the run's.")
    ] = None,
    links: LinksOption = None,
    figures: FiguresOption = None,
    tracking_uri: TrackingUri = None,
    as_json: AsJson = False,
) -> None:
    """Write the report of a run, and say which chunks its clients sent."""
    with answering(as_json) as answer:
        from fedchunk.analysis.link_times import links_text
        from fedchunk.analysis.load import load_run
        from fedchunk.analysis.report import write_report
        from fedchunk.analysis.summaries import chunk_texts

        formats = _formats(figures)
        recorded, over = load_run(_run_folder(run, tracking_uri)), _links(links)
        times = recorded.link_times(over) if over else None
        report = write_report(recorded, output, times, formats)
        texts = [f"{title}\n\n{text}" for title, text in chunk_texts(recorded)]
        texts += [f"Time over links\n\n{links_text(times)}"] if times else []
        result = report.to_dict() | ({"link_times": times.to_dict()} if times else {})
        answer.give(result, "\n\n".join([*texts, str(report)]))


def _formats(figures: str | None) -> tuple[str, ...]:
    """The formats of ``--figures``. Raises ConfigError."""
    from fedchunk.analysis.figure_files import checked_formats

    try:
        return checked_formats(figures.split(",") if figures is not None else ())
    except ValueError as error:
        raise ConfigError([Fault("--figures", "", str(error).removeprefix("figures: "))]) from None


def _links(source: str | None) -> Links | None:
    from fedchunk.orchestrator.settings.links_file import load_links

    return None if source is None else load_links(source)


def _run_folder(run: str, tracking_uri: str | None) -> Path:
    """The folder ``run``, or that of the MLflow run of this name, downloaded below ``runs`` if it is not here."""
    is_run_id = len(run) == 32 and all(letter in "0123456789abcdef" for letter in run)
    if not is_run_id or Path(run).exists():
        return Path(run)
    from fedchunk.orchestrator.recording.run_folder import RUNS_FOLDER
    from fedchunk.orchestrator.tracking.sync import download_run

    return download_run(run, tracking_uri or environment_uri(), RUNS_FOLDER / run)


@records.command()
def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN ...", help="Runs' folders, or run ids in MLflow.", show_default=False)
    ],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder of tables, figures and page.")] = Path(
        "comparison"
    ),
    target: Annotated[
        float | None,
        typer.Option(metavar="ACCURACY", help="Accuracy to reach, 0 to 1; without: half a point below full exchange."),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What is compared, such as loss; without: what the runs are judged by."),
    ] = None,
    better: Annotated[
        Literal["higher", "lower"] | None,
        typer.Option(help="Which way a metric goes, where the runs do not say it."),
    ] = None,
    x: Annotated[
        Literal["bytes", "time"], typer.Option("--x", help="What accuracy is held against in the Pareto front.")
    ] = "bytes",
    links: LinksOption = None,
    figures: FiguresOption = None,
    as_json: AsJson = False,
) -> None:
    """Compare runs: accuracy, or another metric, beside bytes and time, over seeds."""
    with answering(as_json) as answer:
        from fedchunk.analysis.compare import compare as compared
        from fedchunk.analysis.comparison_report import write_comparison

        formats, folders = _formats(figures), [_run_folder(run, None) for run in runs]
        try:
            result = compared(folders, target, x=x, links=_links(links), metric=metric, better=better)
        except ValueError as error:
            option, _, message = str(error).partition(": ")
            if option not in ("target", "metric", "better"):
                raise
            raise ConfigError([Fault(f"--{option}", "", message)]) from None
        report = write_comparison(result, output, formats)
        answer.give({**result.to_dict(), **report.to_dict()}, f"{result}\n\n{report}")


@records.command()
def sync(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", show_default=False)],
    tracking_uri: Annotated[
        str | None, typer.Option(metavar="URI", help="MLflow store; without: the one that the run was logged to.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send to MLflow what could not be sent during a run. May be repeated: nothing is doubled."""
    with answering(as_json) as answer:
        from fedchunk.orchestrator.tracking.sync import sync as send

        report = send(run, tracking_uri)
        text = (
            f"run {report.run_id}: {report.metrics_sent} metrics sent, {report.artifacts_uploaded} artifacts uploaded"
        )
        if report.remaining:
            text += f", {report.remaining} metrics still wait: the run goes on"
        answer.give(asdict(report), text)


Runs = Annotated[Path, typer.Argument(metavar="DIR", help="Folder with runs in it.")]


@records.command("list")
def list_runs(folder: Runs = Path("runs"), as_json: AsJson = False) -> None:
    """List runs: how they ended, rounds, accuracy, bytes, size."""
    with answering(as_json) as answer:
        from fedchunk.orchestrator.commands.housekeeping import find_runs, runs_text

        runs = find_runs(folder)
        answer.give({"runs": [run.as_dict() for run in runs]}, runs_text(runs))


@records.command()
def clean(
    folder: Runs = Path("runs"),
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Also whole folders of runs that did not finish.")
    ] = False,
    older: Annotated[float | None, typer.Option(metavar="DAYS", help="Only of runs that are older.", min=0)] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without, only say what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove checkpoints of finished runs, and on demand runs that did not finish."""
    with answering(as_json) as answer:
        from fedchunk.orchestrator.commands.housekeeping import find_runs, removable, remove

        found = removable(find_runs(folder), unfinished=unfinished, older_days=older)
        if yes:
            remove(found)
        total = sum(one.size for one in found)
        lines = [f"{size(one.size):>8}  {one.path}  ({one.why})" for one in found]
        did = "removed" if yes else "would go; --yes removes it"
        text = "\n".join([*lines, f"{size(total)} {did}"] if found else ["nothing to remove"])
        listed = [{"path": str(one.path), "why": one.why, "bytes": one.size} for one in found]
        answer.give({"removed": yes, "bytes": total, "paths": listed}, text)
