"""Every shipped configuration runs a round, on a few synthetic samples in place of its data."""

from pathlib import Path

import pytest

from fedchunk.actors.backends.local import LocalFederation
from fedchunk.orchestrator.experiment import run_experiment
from fedchunk.orchestrator.settings.loading import load

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))
SHAPES = {"digits": (1, 8), "fmnist": (1, 28), "mnist": (1, 28), "cifar10": (3, 32), "cifar100": (3, 32)}
MOST_CLIENTS = 6
"""Enough for every topology in the shipped files."""


class Silent:
    def stage(self, name):
        pass

    def clients_done(self, round_index, done, cohort):
        pass

    def round_done(self, result):
        pass


def small(path):
    """The configuration with few clients and samples, everything else as it stands."""
    settings = load(path).settings
    channels, side = SHAPES.get(settings.data.dataset_type, (1, 8))
    clients = min(settings.federation.number_of_clients, MOST_CLIENTS)
    overrides = [
        "dataset_type=synthetic",
        "dataset_options={}",
        "synthetic_samples=120",
        "synthetic_test_samples=20",
        f"synthetic_channels={channels}",
        f"synthetic_size={side}",
        f"number_of_clients={clients}",
        "federated_learning_rounds=1",
        "data_distribution_kind=iid",
        "number_of_epochs=1",
        "local_steps=1",
        "train_batch_size=4",
        "mlflow_enabled=false",
        "device=cpu",
    ]
    if settings.federation.initial_file:  # of a run that comes before
        overrides += ["initial_model=seed", "initial_model_known=false"]
    return load(path, overrides).settings


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_it_runs_a_round(path):
    settings = small(path)
    if settings.training.lora_rank is not None:
        pytest.importorskip("peft")
    with LocalFederation(settings, Silent()) as federation:
        summary = run_experiment(federation, settings.federation, [], Silent())
    assert (summary.status, summary.rounds_completed) == ("finished", 1), summary.error
    assert 0 < summary.uplink_bytes <= 1.1 * summary.dense_uplink_bytes
