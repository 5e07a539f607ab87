"""Shared by the tests of actors: settings from flat names, a silent observer, small experiments."""

import pytest

from fedchunk.actors.backends.local import LocalClientGroup, LocalFederation
from fedchunk.orchestrator.experiment import run_experiment
from fedchunk.orchestrator.settings.schema import sections
from fedchunk.orchestrator.settings.whole import Settings

SMALL = {
    "dataset_type": "synthetic",
    "synthetic_samples": 240,
    "synthetic_test_samples": 60,
    "synthetic_classes": 4,
    "synthetic_size": 6,
    "number_of_clients": 5,
    "federated_learning_rounds": 3,
    "data_distribution_kind": "dir",
    "dirichlet_beta": 1.0,
    "train_batch_size": 16,
    "learning_rate": 0.1,
    "device": "cpu",
    "mlflow_enabled": False,
    "chunking": True,
    "chunking_parts": 20,
    "sensitivity_percentage": 30.0,
}


def settings_of(**flat):
    """Settings from flat names over a small federation; an unknown name is an error."""
    values = {**SMALL, **flat}
    parts = {
        name: section(**{key: values.pop(key) for key in list(values) if key in section.model_fields})
        for name, section in sections().items()
    }
    assert not values, f"unknown settings {sorted(values)}"
    return Settings(**parts)


class SilentObserver:
    def stage(self, name):
        pass

    def clients_done(self, round_index, done, cohort):
        pass

    def round_done(self, result):
        pass


class Notebook:
    """A recorder that keeps everything in memory."""

    def __init__(self):
        self.results = []

    def start(self, info):
        self.info = info

    def record_rounds(self, results):
        self.results.extend(results)

    def finish(self, summary, spec, model):
        self.summary, self.spec, self.model = summary, spec, model

    def rows(self, table):
        return [row for result in self.results for row in result.tables[table].to_pylist()]


def experiment(federation, settings, observer=None):
    """Runs an entered federation to its end; what was recorded."""
    notebook = Notebook()
    run_experiment(federation, settings.federation, [notebook], observer or SilentObserver())
    return notebook


def run_locally(settings, make_actor=None):
    arguments = [] if make_actor is None else [make_actor]
    with LocalFederation(settings, SilentObserver(), *arguments) as federation:
        return experiment(federation, settings)


@pytest.fixture(scope="session")
def make_settings():
    return settings_of


@pytest.fixture(scope="session")
def run_local():
    return run_locally


@pytest.fixture(scope="session")
def run_entered():
    return experiment


@pytest.fixture(scope="session")
def observer():
    return SilentObserver()


@pytest.fixture
def shuffled_group(monkeypatch):
    """Makes local calls end in another order than they were submitted in."""

    def shuffle(rng):
        run = LocalClientGroup.next_outcome

        def next_outcome(group):
            group._queue.rotate(int(rng.integers(len(group._queue) + 1)))
            return run(group)

        monkeypatch.setattr(LocalClientGroup, "next_outcome", next_outcome)

    return shuffle


@pytest.fixture(scope="session")
def without_times():
    """The rows of a table without its clock readings, which differ from run to run."""

    def strip(rows):
        return [{key: value for key, value in row.items() if not key.endswith(("_s", "_busy"))} for row in rows]

    return strip
