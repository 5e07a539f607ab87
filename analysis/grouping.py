"""Which runs repeat the same experiment, and what tells experiments apart."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fedchunk.analysis.load import Run

NOT_COMPARED = frozenset({
    "random_seed", "federation_id", "data_dir", "download",
    "device", "number_of_actors", "cpus_per_actor", "gpus_per_actor", "torch_threads", "placement_group_strategy",
    "startup_timeout_s", "client_timeout_s", "client_timeout_least_s", "max_attempts", "object_store_memory_mb",
    "transport", "ray_dashboard",
    "ray_dashboard_port", "clients_per_call", "profile", "stop_timeout_s", "checkpoint_interval",
    "checkpoints_to_keep", "max_run_restarts", "mlflow_finish_timeout_s",
    "record_chunks", "metrics", "target_metric", "target_direction", "recorders",
    "mlflow_enabled", "mlflow_tracking_uri", "mlflow_experiment_prefix",
})  # fmt: skip
"""Settings that make no other experiment: the seed, names and places, those of processes, and what is recorded."""

NO_SETTINGS = ("method", "components", "target")
"""Other things that ``config.json`` holds. ``components`` counts, as part of the settings that name them."""

BEFORE = {"task": "classification", "loss_function": "CrossEntropy"}
"""What runs did before there was a choice, or before null said it: the same as null."""

ORIGIN = "forked_from"
"""What a fork branched off. It counts: its first rounds had other settings."""

OF_CHUNKS = (
    "chunk",
    "sensitivity",
    "dynamic_sensitivity",
    "distance_metric",
    "agreement",
    "reconstruction",
    "stale_copy",
    "relay_step",
    "downlink_sensitivity",
    "withheld",
    "catch_up",
)
"""How the names of the settings of chunks begin."""

DIGITS = 8
"""Of a source's SHA-256, where a name alone does not tell."""

LONGEST = 24
"""Letters of a value in a label."""


def grouped(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs with equal settings, those of :data:`NOT_COMPARED` apart; groups and runs in the order given.

    A setting that a run does not have, because it is older, counts as null, and so does an empty list or mapping. Of a
    user's component the source counts, not the file that it was in.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        settings = {name: _meaning(run.config, name) for name in _compared(run.config)}
        known = {name: value for name, value in settings.items() if value is not None}
        groups.setdefault(json.dumps(known, sort_keys=True), []).append(run)
    return list(groups.values())


def differing(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each group the values of the settings that are not the same in all of them, in the file's order.

    A user's component is told by its name; where another group has the same name for another source, also by the
    beginning of its SHA-256: ``./mine.py:signed@1a2b3c4d``.
    """
    names = dict.fromkeys(name for config in configs for name in _compared(config))
    columns = {name: _told(configs, name) for name in names if len({_key(config, name) for config in configs}) > 1}
    return [{name: values[i] for name, values in columns.items()} for i in range(len(configs))]


def _compared(config: Mapping[str, Any]) -> list[str]:
    return [name for name in config if name not in NOT_COMPARED and name not in NO_SETTINGS]


def _meaning(config: Mapping[str, Any], name: str) -> Any:
    """What a setting's value comes to: null for one that says nothing; of a user's component its name and source."""
    if name == ORIGIN:
        return origin_text(config.get(name))
    value, source = config.get(name), _source(config, name)
    if source:
        return [str(value).rpartition(":")[2], source]
    return None if value in ({}, [], ()) or (name in BEFORE and value == BEFORE[name]) else value


def _value(config: Mapping[str, Any], name: str) -> Any:
    """A setting's value as it is told."""
    return origin_text(config.get(name)) if name == ORIGIN else config.get(name)


def origin_text(origin: Mapping[str, Any] | None) -> str | None:
    """What tells a fork from a run that began with its settings: the rounds that had others; None where none had.

    Which run it was, does not count: forks of several seeds at one round, with the same change, are one experiment.

    Example:
        >>> origin_text({"run": "runs/a", "round": 4, "before": {"learning_rate": 0.1, "federation_id": "a"}})
        'round 4 of learning_rate=0.1'
    """
    if origin is None:
        return None
    before = {name: value for name, value in (origin.get("before") or {}).items() if name not in NOT_COMPARED}
    changed = ", ".join(f"{name}={_text(value)}" for name, value in before.items())
    earlier = origin_text(origin.get(ORIGIN))
    own = f"round {origin['round']} of {changed}" if changed else None
    return "; ".join(text for text in (own, earlier) if text) or None


def _source(config: Mapping[str, Any], name: str) -> str:
    """The SHA-256 of the source of the user's component that a setting names; empty for anything else."""
    components = config.get("components") or {}
    return str(components.get(name, {}).get("sha256", ""))


def _key(config: Mapping[str, Any], name: str) -> str:
    return json.dumps(_meaning(config, name), sort_keys=True)


def _told(configs: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """The values of a setting, each as :func:`differing` says."""
    meant: dict[str, set[str]] = {}
    for config in configs:
        meant.setdefault(json.dumps(_value(config, name), sort_keys=True), set()).add(_key(config, name))
    values = []
    for config in configs:
        value, source = _value(config, name), _source(config, name)
        ambiguous = len(meant[json.dumps(value, sort_keys=True)]) > 1
        values.append(f"{value}@{source[:DIGITS]}" if source and ambiguous else value)
    return values


def labels(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """A short, unique name for each group: of the settings that differ those that are needed to tell groups apart.

    A setting that splits the groups exactly as one already named is left out, so a run of other model *and* other
    learning rate is told by its model. As long as the name stays unique, ``chunking=false`` stands for all settings
    of chunks, and any of these for ``chunking=true``. A single group is ``all runs``.
    """
    names = sorted(settings[0], key=lambda name: name != "chunking") if settings else []
    told: dict[tuple[int, ...], str] = {}
    for name in names:
        seen = [json.dumps(values[name], sort_keys=True) for values in settings]
        told.setdefault(tuple(seen.index(value) for value in seen), name)
    named = [name for name in names if name in told.values()]
    texts = {name: _texts(values[name] for values in settings) for name in named}
    full = [_label(i, named, texts) for i in range(len(settings))]
    short = [_label(i, _telling(values, named), texts) for i, values in enumerate(settings)]
    return [brief if short.count(brief) == 1 else long for brief, long in zip(short, full, strict=True)]


def _telling(values: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    of_chunks = [name for name in names if name.startswith(OF_CHUNKS) and name != "chunking"]
    if values.get("chunking") is False:
        return [name for name in names if name not in of_chunks]
    return [name for name in names if name != "chunking"] if of_chunks else list(names)


def _label(group: int, names: Sequence[str], texts: Mapping[str, Sequence[str]]) -> str:
    return ", ".join(f"{name}={texts[name][group]}" for name in names) or "all runs"


def _texts(values: Iterable[Any]) -> list[str]:
    """The values of a setting as text, shortened where they can still be told apart."""
    whole = [_text(value) for value in values]
    short = [_shortened(text) for text in whole]
    return short if len(set(short)) == len(set(whole)) else whole


def _text(value: Any) -> str:
    """A value as it stands in a settings file."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_text(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_text, value)) + "]"
    return value if isinstance(value, str) else json.dumps(value)


def _shortened(text: str) -> str:
    """The beginning of a long text; the digits of a source stay."""
    digits = re.search(rf"@[0-9a-f]{{{DIGITS}}}$", text)
    end = digits.group() if digits else ""
    name = text.removesuffix(end)
    return text if len(name) <= LONGEST else name[: LONGEST - 1] + "\u2026" + end
