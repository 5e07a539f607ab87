"""The command line: reads arguments and environment, wires the parts together, answers. Only :mod:`main` imports it.

Heavy parts are imported by the command that needs them, so that ``--help`` and ``validate`` answer at once.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedchunk.orchestrator.cli_data import data, may_look
from fedchunk.orchestrator.cli_export import exports
from fedchunk.orchestrator.cli_fork import forks
from fedchunk.orchestrator.cli_options import AsJson, Config, LinksOption, Overrides, TrackingUri
from fedchunk.orchestrator.cli_play import played
from fedchunk.orchestrator.cli_records import records
from fedchunk.orchestrator.cli_sweep import sweeps
from fedchunk.orchestrator.commands.console import FAILED, OK, Answer, answering
from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.core.masking import mask_settings, mask_uri
from fedchunk.orchestrator.settings.loading import json_schema, load
from fedchunk.orchestrator.settings.whole import Settings
from fedchunk.orchestrator.stopping import Stop
from fedchunk.orchestrator.tracking.uri import environment_uri, resolve_store

if TYPE_CHECKING:
    from fedchunk.orchestrator.run import Resume

UI_PORT = 5000

app = typer.Typer(
    name="fedchunk",
    help="Federated learning on Ray in which clients exchange only the chunks of the model that matter.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(data)
app.add_typer(exports)
app.add_typer(forks)
app.add_typer(records)
app.add_typer(sweeps)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(metadata.version("fedchunk"))
        raise typer.Exit


@app.callback()
def fedchunk(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Options of the program itself; the commands follow."""


@app.command()
def run(
    config: Annotated[
        str | None, typer.Argument(metavar="CONFIG", help="YAML file with the settings.", show_default=False)
    ] = None,
    overrides: Overrides = None,
    output: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the results: new or empty.")] = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Join a running Ray; auto: the one here, or RAY_ADDRESS."),
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="Run in this process, without Ray.")] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Write where the time of the rounds went, as a table and a trace.")
    ] = False,
    tracking_uri: TrackingUri = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with the run in this folder; no CONFIG is given then.")
    ] = None,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="With --resume: take components whose source has changed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run an experiment, or go on with one."""
    stop = Stop()
    with stop.listening(), answering(as_json) as answer:
        more = [*(overrides or ()), *(["profile=true"] if profile else ())]
        settings, going_on = _begun_or_new(answer, config, more, resume, accept_changes=accept_changes)
        from fedchunk.orchestrator.run import Launch

        played(answer, stop, settings, Launch(output, address, local, tracking_uri, going_on))


def _begun_or_new(
    answer: Answer, config: str | None, overrides: list[str], resume: Path | None, *, accept_changes: bool
) -> tuple[Settings, Resume | None]:
    """The settings of a new run, or of one that goes on and what is to change of it."""
    if resume is not None:
        changes = overrides if config is None else [config, *overrides]
        from fedchunk.orchestrator.run import to_resume

        return to_resume(resume, changes, {}, accept_changes=accept_changes)
    if config is None:
        message = "no settings were given: fedchunk run CONFIG, or fedchunk run --resume RUN"
        raise ConfigError([Fault("CONFIG", "", message)])
    return _settings(answer, config, overrides), None


