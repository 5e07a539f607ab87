"""How a federation on Ray begins: actors stand before the data is there, and faults come as what they are."""

import os
import subprocess
import sys

import pytest

from fedchunk.actors.backends.ray_backend import RayFederation
from fedchunk.orchestrator.core.errors import ConfigError, DataError

pytestmark = pytest.mark.ray


class Stages:
    """An observer that keeps what was done before the first round."""

    def __init__(self):
        self.names = []

    def stage(self, name):
        self.names.append(name)

    def clients_done(self, round_index, done, cohort):
        pass

    def round_done(self, result):
        pass


def dying_once(mark):
    """Client actors of which the first one that is made takes its process with it."""

    def make(settings, device, data):
        from fedchunk.actors.client.factory import make_client

        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return make_client(settings, device, data)
        os._exit(1)

    return make


def test_missing_files_are_a_fault_of_the_data(ray_here, make_settings, observer, tmp_path):
    settings = make_settings(number_of_actors=1, dataset_type="mnist", data_dir=str(tmp_path))
    with pytest.raises(DataError, match="train-images-idx3-ubyte"), RayFederation(settings, None, observer):
        pass


def test_labels_that_nobody_would_hold_are_a_fault_of_the_settings(ray_here, make_settings, observer):
    uneven = {"data_distribution_kind": "10", "synthetic_classes": 10, "number_of_clients": 3}
    settings = make_settings(number_of_actors=1, **uneven)
    with pytest.raises(ConfigError, match="some labels would have no holder"), RayFederation(settings, None, observer):
        pass


def test_an_actor_that_takes_the_place_of_one_that_died_at_the_start_has_the_data_too(
    ray_here, make_settings, run_local, run_entered, observer, tmp_path
):
    settings = make_settings(number_of_actors=2)
    with RayFederation(settings, None, observer, dying_once(str(tmp_path / "mark"))) as federation:
        run = run_entered(federation, settings)
    assert (tmp_path / "mark").exists()
    assert run.summary.weights_sha256 == run_local(settings).summary.weights_sha256


def test_people_are_told_what_is_waited_for(ray_here, make_settings):
    stages = Stages()
    with RayFederation(make_settings(number_of_actors=1), None, stages):
        pass
    assert stages.names == ["starting Ray", "loading synthetic", "starting 1 client actors"]


@pytest.mark.parametrize(
    ("modules", "library"),
    [
        (["backends.ray_backend", "backends.ray_coordinator"], "torch"),  # neither driver nor coordinator trains
        (["client.star", "coordinator.star", "coordinator.assembly"], "networkx"),  # graphs are for peers
    ],
)
def test_nobody_waits_for_a_library_that_others_need(modules, library):
    """Before anything can be trained each process imports what it needs."""
    imports = ", ".join(f"fedchunk.actors.{module}" for module in modules)
    code = f"import sys, {imports}; sys.exit({library!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
