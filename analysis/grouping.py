"""Which runs repeat the same experiment, and what tells experiments apart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fedchunk.analysis.load import Run

NOT_COMPARED = frozenset({
    "random_seed", "federation_id", "data_dir", "download",
    "device", "number_of_actors", "cpus_per_actor", "gpus_per_actor", "torch_threads", "placement_group_strategy",
    "startup_timeout_s", "client_timeout_s", "max_attempts", "object_store_memory_mb", "transport", "ray_dashboard",
    "ray_dashboard_port", "clients_per_call", "profile",
    "record_chunks", "mlflow_enabled", "mlflow_tracking_uri", "mlflow_experiment_prefix",
})  # fmt: skip
"""Settings that make no other experiment: the seed, names and places, and those of processes and of recording."""

OF_CHUNKS = (
    "chunk",
    "sensitivity",
    "dynamic_sensitivity",
    "distance_metric",
    "agreement",
    "stale_copy",
    "downlink_sensitivity",
    "withheld_share",
)
"""How the names of the settings of chunks begin."""


def grouped(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs with equal settings, those of :data:`NOT_COMPARED` apart; groups and runs in the order given.

    A setting that a run does not have, because it is older, counts as null.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        settings = {name: value for name, value in run.config.items() if name not in NOT_COMPARED and value is not None}
        groups.setdefault(json.dumps(settings, sort_keys=True), []).append(run)
    return list(groups.values())


def differing(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each group the values of the settings that are not the same in all of them, in the file's order."""
    names = [name for name in dict.fromkeys(name for config in configs for name in config) if name not in NOT_COMPARED]
    values = {name: [config.get(name) for config in configs] for name in names}
    kept = [name for name in names if any(value != values[name][0] for value in values[name])]
    return [{name: values[name][i] for name in kept} for i in range(len(configs))]


def labels(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """A short, unique name for each group: of the settings that differ those that are needed to tell groups apart.

    A setting that splits the groups exactly as one already named is left out, so a run of other model *and* other
    learning rate is told by its model. As long as the name stays unique, ``chunking=false`` stands for all settings
    of chunks, and any of these for ``chunking=true``. A single group is ``all runs``.
    """
    names = sorted(settings[0], key=lambda name: name != "chunking") if settings else []
    told: dict[tuple[int, ...], str] = {}
    for name in names:
        seen = [json.dumps(values[name]) for values in settings]
        told.setdefault(tuple(seen.index(value) for value in seen), name)
    named = [name for name in names if name in told.values()]
    full = [_label(values, named) for values in settings]
    short = [_label(values, _telling(values, named)) for values in settings]
    return [brief if short.count(brief) == 1 else long for brief, long in zip(short, full, strict=True)]


def _telling(values: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    of_chunks = [name for name in names if name.startswith(OF_CHUNKS) and name != "chunking"]
    if values.get("chunking") is False:
        return [name for name in names if name not in of_chunks]
    return [name for name in names if name != "chunking"] if of_chunks else list(names)


def _label(values: Mapping[str, Any], names: Sequence[str]) -> str:
    return ", ".join(f"{name}={_text(values[name])}" for name in names) or "all runs"


def _text(value: Any) -> str:
    """A value as it stands in a settings file, shortened if need be."""
    if isinstance(value, float):
        return f"{value:g}"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 24 else text[:23] + "\u2026"


def is_dense(config: Mapping[str, Any]) -> bool:
    """Whether the whole model always travels: chunking is off, or every chunk goes in every round, both ways."""
    fixed = config.get("sensitivity_policy") in (None, "fixed") and not config.get("dynamic_sensitivity_percentage")
    whole = config.get("sensitivity_percentage") == 100 and config.get("sensitivity_budget_mb") is None
    back = config.get("downlink_sensitivity_percentage") in (None, 100)
    return not config.get("chunking") or (fixed and whole and back)
