"""What a run that branches off another one needs: settings that the state after a round of it fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.methods.method import rule_of
from fedchunk.orchestrator.resuming import (
    ROUNDS,
    first_model_fault,
    kept_models_fault,
    model_faults,
    recorded,
    settings_before,
)
from fedchunk.orchestrator.settings.loading import load
from fedchunk.orchestrator.settings.whole import Settings

_MODEL = "the checkpoint holds the weights of that model"
_LAYOUT = "the checkpoint knows of each of its chunks when it was sent"
_SAMPLES = "clients go on with the samples that they have"
_FIRST = "it says how the first round began"
UNFIT: Mapping[str, str] = {
    **dict.fromkeys(("model_type", "model_options", "pretrained_models", "transform_input_size"), _MODEL),
    **dict.fromkeys(("lora_rank", "lora_alpha", "lora_targets"), _MODEL),
    "local_parameters": "the checkpoint holds what is shared of the model, and what each client keeps of it",
    **dict.fromkeys(("task", "task_options"), "clients learn what the targets of their samples are"),
    **dict.fromkeys(("target_metric", "target_direction"), "the rounds that are over are judged by it"),
    **dict.fromkeys(("chunking", "chunking_parts", "chunk_layout"), _LAYOUT),
    **dict.fromkeys(
        (
            "number_of_clients", "dataset_type", "dataset_options", "tokenizer", "tokenizer_options",
            "data_distribution_kind", "partition_options", "dirichlet_beta", "client_test_share", "synthetic_samples",
            "synthetic_test_samples", "synthetic_classes", "synthetic_channels", "synthetic_size",
        ),
        _SAMPLES,
    ),
    "random_seed": f"rounds that are over drew from it, and {_SAMPLES}",
    **dict.fromkeys(("initial_model", "initial_model_known"), _FIRST),
    "federated_learning_schema": "what peers and a coordinator remember has nothing in common",
    "chunk_agreement": "only where chunks are agreed on does the coordinator remember how fast they change",
    "sensitivity_budget_mb": "the checkpoint says what is left of it",
    "reconstruction_options": "the coordinator's model may hold them",
    "momentum_start": "clients remember from round to round what it takes",
    "record_chunks": "the rounds that are over are recorded in that way",
}  # fmt: skip
"""Settings that no fork may change, and why."""
GRAPH = ("federated_learning_topology", "topology_options", "k_value", "adjacency_matrix_file_name")


@dataclass(frozen=True)
class Forked:
    """A run that is to branch off."""

    settings: Settings
    before: Mapping[str, Any]
    """What the settings that are changed were."""


def forked(
    run: Path, at: int, overrides: Sequence[str] = (), objects: Mapping[str, Any] = MappingProxyType({})
) -> Forked:
    """The settings of a fork of a recorded run.

    Args:
        run: the run's folder.
        at: the round after which it branches off.
        overrides: ``key=value`` from the command line.
        objects: the same from Python; also functions and classes, where names of components stand.

    Raises:
        ConfigError: this is not the folder of a run, or the state after that round does not fit what is to change.
    """
    values = recorded(run)
    now = load(run / "config.yaml", overrides, objects).settings
    own = values.get("components", {})
    old = settings_before(run) or _with_objects_again(run, objects, own)
    before = {key: value for key, value in old.flat().items() if _differs(key, old, now, own)}
    faults = [*_unfit(before, now), *_unfit_together(before, old, now), *first_model_fault(values, now)]
    faults += [*model_faults(values, now), *kept_models_fault(before, old, now)]
    if old.federation.final_average and old.federation.federated_learning_rounds <= at:
        message = f"ended round {at}, and made the peers' models one; fork the run at a checkpoint of an earlier round"
        faults.append(Fault("", "final_average", message))
    if now.federation.federated_learning_rounds <= at:
        message = f"got {now.federation.federated_learning_rounds}, but {at} rounds are over; allowed: more than that"
        faults.append(Fault("", ROUNDS, message))
    if faults:
        raise ConfigError(faults)
    return Forked(now, before)


def _with_objects_again(run: Path, objects: Mapping[str, Any], own: Mapping[str, Any]) -> Settings:
    """What the run was, where components of it were handed over by Python: those that are handed over again."""
    keys = {key.partition(".")[0] for key in own}
    return load(run / "config.yaml", (), {key: value for key, value in objects.items() if key in keys}).settings


def _differs(key: str, old: Settings, now: Settings, own: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a setting is another one; of users' components the source counts, wherever it lies."""
    described = now.components.described
    if key in own and key in described:
        return _identity(own[key]) != _identity(described[key])
    return bool(old.flat()[key] != now.flat()[key]) or (key in own) != (key in described)


def _identity(described: Mapping[str, str]) -> tuple[str, str]:
    """The source of a user's component, and which part of it."""
    return described["sha256"], described["name"].rpartition(":")[2]


def _unfit(before: Mapping[str, Any], now: Settings) -> Iterator[Fault]:
    after = now.flat()
    for key in before.keys() & UNFIT.keys():
        yield Fault("", key, f"got {after[key]!r}, but {UNFIT[key]}; it was {before[key]!r}: begin a new run for it")


def _unfit_together(before: Mapping[str, Any], old: Settings, now: Settings) -> Iterator[Fault]:
    """What fits or not by what else is in force."""
    after, rule, rule_before = now.flat(), rule_of(now), rule_of(old)
    needs_more = rule_before.replaces_sent and not rule.replaces_sent
    if "chunk_reconstruction" in before and not _same_memory(old, now):
        yield _fault("chunk_reconstruction", before, after, "the two rules remember other things from round to round")
    elif "chunk_reconstruction" in before and needs_more and not now.federation.peer_to_peer:
        why = f"clients keep of their models what {before['chunk_reconstruction']} needs, and it needs more"
        yield _fault("chunk_reconstruction", before, after, why)
    if before.get("server_optimizer", "none") != "none" and now.federation.server_optimizer != "none":
        why = f"the checkpoint holds the state of {before['server_optimizer']}; allowed: that, or none"
        yield _fault("server_optimizer", before, after, why)
    for key in before.keys() & {*GRAPH}:
        if rule.keeps_copies:
            yield _fault(key, before, after, "each peer keeps the sum of what it has heard of its neighbours")
    step, was = now.chunking.copy_step, old.chunking.copy_step
    if rule.keeps_copies and "stale_copy_step" in now.signature("exchange_rule").names and step != was:
        message = f"is {step!r} where it was {was!r}, but the models that peers keep are that step on; allowed: {was!r}"
        yield Fault("", "stale_copy_step", message)
    share = "downlink_sensitivity_percentage"
    if share in before and now.chunking.agrees and (before[share] is None) != (after[share] is None):
        yield _fault(share, before, after, "with consensus the next message down relies on it")


def _same_memory(old: Settings, now: Settings) -> bool:
    """Whether a state of one exchange rule is one of another: by what they keep, for rules that are built in."""
    rules = [rule_of(settings) for settings in (old, now)]
    one, other = ((rule.sends_changes, rule.keeps_residual, rule.keeps_copies, rule.relays) for rule in rules)
    return one == other and not any(settings.bound("exchange_rule").is_own for settings in (old, now))


def _fault(key: str, before: Mapping[str, Any], after: Mapping[str, Any], why: str) -> Fault:
    return Fault("", key, f"got {after[key]!r}, but {why}; it was {before[key]!r}")
