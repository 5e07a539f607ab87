"""The command that branches a run off another one: fork."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedchunk.orchestrator.cli_options import AsJson, Overrides, TrackingUri
from fedchunk.orchestrator.cli_play import played
from fedchunk.orchestrator.commands.console import answering
from fedchunk.orchestrator.stopping import Stop

forks = typer.Typer()


@forks.command()
def fork(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder.", show_default=False)],
    overrides: Overrides = None,
    at: Annotated[
        int | None,
        typer.Option(metavar="ROUND", help="Branch off after this round; without: after the newest checkpoint.", min=1),
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the fork: new or empty.")] = None,
    address: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Join a running Ray.")] = None,
    local: Annotated[bool, typer.Option("--local", help="Run in this process, without Ray.")] = False,
    tracking_uri: TrackingUri = None,
    as_json: AsJson = False,
) -> None:
    """Go on from a checkpoint of a run with other settings, as a run of its own."""
    stop = Stop()
    with stop.listening(), answering(as_json) as answer:
        from fedchunk.orchestrator.fork import to_fork
        from fedchunk.orchestrator.run import Launch

        settings, branch = to_fork(run, at, overrides or (), {})
        played(answer, stop, settings, Launch(output, address, local, tracking_uri, fork=branch))
