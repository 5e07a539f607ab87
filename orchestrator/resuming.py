"""What a run that goes on needs: its settings, and whether what is to change would change rounds that are over."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.core.manifest import check, digest_of
from fedchunk.orchestrator.core.model_files import changed_files
from fedchunk.orchestrator.registry import KIND_OF_KEY
from fedchunk.orchestrator.settings.loading import load
from fedchunk.orchestrator.settings.running import RuntimeSettings
from fedchunk.orchestrator.settings.whole import Settings

ROUNDS = "federated_learning_rounds"
MAY_CHANGE = (RuntimeSettings.model_fields.keys() - {"device", "torch_threads"}) | {
    "data_dir", "download", "patience", "stop_avg_accuracy", "stop_target", "recorders",
    "mlflow_enabled", "mlflow_tracking_uri", "mlflow_finish_timeout_s",
}  # fmt: skip
"""Settings that no finished round depends on."""


@dataclass(frozen=True)
class Resumed:
    """A run that is to go on."""

    settings: Settings
    changed: Mapping[str, Any]
    """Settings that are not what they were."""
    code_changed: bool
    """Whether components are other ones than before: what follows is not what would have followed."""


def resumed(
    run: Path,
    overrides: Sequence[str] = (),
    objects: Mapping[str, Any] = MappingProxyType({}),
    *,
    accept_changes: bool = False,
) -> Resumed:
    """The settings of a recorded run, with what is to change.

    Args:
        run: the run's folder.
        overrides: ``key=value`` from the command line.
        objects: the same from Python; also functions and classes, where names of components stand.
        accept_changes: take components whose source has changed since.

    Raises:
        ConfigError: this is not the folder of a run, or what is to change would change what is over.
    """
    values = recorded(run)
    own: Mapping[str, Mapping[str, str]] = values.get("components", {})
    moved, faults = _moved_sources(own, accept_changes=accept_changes)
    now = load(run / "config.yaml", (*moved, *overrides), objects).settings
    before = settings_before(run) or now
    old = before.flat()
    changed = {key: value for key, value in now.flat().items() if value != old[key] and key not in own}
    faults += [*_code_faults(own, now, accept_changes=accept_changes), *_past_faults(changed, old, now)]
    faults += [*first_model_fault(values, now), *model_faults(values, now), *kept_models_fault(changed, before, now)]
    if faults:
        raise ConfigError(faults)
    return Resumed(now, changed, bool(moved) or _other_code(own, now))


def recorded(run: Path) -> dict[str, Any]:
    """What ``config.json`` of a run says. Raises ConfigError where there is none."""
    for name in ("config.json", "config.yaml"):
        check(run, run / name)
    try:
        values: dict[str, Any] = json.loads((run / "config.json").read_text(encoding="utf-8"))
        return values
    except (OSError, ValueError) as error:
        message = f"is not a run's folder ({error}); give the folder that fedchunk run named"
        raise ConfigError([Fault(str(run), "", message)]) from None


def first_model_fault(values: Mapping[str, Any], now: Settings) -> Iterator[Fault]:
    """The file of the first model is still needed: by clients that have not taken part yet."""
    digest, file = values.get("initial_model_sha256"), now.federation.initial_file
    if digest is None or file is None:
        return
    path = Path(file).expanduser()
    if not path.is_file() or digest_of(path) != digest:
        yield Fault("", "initial_model", f"{file} is not the file that the run began with; put that one there again")


def model_faults(values: Mapping[str, Any], now: Settings) -> Iterator[Fault]:
    """The files of a model's folder are still needed: each actor loads it again, and what is frozen is nowhere else."""
    before, folder = values.get("model_files"), now.model_folder
    if before is None or folder is None:
        return
    try:
        changes = [f"{change} when the run began" for change in changed_files(Path(folder).expanduser(), before)]
    except OSError as error:
        changes = [f"{folder} cannot be read ({error})"]
    for change in changes:
        yield Fault("", "model_options", f"{change}; put the model there again as it was, or begin a new run")


def settings_before(run: Path) -> Settings | None:
    """What the run was; None where a component of it was handed over by Python and has to be again."""
    try:
        return load(run / "config.yaml").settings
    except ConfigError:
        return None


def _moved_sources(own: Mapping[str, Mapping[str, str]], *, accept_changes: bool) -> tuple[list[str], list[Fault]]:
    """Components whose files are not what they were: as overrides where that is accepted, else as faults."""
    from fedchunk.orchestrator.component_source import NotFound, find

    overrides: list[str] = []
    faults: list[Fault] = []
    for key, described in own.items():
        kind = KIND_OF_KEY[key.partition(".")[0]]
        file, attribute = described["place"].rpartition(":")[0], described["name"].rpartition(":")[2]
        if not file or not Path(file).is_file() or kind.many:
            continue  # the run's folder has its source
        try:
            digest = find(kind, f"{file}:{attribute}", Path(file).parent).sha256
        except NotFound:
            continue
        if digest == described["sha256"]:
            continue
        if accept_changes:
            overrides.append(f"{kind.key}={file}:{attribute}")
        else:
            message = f"{file} has changed since the run began; --accept-changes takes it as it is now"
            faults.append(Fault(file, kind.key, message))
    return overrides, faults


def _code_faults(own: Mapping[str, Mapping[str, str]], now: Settings, *, accept_changes: bool) -> Iterator[Fault]:
    if _other_code(own, now) and not accept_changes:
        message = "a component is not the one that the run began with; --accept-changes takes it as it is now"
        yield Fault("", ", ".join(sorted(own.keys() | now.components.described.keys())), message)


def _other_code(own: Mapping[str, Mapping[str, str]], now: Settings) -> bool:
    def digests(described: Mapping[str, Mapping[str, str]]) -> list[tuple[str, str]]:
        return sorted((key.partition(".")[0], one["sha256"]) for key, one in described.items())

    return digests(own) != digests(now.components.described)


def kept_models_fault(changed: Iterable[str], old: Settings, now: Settings) -> Iterator[Fault]:
    """What is wrong where clients kept no models, since all knew the same one, and now have to have them."""
    from fedchunk.orchestrator.methods.method import all_know_one_model

    if all_know_one_model(old) and not all_know_one_model(now):
        before, after = old.flat(), now.flat()
        for key in sorted({"transport", "catch_up"} & set(changed)):
            why = "clients have kept no models that messages could be added to: all knew the same one"
            yield Fault("", key, f"got {after[key]}, but {why}; it was {before[key]}: begin a new run for it")


def _past_faults(changed: Mapping[str, Any], old: Mapping[str, Any], now: Settings) -> Iterator[Fault]:
    for key, value in changed.items():
        if key == ROUNDS:
            if (why := _depends_on_rounds(now)) is not None:
                yield Fault("", key, f"got {value}, but {why}; allowed: {old[key]}, or a new run")
        elif key not in MAY_CHANGE:
            yield Fault("", key, f"got {value!r}, which would change rounds that are over; it was {old[key]!r}")


def _depends_on_rounds(settings: Settings) -> str | None:
    """Why rounds that are over would have been other ones with more rounds to come; None if they would not."""
    for kind in ("learning_rate_schedule", "server_learning_rate_schedule"):
        if "rounds" in settings.signature(kind).names:
            return f"{kind} spreads over all rounds"
    if settings.federation.final_average:
        return "final_average belongs to the last round, in which the peers' models became one"
    if settings.chunking.chunking and settings.chunking.sensitivity_budget_mb is not None:
        return "sensitivity_budget_mb is spread over all rounds"
    return None
