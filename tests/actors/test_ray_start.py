"""A Ray that cannot be started or joined is said within the settings' limit, with what to do."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from fedchunk.actors.backends import ray_start
from fedchunk.actors.backends.ray_group import GroupLimits, Pace
from fedchunk.orchestrator.contract.ports import Call
from fedchunk.orchestrator.core.errors import ActorsUnavailable
from fedchunk.orchestrator.settings.running import RuntimeSettings


def test_an_address_at_which_nobody_answers_is_said_soon(monkeypatch):
    monkeypatch.setattr(ray_start, "CONNECT_LIMIT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ActorsUnavailable, match=rf"cannot join Ray at 127.0.0.1:{port}: nothing answers there"):
        ray_start.start_ray(RuntimeSettings(), f"127.0.0.1:{port}")


def test_something_that_is_no_ray_of_ours_is_said_with_what_to_export(monkeypatch):
    """It accepts connections and says nothing, as a Ray does that asks for another token."""
    began = threading.Event()

    def never(**arguments):
        began.set()
        time.sleep(60)

    monkeypatch.setattr(ray_start.ray, "init", never)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ActorsUnavailable, match=r"within 0\.3 s .*export RAY_AUTH_MODE"):
            ray_start.start_ray(RuntimeSettings(startup_timeout_s=0.3), address)
    assert began.is_set()


def test_why_a_running_ray_cannot_be_joined_is_passed_on(monkeypatch):
    def refuse(**arguments):
        raise RuntimeError("Unauthenticated: wrong token\nand a long story")

    monkeypatch.setattr(ray_start.ray, "init", refuse)
    with socket.create_server(("127.0.0.1", 0)) as there:
        address = f"127.0.0.1:{there.getsockname()[1]}"
        with pytest.raises(ActorsUnavailable) as caught:
            ray_start.start_ray(RuntimeSettings(), address)
    assert "wrong token" in str(caught.value)
    assert "Something answers there" in str(caught.value)
    assert "long story" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "error", "remedy"),
    [
        (
            {"object_store_memory_mb": 10**6},
            ValueError("more memory than there is"),
            "object_store_memory_mb is 1000000",
        ),
        ({"ray_dashboard": True}, RuntimeError("no module"), r"pip install 'ray\[default\]'"),
        ({}, OSError("AF_UNIX path length cannot exceed 107 bytes"), "fedchunk run --local does without Ray"),
    ],
)
def test_a_ray_that_does_not_start_is_said_with_a_remedy(settings, error, remedy, monkeypatch):
    def fail(**arguments):
        raise error

    left = []
    monkeypatch.setattr(ray_start.ray, "init", fail)
    monkeypatch.setattr(ray_start.ray, "shutdown", lambda: left.append("nothing"))  # other tests' Ray stays
    with pytest.raises(ActorsUnavailable, match=remedy):
        ray_start.start_ray(RuntimeSettings(**settings), None)
    assert left == ["nothing"]


def test_a_ray_of_our_own_is_for_this_machine_only(monkeypatch):
    asked = {}

    def init(**arguments):
        asked.update(arguments, loopback=os.environ[ray_start._CLUSTERS])

    monkeypatch.delenv(ray_start._CLUSTERS, raising=False)
    monkeypatch.setattr(ray_start.ray, "init", init)
    ray_start.start_ray(RuntimeSettings(), None)
    assert (asked["address"], asked["dashboard_host"], asked["loopback"]) == ("local", "127.0.0.1", "0")
    assert ray_start._CLUSTERS not in os.environ, "what this process starts later is as it was"
    assert ray_start.ray_constants.ENABLE_RAY_CLUSTER


def test_a_long_folder_for_temporary_files_leaves_room_for_sockets(monkeypatch, tmp_path):
    monkeypatch.setattr(ray_start.ray, "init", lambda **arguments: None)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("long" * 20)))
    ray_start.start_ray(RuntimeSettings(), None)
    assert os.environ.pop("RAY_TMPDIR") == "/tmp"
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    ray_start.start_ray(RuntimeSettings(), None)
    assert "RAY_TMPDIR" not in os.environ


LIMITS = GroupLimits(startup_s=180, call_s=600, least_s=20)


def call(clients=1, work=100, method="train_group"):
    return Call(0, method, (), clients=clients, work=work)


def test_a_wait_learns_from_how_long_calls_took_work_for_work():
    pace = Pace(LIMITS)
    assert pace.limit_s(call(clients=3), is_first=False) == 1800
    pace.note(call(work=100), 5.0)
    pace.note(call(work=50), 1.0)
    assert pace.limit_s(call(work=10), is_first=False) == 20, "never less than the settings say"
    assert pace.limit_s(call(work=10), is_first=True) == 40, "the first call of an actor finds nothing ready"
    assert pace.limit_s(call(work=400), is_first=False) == pytest.approx(20 * 5.0 * 4)
    assert pace.limit_s(call(work=10**6), is_first=False) == 600, "never more than the settings say"
    assert pace.limit_s(call(method="evaluate"), is_first=False) == 600


def test_who_was_given_up_too_soon_gets_more_time():
    pace = Pace(LIMITS)
    pace.note(call(), 0.01)
    limits = []
    for _ in range(4):
        limits.append(pace.limit_s(call(), is_first=False))
        pace.was_late(call())
    assert limits == [20, 80, 320, 600]


@pytest.mark.ray
def test_nothing_of_a_ray_on_one_machine_listens_to_others(tmp_path):
    script = (
        "import psutil, ray\n"
        "from fedchunk.actors.backends.ray_start import start_ray\n"
        "from fedchunk.orchestrator.settings.running import RuntimeSettings\n"
        "start_ray(RuntimeSettings(), None)\n"
        "here = psutil.Process(); processes = [here, *here.children(recursive=True)]\n"
        "sockets = [(c, p.name()) for p in processes for c in p.net_connections('inet')]\n"
        "print(sorted({(c.laddr.ip, name) for c, name in sockets if c.status == 'LISTEN'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    listening = eval(done.stdout.splitlines()[-1])
    assert listening
    assert {ip for ip, _ in listening} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, listening