@app.command()
def validate(config: Config, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Check a configuration: everything that is wrong, at once."""
    with answering(as_json) as answer:
        loaded = load(config, overrides or ())
        if loaded.settings.federation.federated_learning_topology == "custom":
            from fedchunk.orchestrator.methods.topology import build_topology

            build_topology(loaded.settings)
        if may_look(loaded.settings):
            from fedchunk.orchestrator.learning.data.look import look

            look(loaded.settings)
        result = {
            "status": "valid",
            "notices": list(loaded.notices),
            "settings": mask_settings(loaded.settings.flat()),
        }
        answer.give(result, "\n".join([*loaded.notices, f"{config}: valid{_left_to_plan(loaded.settings)}"]))


def _left_to_plan(settings: Settings) -> str:
    """What only the model tells."""
    if not settings.chunking.chunking:
        return ""
    return f" (whether the model has {settings.chunking.chunking_parts} values or more, fedchunk plan says)"


@app.command()
def plan(
    config: Config,
    overrides: Overrides = None,
    links: LinksOption = None,
    train_seconds: Annotated[
        float | None, typer.Option(min=0, help="With --links: local training of a client in a round, in seconds.")
    ] = None,
    price_per_gb: Annotated[float | None, typer.Option(min=0, help="What a gigabyte (10^9 bytes) costs.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what an experiment will cost: bytes beside full exchange, time, money, memory, actors."""
    with answering(as_json) as answer:
        settings = _settings(answer, config, overrides)
        from fedchunk.orchestrator.commands.plan_time import Rates
        from fedchunk.orchestrator.settings.links_file import load_links

        rates = Rates(load_links(links) if links else None, train_seconds, price_per_gb)
        if train_seconds is not None and links is None:
            raise ConfigError([Fault("--train-seconds", "", "is for time over links; name them with --links")])
        from fedchunk.orchestrator.commands.plan import make_plan
        from fedchunk.orchestrator.commands.plan_report import plan_text
        from fedchunk.orchestrator.learning.build import model_spec
        from fedchunk.orchestrator.learning.data.facts import data_facts

        facts = data_facts(settings)
        spec = model_spec(settings, facts.input_shape, facts.num_classes)
        result = make_plan(settings, spec, facts, actors=_actors_here(settings), rates=rates)
        answer.give(result.as_dict(), plan_text(result))


def _actors_here(settings: Settings) -> int | None:
    """Client actors that a run would start on this machine, None where not one fits."""
    import torch

    from fedchunk.actors.backends.placement import plan_placement

    resources = {"CPU": float(os.cpu_count() or 1), "GPU": float(torch.cuda.device_count())}
    try:
        return plan_placement(settings, resources).number_of_actors
    except ConfigError:
        return None


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port of the page, on this machine only.", min=1, max=65535)] = UI_PORT,
    tracking_uri: TrackingUri = None,
    as_json: AsJson = False,
) -> None:
    """Show the runs in MLflow's UI, lean: one worker, this machine only. Ctrl-C ends it."""
    with answering(as_json) as answer:
        from fedchunk.orchestrator.tracking.ui import ui_command

        uri = tracking_uri or environment_uri()
        command, environment = ui_command(uri, port=port)
        url = f"http://127.0.0.1:{port}"
        text = f"MLflow's UI comes up at {url} in a few seconds; Ctrl-C ends it"
        answer.give({"url": url, "tracking_uri": mask_uri(resolve_store(uri)), "pid": os.getpid()}, text)
        if as_json:
            os.dup2(2, 1)  # the server's own lines go to standard error
        os.execve(command[0], command, environment)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Look whether this machine can run experiments, and say what to do where it cannot."""
    with answering(as_json) as answer:
        from fedchunk.orchestrator.commands.doctor import examine, report, worst
        from fedchunk.orchestrator.settings.running import RuntimeSettings

        ports = {
            RuntimeSettings().ray_dashboard_port: "only if you turn Ray's dashboard on: set another ray_dashboard_port",
            UI_PORT: "perhaps `fedchunk ui` already runs; else choose another port: fedchunk ui --port 5001",
        }
        checks = examine(Path.home(), Path.cwd(), os.environ, ports)
        status = worst(checks)
        answer.give({"status": status, "checks": [asdict(check) for check in checks]}, report(checks))
        answer.exit_code = FAILED if status == "fail" else OK


@app.command()
def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Write a small project: settings, a model and a score of your own, and what to do with them."""
    with answering(as_json) as answer:
        from fedchunk.orchestrator.commands.new import write_project

        files = write_project(folder)
        text = "\n".join([*(f"wrote {file}" for file in files), f"next: cd {folder} && fedchunk run settings.yaml"])
        answer.give({"files": [str(file) for file in files]}, text)


@app.command()
def components(
    kind: Annotated[str | None, typer.Argument(metavar="KIND", help="Only this kind.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """List what settings can name: built in, and what installed packages offer."""
    with answering(as_json) as answer:
        from fedchunk.orchestrator.commands.components import listed, listing

        answer.give(listing(kind), listed(kind))


@app.command()
def schema(as_json: AsJson = False) -> None:
    """Print the JSON schema of the configuration, for editors."""
    with answering(as_json) as answer:
        answer.give(json_schema(), json.dumps(json_schema(), indent=2))


def _settings(answer: Answer, config: str, overrides: list[str] | None) -> Settings:
    """The settings of a command; what is worth saying about them is said."""
    loaded = load(config, overrides or ())
    for notice in loaded.notices:
        answer.say(notice)
    return loaded.settings
