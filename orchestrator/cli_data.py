"""The command about data: who holds what, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedchunk.orchestrator.cli_options import AsJson, Config, Overrides
from fedchunk.orchestrator.commands.console import answering
from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.registry import KINDS, has_function
from fedchunk.orchestrator.settings.joined import Sections
from fedchunk.orchestrator.settings.loading import load

PICTURES = (".png", ".pdf", ".svg")

data = typer.Typer()


def may_look(settings: Sections) -> bool:
    """Whether files of the user say something about data and split that can be checked at once. Imports nothing."""
    return "ONLY_COUNTS" in settings.constants("partition") or has_function(
        KINDS["dataset"], settings.data.dataset_type, "labels"
    )


@data.command("data")
def show(
    config: Config,
    overrides: Overrides = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Picture of the split: .png, .pdf or .svg.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show who would hold what: samples and labels (or tokens, or numbers) by client, before anything runs."""
    with answering(as_json) as answer:
        if output is not None and output.suffix.lower() not in PICTURES:
            message = f"got {str(output)!r}; allowed: a name that ends in {', '.join(PICTURES)}"
            raise ConfigError([Fault("--output", "", message)])
        loaded = load(config, overrides or ())
        for notice in loaded.notices:
            answer.say(notice)
        from fedchunk.orchestrator.commands.data_table import split_text
        from fedchunk.orchestrator.learning.data.held import who_holds_what

        held = who_holds_what(loaded.settings)
        result, text = held.as_dict(), split_text(held)
        if output is not None:
            from fedchunk.analysis.split_figure import Split, save_split

            save_split(output, Split(held.name, held.sizes_N, held.figures_N, held.targets.what))
            result, text = {**result, "picture": str(output)}, f"{text}\n\npicture  {output}"
        answer.give(result, text)
