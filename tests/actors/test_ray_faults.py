"""Real Ray: the bits of the in-process run, with actors killed, frozen or unable to start."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from fedchunk.actors.backends.ray_backend import RayFederation
from fedchunk.orchestrator.core.errors import ActorsUnavailable, ConfigError

pytestmark = pytest.mark.ray


def busy_client_pids():
    """The same of those that are at work."""
    return client_pids("ray::_ClientShell.ask")


def client_pids(named="ray::_ClientShell"):
    """Process ids of the client actors under this process's own Ray."""
    pids = []
    for process in psutil.Process().children(recursive=True):
        try:
            title = process.cmdline()
        except psutil.NoSuchProcess:
            continue
        if title and title[0].startswith(named):
            pids.append(process.pid)
    return pids


class Saboteur:
    """Does something to a client actor once in each round, as soon as the round's first client is done."""

    def __init__(self, pids, signal_number, rounds):
        self._pids, self._signal, self._rounds = pids, signal_number, rounds
        self.struck = []

    def stage(self, name):
        pass

    def clients_done(self, round_index, done, cohort):
        if round_index in self._rounds and round_index not in self.struck and 0 < done < cohort:
            os.kill(self._next_pid(), self._signal)
            self.struck.append(round_index)

    def _next_pid(self):
        """Between two calls, and while one that was struck is replaced, there may be none for a moment."""
        until = time.monotonic() + 20
        while not (pids := self._pids()):
            assert time.monotonic() < until
            time.sleep(0.01)
        return pids[0]

    def round_done(self, result):
        pass


def gone_soon():
    """Nobody is left, spares neither."""
    until = time.monotonic() + 20
    while client_pids():
        assert time.monotonic() < until
        time.sleep(0.1)


def slowly(seconds):
    """Client actors that take a while for each client, so that there is time to strike."""

    def make(settings, device, data):
        from fedchunk.actors.client.star import StarClient

        class Slow(StarClient):
            def train_group(self, order, *arguments):
                time.sleep(seconds * sum(map(len, order.groups)))
                return super().train_group(order, *arguments)

        return Slow(settings, device, data)

    return make


PEERS = {"federated_learning_schema": "DecentralizedFederatedLearning", "federated_learning_topology": "ring"}


@pytest.mark.parametrize(
    ("pools", "rules"),
    [
        ((1, 2), {"evaluate_clients": True, "dynamic_sensitivity_percentage": True}),
        ((2,), {"chunk_reconstruction": "error_feedback", "chunk_agreement": "consensus", "chunk_encoding": "int8"}),
        (
            (2,),
            {
                "chunk_reconstruction": "stale_copies", "chunk_score": "accumulated", "chunk_encoding": "int4", **PEERS,
                "final_average": True, "momentum": 0.9, "momentum_start": "quasi_global", "withheld_share": 0.5,
            },
        ),
        ((2,), {"chunking": False, "momentum": 0.9, "momentum_start": "quasi_global", "client_sampling_rate": 0.5}),
        (
            (2,),
            {
                "chunk_reconstruction": "relay", "chunk_encoding": "int4", **PEERS,
                "momentum": 0.9, "momentum_start": "quasi_global",
            },
        ),
    ],
)  # fmt: skip
def test_ray_gives_the_bits_and_the_tables_of_the_local_run(
    ray_here, make_settings, run_local, run_entered, observer, without_times, pools, rules
):
    rules = {"number_of_clients": 8, **rules}
    local = run_local(make_settings(**rules))
    for actors in pools:
        settings = make_settings(number_of_actors=actors, **rules)
        with RayFederation(settings, None, observer) as federation:
            assert federation.info.number_of_actors == actors
            run = run_entered(federation, settings)
        assert run.summary.weights_sha256 == local.summary.weights_sha256
        for table in ("rounds", "clients", "chunks", "ledger"):
            assert without_times(run.rows(table)) == without_times(local.rows(table))


@pytest.mark.slow
def test_an_actor_killed_in_each_of_ten_rounds_costs_no_update_and_no_bit(
    ray_here, make_settings, run_local, run_entered
):
    alone = {"clients_per_group": 1, "clients_per_call": 1}  # a call for each, so that a part of a round is seen
    settings = make_settings(number_of_actors=2, number_of_clients=8, federated_learning_rounds=10, **alone)
    saboteur = Saboteur(busy_client_pids, signal.SIGKILL, range(1, 11))
    with RayFederation(settings, None, saboteur, slowly(0.3)) as federation:
        run = run_entered(federation, settings, saboteur)
    assert saboteur.struck == list(range(1, 11))
    gone_soon()
    assert [row["participants"] for row in run.rows("rounds")] == [8] * 10
    assert sum(row["attempts"] for row in run.rows("clients")) > 80
    assert run.summary.weights_sha256 == run_local(settings).summary.weights_sha256


