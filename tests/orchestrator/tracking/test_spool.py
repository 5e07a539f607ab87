import logging
import resource
import threading
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchunk.orchestrator.core.errors import RecordsError, TrackingError
from fedchunk.orchestrator.tracking.sender import Sender, send_waiting
from fedchunk.orchestrator.tracking.spool import MAX_BATCH, Point, Spool, StateFile, still_running


@pytest.fixture
def state_file(tmp_path):
    created = StateFile.create(tmp_path, "sqlite:///x.db")
    created.update(run_id="0123")
    return created


@pytest.fixture
def spool(tmp_path, state_file):
    return Spool(tmp_path)


def line(step, points=3):
    return [Point(f"metric/{i}", step + i / 8, step, 1_700_000_000_000 + step) for i in range(points)]


class Store:
    """Stands for a tracking store: may be away, may hang, keeps equal points once."""

    def __init__(self):
        self.calls = []
        self.away = False
        self.hangs = threading.Event()
        self.hangs.set()

    def send(self, points):
        self.hangs.wait()
        if self.away:
            raise TrackingError("MLflow store http://host: does not answer")
        self.calls.append(list(points))

    def opened(self):
        """As the sender sees it."""
        return SimpleNamespace(send=lambda run_id, points: self.send(points), running=lambda experiment: [])

    @property
    def points(self):
        return [point for call in self.calls for point in call]


@given(st.lists(st.integers(1, 40), max_size=120))
def test_what_is_read_is_what_was_appended_in_calls_as_large_as_may_be(tmp_path_factory, sizes):
    folder = tmp_path_factory.mktemp("run")
    state_file = StateFile.create(folder, "")
    spool, store = Spool(folder), Store()
    lines = [line(step, size) for step, size in enumerate(sizes)]
    for of_line in lines:
        spool.append(of_line)
    points = [point for points in lines for point in points]
    assert spool.count(0) == len(points)
    assert send_waiting(spool, state_file, store.send) == len(points)
    assert store.points == points
    assert all(len(call) <= MAX_BATCH for call in store.calls)
    assert len(store.calls) <= len(points) // (MAX_BATCH - 40) + 1
    assert send_waiting(spool, state_file, store.send) == 0


def test_half_a_line_of_a_killed_run_is_passed_over(spool, tmp_path):
    spool.append(line(1))
    file = tmp_path / "mlflow" / "spool.jsonl"
    whole = file.read_bytes()
    for cut in range(1, len(whole)):
        file.write_bytes(whole + whole[:cut])
        assert spool.next_batch(0) == (line(1), len(whole))
        assert spool.count(0) == 3


def test_full_disk_leaves_no_half_line(spool, tmp_path):
    spool.append(line(1))
    size = (tmp_path / "mlflow" / "spool.jsonl").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, limits[1]))
    try:
        with pytest.raises(OSError, match=r"part of the line|too large"):
            spool.append(line(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    spool.append(line(3))
    assert spool.next_batch(0)[0] == line(1) + line(3)


def test_state_is_what_another_process_reads(tmp_path, state_file):
    state_file.update(sent_bytes=12, model_id="m-1")
    assert StateFile.open(tmp_path).state == state_file.state
    assert state_file.state.sent_bytes == 12


def test_a_folder_without_a_state_is_no_run(tmp_path):
    with pytest.raises(RecordsError, match="not the folder of a run that was logged to MLflow"):
        StateFile.open(tmp_path)


def test_a_run_is_over_when_it_ended_or_its_process_is_gone(state_file):
    assert still_running(state_file.state)
    state_file.update(process_started=state_file.state.process_started - 100)  # the number was given to another one
    assert not still_running(state_file.state)
    state_file.update(host="elsewhere")
    assert still_running(state_file.state)
    state_file.update(ended_ms=1)
    assert not still_running(state_file.state)


def test_a_store_that_hangs_holds_nobody_up(spool, state_file, tmp_path):
    """Were one of these calls to wait for the store, this test would never end."""
    store = Store()
    store.hangs.clear()
    sender = Sender(store.opened, tmp_path, state_file)
    sender.start()
    for step in range(20):
        spool.append(line(step))
        sender.wake()
    assert not sender.stop(limit_s=0.2)
    assert spool.count(state_file.state.sent_bytes) == 60
    store.hangs.set()
    sender.join()
    assert sorted(set(store.points)) == sorted(point for step in range(20) for point in line(step))


def test_a_store_that_is_away_is_said_once_and_gets_all_when_it_is_back(spool, state_file, caplog, tmp_path):
    store = Store()
    store.away = True
    sender = Sender(store.opened, tmp_path, state_file)
    sender.start()
    with caplog.at_level(logging.WARNING):
        for step in range(10):
            spool.append(line(step))
            sender.wake()
        while not caplog.records:
            sender.join(0.01)
        store.away = False
        assert sender.stop(limit_s=30)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "fedchunk sync" in caplog.text
    assert store.points == [point for step in range(10) for point in line(step)]
    assert len(store.calls) == 1, "what waited goes in one call"


def test_what_could_not_be_sent_goes_later_and_only_once(spool, state_file, tmp_path):
    store = Store()
    for step in range(3):
        spool.append(line(step))
    store.away = True
    with pytest.raises(TrackingError):
        send_waiting(spool, state_file, store.send)
    store.away = False
    later = StateFile.open(tmp_path)
    assert send_waiting(spool, later, store.send) == 9
    assert send_waiting(spool, later, store.send) == 0
    assert store.points == [point for step in range(3) for point in line(step)]
