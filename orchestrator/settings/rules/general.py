"""Rules of data, training, processes and tracking."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fedchunk.orchestrator.registry import KINDS, has_function
from fedchunk.orchestrator.settings.rules.peers import relays
from fedchunk.orchestrator.settings.rules.remark import Idle, Remark

if TYPE_CHECKING:
    from fedchunk.orchestrator.settings.joined import Sections


def contradictions(settings: Sections) -> Iterator[Remark]:
    """What cannot be meant, or cannot be run."""
    yield from _data_contradictions(settings)
    yield from _momentum_contradictions(settings)
    yield from _home_contradictions(settings)
    yield from _own_test_contradictions(settings)
    yield from _device_contradictions(settings)


def _home_contradictions(settings: Sections) -> Iterator[Remark]:
    """Where parameters stay at home."""
    training, federation = settings.training, settings.federation
    if not training.local_parameters:
        return
    if training.carries_momentum:
        yield Remark(
            ("momentum_start", "local_parameters"),
            "got quasi_global together with local_parameters, which have no common direction; allowed here: zero",
        )
    ends = ("stop_avg_accuracy", "stop_target", "patience")
    if not _measures_clients(settings) and any(getattr(federation, key) is not None for key in ends):
        key = next(key for key in ends if getattr(federation, key) is not None)
        yield Remark(
            (key, "evaluate_clients", "local_parameters"),
            "needs evaluate_clients: true where parameters stay at home: the coordinator's model has not all it takes",
        )


def _data_contradictions(settings: Sections) -> Iterator[Remark]:
    data, training, clients = settings.data, settings.training, settings.federation.number_of_clients
    samples = settings.constants("dataset").get("TRAIN_SAMPLES")
    if samples is not None and clients > samples:
        size_keys = ("synthetic_samples",) if data.dataset_type == "synthetic" else ()
        yield Remark(
            ("number_of_clients", "dataset_type", *size_keys),
            f"got {clients}, but {data.dataset_type} has only {samples} training samples and each client needs one; "
            f"allowed here: at most {samples}",
        )
    if training.pretrained_models and not _has_trained_weights(settings):
        yield Remark(
            ("pretrained_models", "model_type"),
            f"got true, but there are no trained weights for model_type {training.model_type}; "
            "allowed: false, or one of torchvision's models",
        )
    federation = settings.federation
    if training.pretrained_models and federation.initial_file is not None:
        yield Remark(
            ("initial_model", "pretrained_models"),
            f"got {federation.initial_model} together with pretrained_models: true; a run begins with one of them",
        )
    if federation.initial_model_known and federation.initial_file is None:
        yield Remark(
            ("initial_model_known", "initial_model"),
            f"got true, but initial_model is {federation.initial_model}; it is for the path of a file",
        )
    if training.pretrained_models and federation.initial_model == "seed":
        yield Remark(
            ("initial_model", "pretrained_models"),
            "got seed together with pretrained_models: true, but clients cannot make trained weights from random_seed; "
            "allowed here: broadcast",
        )


def _has_trained_weights(settings: Sections) -> bool:
    kind, name = KINDS["model"], settings.training.model_type
    return settings.components.get(kind, name) is None and has_function(kind, name, "pretrained")


def _momentum_contradictions(settings: Sections) -> Iterator[Remark]:
    training = settings.training
    if training.carries_momentum and (training.optimizer != "sgd" or not training.momentum):
        yield Remark(
            ("momentum_start", "optimizer", "momentum"),
            f"got quasi_global with optimizer {training.optimizer} and momentum {training.momentum:g}, where there is "
            "no momentum to start; allowed here: zero, or optimizer: sgd with a momentum above 0, such as 0.9",
        )


def _measures_clients(settings: Sections) -> bool:
    """Whether clients' own models are measured: those of peers always are, unless one plays the coordinator."""
    federation = settings.federation
    return federation.evaluate_clients or (federation.peer_to_peer and relays(settings) != "to_root")


def _own_test_contradictions(settings: Sections) -> Iterator[Remark]:
    """Own samples that are kept where no client's own model is measured."""
    share = settings.data.client_test_share
    if share and not _measures_clients(settings):
        yield Remark(
            ("client_test_share", "evaluate_clients"),
            f"got {share:g}, but clients' own models are not measured; set evaluate_clients: true, or it to 0",
        )


def _device_contradictions(settings: Sections) -> Iterator[Remark]:
    device, gpus = settings.runtime.device, settings.runtime.gpus_per_actor
    if gpus is not None and device == "cpu":
        yield Remark(
            ("gpus_per_actor", "device"),
            f"got {gpus:g} together with device: cpu; remove it, or set device to cuda or auto",
        )
    if gpus is not None and gpus > 1 and not gpus.is_integer():
        yield Remark(("gpus_per_actor",), f"got {gpus:g}; allowed: a share up to 1, or a whole number: Ray's rule")


def idle(settings: Sections) -> Iterator[Idle]:
    """Settings that nothing reads as things are, with the reason."""
    training, data = settings.training, settings.data
    if training.aggregation_strategy != "FedProx":
        yield ("mu",), "aggregation_strategy is not FedProx"
    if training.local_steps is not None:
        yield ("number_of_epochs",), "local_steps says how long clients train"
    if training.lora_rank is None:
        yield ("lora_alpha", "lora_targets", "lora_dropout"), "lora_rank is null"
    if training.optimizer not in ("sgd", "rmsprop"):
        yield ("momentum",), f"optimizer {training.optimizer} has moments of its own"
    if "dirichlet_beta" not in settings.signature("partition").names:
        yield ("dirichlet_beta",), f"data_distribution_kind is {data.data_distribution_kind}"
    if unread := settings.unread("dataset"):
        yield unread, f"dataset_type is {data.dataset_type}"
    if not settings.runtime.ray_dashboard:
        yield ("ray_dashboard_port",), "ray_dashboard is false"
    if not settings.tracking.mlflow_enabled:
        yield ("mlflow_tracking_uri", "mlflow_experiment_prefix"), "mlflow_enabled is false"


def suspicions(settings: Sections) -> Iterator[Remark]:
    """Values that are rarely meant."""
    federation, runtime = settings.federation, settings.runtime
    if settings.training.proximal_mu == 0 and settings.training.aggregation_strategy == "FedProx":
        yield Remark(("mu", "aggregation_strategy"), "FedProx with mu 0 is FedAvg")
    if settings.training.local_parameters and not _measures_clients(settings):
        message = "leaves the coordinator a part of the model, which cannot be measured: set evaluate_clients: true"
        yield Remark(("local_parameters", "evaluate_clients"), message)
    rounds = federation.federated_learning_rounds
    key = "stop_target" if federation.stop_target is not None else "stop_avg_accuracy"
    if federation.stop_at is not None and federation.evaluation_interval >= rounds > 1:
        message = f"has no effect: with evaluation_interval {federation.evaluation_interval} only the last round counts"
        yield Remark((key, "evaluation_interval"), message)
    if runtime.number_of_actors is not None and runtime.number_of_actors > federation.number_of_clients:
        message = f"got {runtime.number_of_actors} for {federation.number_of_clients} clients: the rest will be idle"
        yield Remark(("number_of_actors", "number_of_clients"), message)
    if runtime.torch_threads > max(1, runtime.cpus_per_actor):
        message = f"got {runtime.torch_threads}, more than cpus_per_actor reserves: actors will slow each other down"
        yield Remark(("torch_threads", "cpus_per_actor"), message)
