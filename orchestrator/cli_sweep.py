"""The command about many runs: sweep."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedchunk.orchestrator.cli_options import AsJson, TrackingUri
from fedchunk.orchestrator.commands.console import FAILED, INTERRUPTED, answering
from fedchunk.orchestrator.stopping import Stop

if TYPE_CHECKING:
    from fedchunk.orchestrator.sweep import Sweep

sweeps = typer.Typer()


@sweeps.command()
def sweep(
    config: Annotated[
        str,
        typer.Argument(metavar="CONFIG", help="Settings, or a sweep's file with base and axes.", show_default=False),
    ],
    axes: Annotated[
        list[str] | None,
        typer.Argument(metavar="key=a,b,c", help="Values of a setting (1..5: a range); one value: of all trials."),
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="The sweep's folder; begun again, it runs what is missing.")
    ] = Path("sweep"),
    parallel: Annotated[
        int | None, typer.Option(metavar="N", help="Trials at once; without: as many as fit.", min=1)
    ] = None,
    address: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Join a running Ray.")] = None,
    spread: Annotated[
        bool, typer.Option("--spread", help="Use other nodes too; the folder must be on a disk that all share.")
    ] = False,
    local: Annotated[bool, typer.Option("--local", help="One after the other in this process, without Ray.")] = False,
    tracking_uri: TrackingUri = None,
    as_json: AsJson = False,
) -> None:
    """Run an experiment for every combination of some settings, and compare."""
    stop = Stop()
    with stop.listening(), answering(as_json) as answer:
        from fedchunk.orchestrator.commands.sweep_table import SweepTable
        from fedchunk.orchestrator.sweep import How, make_trials, run_sweep, settings_from_file
        from fedchunk.orchestrator.sweeping.axes import Axes, read_axes, read_sweep

        given, single = read_axes(axes or ())
        in_file = read_sweep(Path(config))
        base, found = in_file or (Path(config), Axes())
        points = Axes({**found.axes, **given.axes}, found.together).points()
        trials = make_trials(points, partial(settings_from_file, str(base), single), output)
        stop.limit_s = trials[0].settings.runtime.stop_timeout_s
        with SweepTable() as shown:
            stop.say = shown.say
            done = run_sweep(trials, output, How(parallel, local, address, tracking_uri, spread), shown, stop)
        text, comparison = _compared(done, output)
        standings = {name: asdict(standing) for name, standing in done.standings.items()}
        answer.give({"output_dir": str(output), "trials": standings, "comparison": comparison}, text)
        if any(standing.status == "failed" for standing in done.standings.values()):
            answer.exit_code = FAILED
        if stop.asked is not None:
            answer.exit_code = INTERRUPTED


def _compared(done: Sweep, output: Path) -> tuple[str, str | None]:
    """What the trials reached, in words, and the page about it; None where none finished."""
    from fedchunk.analysis.comparison_report import write_comparison

    finished = sum(trial.is_done for trial in done.trials)
    head = f"{finished} of {len(done.trials)} trials finished, in {output}"
    if not finished:
        return head, None
    result = done.compare()
    report = write_comparison(result, output / "comparison")
    return f"{result}\n\n{head}\n{report}", str(report.html)