def test_an_actor_whose_gpu_is_lost_is_replaced_and_its_clients_are_trained_again(
    tmp_path, ray_here, make_settings, run_local, run_entered, observer
):
    not_yet = tmp_path / "not yet"
    not_yet.touch()

    def make(settings, device, data):
        from fedchunk.actors.client.star import StarClient

        class Unlucky(StarClient):
            def device_works(self):
                try:
                    not_yet.unlink()
                except FileNotFoundError:
                    return True
                return False

        return Unlucky(settings, device, data)

    settings = make_settings(number_of_actors=2, federated_learning_rounds=2)
    with RayFederation(settings, None, observer, make) as federation:
        run = run_entered(federation, settings)
    assert [row["failed"] for row in run.rows("rounds")] == [0, 0]
    assert max(row["attempts"] for row in run.rows("clients")) == 2
    assert run.summary.weights_sha256 == run_local(settings).summary.weights_sha256


def test_a_client_that_takes_its_actor_with_it_is_found_and_left_out(
    ray_here, make_settings, run_local, run_entered, observer
):
    def make(settings, device, data):
        from fedchunk.actors.client.star import StarClient

        class Deadly(StarClient):
            def _finish(self, task, *rest):
                if task.client_id == 3 and task.round_index == 2:
                    os._exit(1)
                return super()._finish(task, *rest)

        return Deadly(settings, device, data)

    settings = make_settings(number_of_actors=2, clients_per_call=5, clients_per_group=5)
    with RayFederation(settings, None, observer, make) as federation:
        run = run_entered(federation, settings)
    assert run.summary.status == "finished"
    assert [(row["participants"], row["failed"]) for row in run.rows("rounds")] == [(5, 0), (4, 1), (5, 0)]
    (left_out,) = [row for row in run.rows("clients") if row["status"] == "failed"]
    assert (left_out["round"], left_out["client"], left_out["attempts"]) == (2, 3, 2)
    assert "asked alone" in left_out["reason"]


def test_a_peer_that_takes_its_actor_with_it_is_found_and_left_out(
    ray_here, make_settings, run_local, run_entered, observer
):
    """Once while its group trains, once while another's mixes."""

    def make(settings, device, data):
        from fedchunk.actors.client.peer import PeerClient

        class Deadly(PeerClient):
            def _ready(self, peer):
                if (peer.order.client_id, peer.order.round_index) == (3, 2):
                    os._exit(1)
                return super()._ready(peer)

            def _mix(self, order, *rest):
                if (order.train.client_id, order.train.round_index) == (1, 3):
                    os._exit(1)
                return super()._mix(order, *rest)

        return Deadly(settings, device, data)

    settings = make_settings(number_of_actors=2, number_of_clients=6, clients_per_group=3, **PEERS)
    with RayFederation(settings, None, observer, make) as federation:
        run = run_entered(federation, settings)
    assert run.summary.status == "finished"
    left_out = {(row["round"], row["client"]): row for row in run.rows("clients") if row["status"] == "failed"}
    assert set(left_out) == {(2, 3), (3, 1)}
    assert all("asked alone" in row["reason"] for row in left_out.values())


@pytest.mark.slow
def test_a_frozen_actor_is_replaced_when_its_time_is_up(ray_here, make_settings, run_local, run_entered):
    settings = make_settings(number_of_actors=2, federated_learning_rounds=2, client_timeout_s=5.0)
    saboteur = Saboteur(busy_client_pids, signal.SIGSTOP, [1])
    with RayFederation(settings, None, saboteur, slowly(0.3)) as federation:
        run = run_entered(federation, settings, saboteur)
    assert saboteur.struck == [1]
    assert [row["participants"] for row in run.rows("rounds")] == [5, 5]
    assert run.summary.weights_sha256 == run_local(settings).summary.weights_sha256


def test_no_actor_outlives_its_federation(ray_here, make_settings, observer):
    with RayFederation(make_settings(number_of_actors=2), None, observer):
        assert len(client_pids()) == 2
    gone_soon()


def test_an_actor_that_cannot_start_says_why(ray_here, make_settings, observer):
    def make(settings, device, data):
        raise ZeroDivisionError("broken on purpose")

    with (
        pytest.raises(ActorsUnavailable, match="broken on purpose"),
        RayFederation(make_settings(number_of_actors=1), None, observer, make),
    ):
        pass


def test_too_many_chunks_is_a_fault_of_the_settings(ray_here, make_settings, observer):
    settings = make_settings(number_of_actors=1, chunking_parts=10_000_000)
    with (
        pytest.raises(ConfigError, match="chunking_parts must be between 1 and"),
        RayFederation(settings, None, observer),
    ):
        pass


def test_actors_that_find_no_room_are_named_with_what_the_cluster_has(ray_here, make_settings, observer):
    settings = make_settings(number_of_actors=64, startup_timeout_s=1.0)
    with pytest.raises(ActorsUnavailable, match="64 client actors"), RayFederation(settings, None, observer):
        pass


def test_a_gpu_that_is_not_there_is_a_fault_of_the_settings(ray_here, make_settings, observer):
    if ray_here.cluster_resources().get("GPU"):
        pytest.skip("this machine has a GPU")
    with (
        pytest.raises(ConfigError, match="cuda needs a GPU"),
        RayFederation(make_settings(device="cuda"), None, observer),
    ):
        pass


def test_the_driver_and_the_coordinator_need_no_torch():
    code = (
        "import fedchunk.actors.backends.ray_backend, fedchunk.actors.coordinator.star, sys;"
        " sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
