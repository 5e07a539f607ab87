"""Rules that join several settings: what contradicts itself is refused, what has no effect is said aloud."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.settings import Settings

OWN_MODELS = ("mlp", "cnn", "lenet")
"""Models that torchvision has no trained weights for."""
SAMPLES = {"digits": 1797, "mnist": 60_000, "fmnist": 60_000, "cifar10": 50_000, "cifar100": 50_000}
"""Samples that clients can share at most (digits: before its test part is taken)."""
CHUNKING_KEYS = (
    "sensitivity_percentage", "dynamic_sensitivity_percentage", "sensitivity_energy", "chunking_parts", "chunk_score",
    "chunking_with_gradients", "chunking_random_section", "distance_metric", "chunk_reconstruction",
)  # fmt: skip
SYNTHETIC_KEYS = (
    "synthetic_samples", "synthetic_test_samples", "synthetic_classes", "synthetic_channels", "synthetic_size",
)  # fmt: skip


@dataclass(frozen=True)
class Remark:
    """Something to say about several settings together, the one to change first."""

    keys: tuple[str, ...]
    message: str


def contradictions(settings: Settings) -> list[Remark]:
    """What cannot be meant, or cannot be run. Each names all the settings it depends on."""
    return [*_chunking_contradictions(settings), *_data_contradictions(settings), *_device_contradictions(settings)]


def _chunking_contradictions(settings: Settings) -> Iterator[Remark]:
    chunking = settings.chunking
    if chunking.chunking_random_section and chunking.chunk_score not in (None, "random"):
        yield Remark(
            ("chunk_score", "chunking_random_section"),
            f"got {chunking.chunk_score} together with chunking_random_section: true, which chooses at random; "
            "remove one of them",
        )
    if not chunking.chunking_with_gradients and chunking.chunk_score == "gradient":
        yield Remark(
            ("chunk_score", "chunking_with_gradients"),
            "got gradient together with chunking_with_gradients: false; remove one of them",
        )


def _data_contradictions(settings: Settings) -> Iterator[Remark]:
    data, clients = settings.data, settings.federation.number_of_clients
    samples = SAMPLES.get(data.dataset_type, data.synthetic_samples)
    if clients > samples:
        size_keys = ("synthetic_samples",) if data.dataset_type == "synthetic" else ()
        yield Remark(
            ("number_of_clients", "dataset_type", *size_keys),
            f"got {clients}, but {data.dataset_type} has only {samples} samples and each client needs one; allowed "
            f"here: at most {samples}",
        )
    if settings.training.pretrained_models and settings.training.model_type in OWN_MODELS:
        yield Remark(
            ("pretrained_models", "model_type"),
            f"got true, but there are no trained weights for model_type {settings.training.model_type}; "
            "allowed: false, or one of torchvision's models",
        )


def _device_contradictions(settings: Settings) -> Iterator[Remark]:
    device, gpus = settings.runtime.device, settings.runtime.gpus_per_actor
    if gpus is not None and device == "cpu":
        yield Remark(
            ("gpus_per_actor", "device"),
            f"got {gpus:g} together with device: cpu; remove it, or set device to cuda or auto",
        )
    if gpus is not None and gpus > 1 and not gpus.is_integer():
        yield Remark(("gpus_per_actor",), f"got {gpus:g}; allowed: a share up to 1, or a whole number: Ray's rule")


def without_effect(settings: Settings) -> list[Remark]:
    """Settings that were changed and change nothing, and values that are rarely meant."""
    idle = (
        Remark(keys, f"{_no_effect(keys)} {reason}")
        for candidates, reason in _idle_settings(settings)
        if (keys := _changed(settings, candidates))
    )
    return [*idle, *_suspicions(settings)]


def _idle_settings(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Settings that nothing reads as things are, with the reason."""
    chunking, training, data = settings.chunking, settings.training, settings.data
    if not chunking.chunking:
        yield CHUNKING_KEYS, "chunking is false: the whole model is exchanged"
    elif not chunking.dynamic_sensitivity_percentage:
        yield ("sensitivity_energy",), "dynamic_sensitivity_percentage is false"
    if training.aggregation_strategy != "FedProx":
        yield ("mu",), "aggregation_strategy is not FedProx"
    if training.optimizer not in ("sgd", "rmsprop"):
        yield ("momentum",), f"optimizer {training.optimizer} has moments of its own"
    if data.data_distribution_kind not in ("dir", "iid-diff-quantity"):
        yield ("dirichlet_beta",), f"data_distribution_kind is {data.data_distribution_kind}"
    if data.dataset_type != "synthetic":
        yield SYNTHETIC_KEYS, f"dataset_type is {data.dataset_type}"
    if not settings.runtime.ray_dashboard:
        yield ("ray_dashboard_port",), "ray_dashboard is false"
    if not settings.tracking.mlflow_enabled:
        yield ("mlflow_tracking_uri", "mlflow_experiment_prefix"), "mlflow_enabled is false"


def _suspicions(settings: Settings) -> Iterator[Remark]:
    yield from _chunking_suspicions(settings)
    federation, runtime = settings.federation, settings.runtime
    if settings.training.proximal_mu == 0 and settings.training.aggregation_strategy == "FedProx":
        yield Remark(("mu", "aggregation_strategy"), "FedProx with mu 0 is FedAvg")
    rounds = federation.federated_learning_rounds
    if federation.stop_avg_accuracy is not None and federation.evaluation_interval >= rounds > 1:
        message = f"has no effect: with evaluation_interval {federation.evaluation_interval} only the last round counts"
        yield Remark(("stop_avg_accuracy", "evaluation_interval"), message)
    if runtime.number_of_actors is not None and runtime.number_of_actors > federation.number_of_clients:
        message = f"got {runtime.number_of_actors} for {federation.number_of_clients} clients: the rest will be idle"
        yield Remark(("number_of_actors", "number_of_clients"), message)
    if runtime.torch_threads > max(1, runtime.cpus_per_actor):
        message = f"got {runtime.torch_threads}, more than cpus_per_actor reserves: actors will slow each other down"
        yield Remark(("torch_threads", "cpus_per_actor"), message)


def _chunking_suspicions(settings: Settings) -> Iterator[Remark]:
    chunking = settings.chunking
    if not chunking.chunking:
        return
    percentage = chunking.sensitivity_percentage
    if percentage < 1:
        yield Remark(
            ("sensitivity_percentage",),
            f"is a percentage: {percentage:g} means {percentage:g} % of the chunks; write {100 * percentage:g} "
            f"if you meant {100 * percentage:g} %",
        )
    if percentage == 100 and not chunking.dynamic_sensitivity_percentage:
        yield Remark(("sensitivity_percentage", "chunking"), "is 100: every chunk is sent and nothing is saved")
    if chunking.dynamic_sensitivity_percentage and chunking.score == "random":
        yield Remark(
            ("dynamic_sensitivity_percentage", "chunking_random_section", "chunk_score"),
            "adapts to random scores here, which say nothing of a chunk",
        )


def _changed(settings: Settings, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of ``names`` that do not have their default."""
    values = settings.flat()
    defaults: dict[str, Any] = type(settings)().flat()
    return tuple(name for name in names if values[name] != defaults[name])


def _no_effect(keys: tuple[str, ...]) -> str:
    others = f" (nor {'has' if len(keys) == 2 else 'have'} {', '.join(keys[1:])})" if len(keys) > 1 else ""
    return f"has no effect{others}:"
