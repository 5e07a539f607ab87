"""The workloads, and their export: what fedchunk would train on, in files that every contender reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from fedchunk.actors.client.experiment_data import ExperimentData, prepare
from fedchunk.orchestrator.core.round_rules import cohort
from fedchunk.orchestrator.core.seeds import generator
from fedchunk.orchestrator.learning.build import build_model
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.preprocess import to_device
from fedchunk.orchestrator.settings import loading
from fedchunk.orchestrator.settings.whole import Settings

BLOCK = 1024
"""Images normalised at a time."""

COMMON = {
    "dataset_type": "synthetic",
    "synthetic_classes": 10,
    "data_distribution_kind": "iid",
    "optimizer": "sgd",
    "number_of_epochs": 1,
    "train_batch_size": 10,
    "evaluation_interval": 1_000_000,  # nothing but the last round is measured
    "device": "cpu",
    "vectorize_clients": "auto",
    "mlflow_enabled": False,
}


@dataclass(frozen=True)
class Workload:
    """A model, its users, and how much of it a round is."""

    name: str
    title: str
    settings: Mapping[str, object]
    """Beside what all workloads have in common."""
    clients: int
    samples: int
    """Of each client."""
    cohort: int
    """Clients of a round."""
    rounds: int
    """How many a timed run has unless told otherwise: enough to be steady, few enough to wait for."""
    is_ours_alone: bool = False
    """Whether it compares fedchunk with itself, and other frameworks need not run it."""
    has_peers: bool = False
    """Whether it is for peers, too: then all of its clients take part in each round."""

    def quick(self, cohort_size: int) -> Workload:
        """The same with fewer clients a round; peers all take part."""
        cohort = min(self.cohort, cohort_size)
        return replace(self, cohort=cohort, clients=cohort if self.has_peers else self.clients)

    def flat_settings(self) -> dict[str, object]:
        """The settings file of this workload."""
        federation = {
            "synthetic_samples": self.clients * self.samples,
            "number_of_clients": self.clients,
            "client_sampling_rate": self.cohort / self.clients,
        }
        return {**COMMON, **self.settings, **federation}


def _images(model_type: str, channels: int, size: int, learning_rate: float) -> dict[str, object]:
    return {
        "model_type": model_type,
        "synthetic_channels": channels,
        "synthetic_size": size,
        "learning_rate": learning_rate,
    }


WORKLOADS = (
    Workload("mlp", "MLP 64-200-200-10", _images("mlp", 1, 8, 0.1), 1000, 20, 100, 30),
    Workload("cnn", "CNN on 3x32x32", _images("cnn", 3, 32, 0.01), 1000, 50, 50, 8),
    Workload(
        "cnn-again", "CNN on 3x32x32, clients that took part before", _images("cnn", 3, 32, 0.01), 100, 50, 50, 14,
        is_ours_alone=True,
    ),
    Workload(
        "mlp-peers", "MLP 64-200-200-10, 20 clients, star and peers", _images("mlp", 1, 8, 0.05), 20, 20, 20, 60,
        is_ours_alone=True, has_peers=True,
    ),
    Workload(
        "cnn-peers", "CNN on 3x32x32, 20 clients, star and peers", _images("cnn", 3, 32, 0.01), 20, 50, 20, 14,
        is_ours_alone=True, has_peers=True,
    ),
    Workload("logistic", "Logistic regression 784-10", _images("logistic", 1, 28, 0.1), 1000, 60, 10, 60),
)  # fmt: skip


def export(workload: Workload, rounds: int, folder: Path) -> int:
    """Writes settings, data, cohorts, orders and first weights below ``folder``, made by fedchunk's own functions.

    Images are normalised and lie client by client, so that no contender has to gather or to convert them.

    Returns:
        P, the number of parameters.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.yaml").write_text(yaml.safe_dump(workload.flat_settings()), encoding="utf-8")
    settings = loading.load(folder / "settings.yaml").settings
    data = prepare(settings)
    _write_images(settings, data, workload, folder)
    seed, federation = settings.federation.random_seed, settings.federation
    cohorts_RM = np.array(
        [
            cohort(federation.number_of_clients, federation.client_sampling_rate, seed, round_index)
            for round_index in range(1, rounds + 1)
        ]
    )
    np.save(folder / "cohorts_RM.npy", cohorts_RM)
    orders_RMS = [
        [generator(seed, "batches", round_index, int(client)).permutation(workload.samples) for client in cohort_M]
        for round_index, cohort_M in enumerate(cohorts_RM, start=1)
    ]
    np.save(folder / "orders_RMS.npy", np.array(orders_RMS))
    dataset = data.dataset
    model = FlatModel(build_model(settings, dataset.input_shape, dataset.num_classes), "cpu")
    np.save(folder / "initial_P.npy", model.state().weights_P)
    facts = {
        "model_type": settings.training.model_type,
        "image_shape": dataset.input_shape,
        "num_classes": dataset.num_classes,
        "learning_rate": settings.training.learning_rate,
        "batch_size": settings.training.train_batch_size,
    }
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    return model.spec.num_parameters


def _write_images(settings: Settings, data: ExperimentData, workload: Workload, folder: Path) -> None:
    """``x_NS.npy`` and ``y_NS.npy``: the samples of client i are row i, in the order of its indices."""
    dataset, indices_S = data.dataset, data.partition.indices_S
    shape = (workload.clients, workload.samples)
    assert set(data.partition.sizes) == {workload.samples}, "contenders expect clients of one size"
    np.save(folder / "y_NS.npy", dataset.train_y[indices_S].reshape(shape))
    image_shape = dataset.input_shape
    x_NS = np.lib.format.open_memmap(folder / "x_NS.npy", "w+", np.float32, (*shape, *image_shape))
    x_S: NDArray[np.float32] = x_NS.reshape(-1, *image_shape)
    for start in range(0, len(indices_S), BLOCK):
        images = dataset.train_x[indices_S[start : start + BLOCK]]
        x_S[start : start + BLOCK] = to_device(images, dataset.scale, dataset.size, "cpu")
    x_NS.flush()
