"""The command that writes a run's model in the formats of others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedchunk.orchestrator.cli_options import AsJson
from fedchunk.orchestrator.commands.console import answering

exports = typer.Typer()


@exports.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", show_default=False)],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.", show_default=False)],
    merged: Annotated[
        bool, typer.Option("--merged", help="The whole model, with its adapters merged into it.")
    ] = False,
    client: Annotated[
        int | None, typer.Option("--client", metavar="N", help="Whose model, of a run with local_parameters.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a run's adapters for peft, or with --merged its whole model, for transformers where it is theirs."""
    with answering(as_json) as answer:
        from fedchunk.orchestrator.export import export as write

        files = write(run, folder, merged=merged, client=client)
        answer.give({"files": [str(file) for file in files]}, "\n".join(f"wrote {file}" for file in files))
