"""What fedchunk makes of FedPilot's keys, spellings and nulls that it does not have itself.

A FedPilot file carries many keys of features that are switched off. Those are let through with a notice; a key that
asks for a feature which fedchunk does not have is refused, because a run without it would answer another question.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

ALIASES = {"fedprox_mu": "mu", "client_k_neighbors": "k_value"}
"""FedPilot's second names of settings."""

SPELLINGS: Mapping[str, Mapping[str, str]] = {
    "federated_learning_schema": {
        "traditional": "TraditionalFederatedLearning",
        "decentralized": "DecentralizedFederatedLearning",
        "CentralizedFederatedLearning": "TraditionalFederatedLearning",
    },
    "dataset_type": {"fashion-mnist": "fmnist", "cifar-10": "cifar10", "cifar-100": "cifar100"},
    "federated_learning_topology": {"k_connect": "k_connected"},
    "placement_group_strategy": {
        f"placement_group_{strategy}": strategy for strategy in ("pack", "spread", "strict_pack", "strict_spread")
    },
}
"""FedPilot's other words for a value; capitals do not matter."""

NULL_IS_DEFAULT = frozenset(
    {"number_of_epochs", "train_batch_size", "test_batch_size", "sensitivity_percentage", "distance_metric"}
)
"""Settings whose null means the default, as in FedPilot, though null is not a value of them here."""

UNSUPPORTED_VALUES: Mapping[str, str] = {
    "federated_learning_schema": "fedchunk has no clustered federations",
}
"""What to say of a FedPilot value that the settings do not list."""

_OFF = (False,)
_ANY = ()
_CLUSTERING = "clustering of clients"
_PRIVACY = "differential privacy"
_TELEMETRY = "OpenTelemetry export"
_METRICS = (
    "memory", "round", "performance", "communication", "system", "convergence", "throughput", "availability",
    "topology",
)  # fmt: skip

_FOREIGN: Mapping[str, tuple[tuple[Any, ...], str]] = {
    # key: (values that ask for nothing, the feature it belongs to); _ANY: the key alone never asks for anything
    "topology_adaptation_strategy": (("static",), "topologies that change during a run"),
    "draw_topology": (_OFF, "topology drawings"),
    "do_cluster": (_OFF, _CLUSTERING),
    "clustering_period": (_ANY, _CLUSTERING),
    "pre_computed_data_driven_clustering": (_OFF, _CLUSTERING),
    "distance_metric_on_parameters": (_ANY, _CLUSTERING),
    "remove_common_ids": (_OFF, _CLUSTERING),
    "fed_avg": (_ANY, _CLUSTERING),
    "do_pruning": (_OFF, "pruning"),
    "pruning_threshold": (_ANY, "pruning"),
    "shapley": (_OFF, "Shapley values"),
    "shapley_type": (_ANY, "Shapley values"),
    "dp_enabled": (_OFF, _PRIVACY),
    "dp_epsilon": (_ANY, _PRIVACY),
    "dp_delta": (_ANY, _PRIVACY),
    "dp_clipping_norm": (_ANY, _PRIVACY),
    "dp_noise_multiplier": (_ANY, _PRIVACY),
    "encryption_method": (("none", ""), "encryption of updates"),
    "xmkckks_weight_decimals": (_ANY, "encryption of updates"),
    "otel_enabled": (_OFF, _TELEMETRY),
    "otel_endpoint": (_ANY, _TELEMETRY),
    "otel_service_name": (_ANY, _TELEMETRY),
    "metrics": (_ANY, "switches of its own records: all tables are always recorded"),
    **{f"metrics.{name}": (_ANY, "switches of its own records: all tables are always recorded") for name in _METRICS},
    **{f"{name}_otel": (_OFF, _TELEMETRY) for name in _METRICS},
    **{f"metrics.{name}_otel": (_OFF, _TELEMETRY) for name in _METRICS},
    "mean_accuracy_to_csv": (_ANY, "a choice here: the rounds table is always recorded"),
    "use_global_accuracy_for_noniid": ((True,), "accuracy on parts of the test set"),
    "save_before_aggregation_models": (_OFF, "saving of models before aggregation"),
    "save_global_models": (_OFF, "saving of the model of every round (the final one is always saved)"),
    "runtime_engine": (("torch",), "engines other than torch"),
    "gpu_index": ((0, "0"), "a choice of GPUs by number: set gpus_per_actor, and CUDA_VISIBLE_DEVICES for Ray"),
    "client_role": (("train",), "roles of clients: all of them train"),
    "transformer_model_size": (_ANY, "text transformers"),
    "desired_distribution": ((None,), "label distributions given as a matrix"),
    "production_mode": (_OFF, "a production mode"),
}


def is_foreign(key: str, value: Any) -> bool:
    """Whether a key that both have is meant as FedPilot's: its ``metrics`` are switches, ours a list of names."""
    return key == "metrics" and isinstance(value, Mapping)


KEYS = frozenset(_FOREIGN)
"""FedPilot's keys that have no counterpart in fedchunk."""


def asks_for(key: str, value: Any, beside: Mapping[str, Any] = MappingProxyType({})) -> str | None:
    """The feature that a key of :data:`KEYS` asks for with this value, or None if it asks for nothing.

    ``fed_avg: true`` is FedPilot's switch that turns clustering off, whatever ``do_cluster`` says.

    Args:
        key: the key.
        value: its value.
        beside: all values of the file by key.

    Example:
        >>> asks_for("dp_enabled", False), asks_for("dp_enabled", True)
        (None, 'differential privacy')
    """
    neutral, feature = _FOREIGN[key]
    if key == "do_cluster" and beside.get("fed_avg") is True:
        return None
    if key == "metrics" and isinstance(value, Mapping):
        exported = [name for name, on in value.items() if str(name).endswith("_otel") and on]
        return _TELEMETRY if exported else None
    word = value.lower() if isinstance(value, str) else value
    if value is None or not neutral or any(word == known and type(word) is type(known) for known in neutral):
        return None
    return feature
