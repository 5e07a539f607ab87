"""Checkpoints as files: whole or not there, shared where nothing changed, never more than asked for."""

import json
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from fedchunk.orchestrator.contract.messages import ClientState, ClientStates, ModelState
from fedchunk.orchestrator.contract.ports import Snapshot
from fedchunk.orchestrator.contract.trees import NotStorable, pack, unpack
from fedchunk.orchestrator.recording import checkpoints as module
from fedchunk.orchestrator.recording.checkpoints import Checkpoints, newest_checkpoint

ARRAYS = st.sampled_from(["<f4", "<f8", "<i4", "<i8", "?", "u1"]).flatmap(
    lambda dtype: nps.arrays(dtype, nps.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    PLAIN | ARRAYS, lambda inner: st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner), max_leaves=8
)


def same(one, other):
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


@given(VALUES)
def test_what_is_packed_comes_back_through_json(value):
    plain, arrays = pack(value)
    assert same(unpack(json.loads(json.dumps(plain)), arrays), value)


def state(number, clients=2):
    rows = np.full((clients, 3), number, np.float32)
    sent = np.full((clients, 2), number, np.int32)
    return (ClientStates(tuple(range(clients)), rows, rows[:, :0], sent[:, :0].astype(np.int64), sent, None, None),)


def test_messages_come_back_as_themselves():
    model = ModelState(np.arange(3, dtype=np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    peer = ClientState(model, np.ones(2, np.int32), None, np.array([True, False]), (model.weights_P,) * 2)
    back = unpack(*pack({"peer": peer, "states": state(5)}))
    assert isinstance(back["peer"], ClientState)
    assert isinstance(back["peer"].model, ModelState)
    assert len(back["peer"].copies) == 2
    assert back["states"][0].row(1).model.weights_P.tolist() == [5, 5, 5]


def test_what_no_file_can_hold_is_said():
    with pytest.raises(NotStorable, match="a function cannot be kept"):
        pack({"rule": lambda: None})


def stored(key, value):
    return SimpleNamespace(key=key, load=lambda: value)


def snapshot(at, *objects):
    return Snapshot(at, {"round": at, "weights": np.full(4, at, np.float32)}, objects)


def written(run, *snapshots, to_keep=2, interval=1, recorded=lambda: 2**31):
    checkpoints = Checkpoints(run, interval, to_keep, recorded)
    for one in snapshots:
        checkpoints.write_soon(one)
        checkpoints.finish(None)
    return checkpoints


def names(run):
    folder = run / "checkpoints"
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def test_states_that_did_not_change_are_written_once_and_go_with_the_last_that_needs_them(tmp_path):
    old, young = stored("a", state(1)), stored("b", state(2))
    written(tmp_path, snapshot(1, old), snapshot(2, old, young))
    assert names(tmp_path) == [
        "coordinator-00001.safetensors", "coordinator-00002.safetensors", "round-00001.json", "round-00002.json",
        "states/00001-00000.safetensors", "states/00002-00001.safetensors",
    ]  # fmt: skip
    written(tmp_path, snapshot(3, young), snapshot(4, young))
    assert [name for name in names(tmp_path) if name.startswith("states/")] == ["states/00003-00000.safetensors"]
    newest = newest_checkpoint(tmp_path / "checkpoints")
    assert (newest.round_index, newest.coordinator["round"]) == (4, 4)
    assert newest.objects[0].load()[0].weights_MP.tolist() == state(2)[0].weights_MP.tolist()


def test_of_a_round_that_is_not_in_the_tables_none_is_used(tmp_path):
    written(tmp_path, snapshot(3), snapshot(6))
    assert newest_checkpoint(tmp_path / "checkpoints", at_most=5).round_index == 3
    assert newest_checkpoint(tmp_path / "checkpoints", at_most=2) is None
    assert newest_checkpoint(tmp_path / "nowhere") is None


def test_a_checkpoint_waits_until_its_round_is_in_the_tables(tmp_path):
    recorded = [1]
    checkpoints = Checkpoints(tmp_path, 1, 2, lambda: recorded[0])
    checkpoints.write_soon(snapshot(2))
    writing = checkpoints._thread
    writing.join(0.3)
    assert writing.is_alive()
    assert newest_checkpoint(tmp_path / "checkpoints") is None
    recorded[0] = 2
    writing.join(10)
    assert newest_checkpoint(tmp_path / "checkpoints").round_index == 2


@pytest.mark.parametrize(
    "damaged", ["round-00002.json", "coordinator-00002.safetensors", "states/00002-00000.safetensors"]
)
def test_a_damaged_or_missing_file_is_said_and_the_checkpoint_before_is_used(tmp_path, damaged, caplog):
    written(tmp_path, snapshot(1, stored("a", state(1))), snapshot(2, stored("b", state(2))))
    file = tmp_path / "checkpoints" / damaged
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 8
    file.write_bytes(content)
    assert newest_checkpoint(tmp_path / "checkpoints").round_index == 1
    assert damaged.rpartition("/")[2] in caplog.text
    file.unlink()
    assert newest_checkpoint(tmp_path / "checkpoints").round_index == 1


def test_a_checkpoint_of_another_format_is_not_called_damaged(tmp_path, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(module, "FORMAT", module.FORMAT - 1)
        written(tmp_path, snapshot(1, stored("a", state(1))))
    assert newest_checkpoint(tmp_path / "checkpoints") is None
    assert f"another version of fedchunk: its format is {module.FORMAT - 1}, not {module.FORMAT}" in caplog.text
    assert "damaged" not in caplog.text


def test_a_disk_that_is_nearly_full_is_left_to_the_tables(tmp_path, monkeypatch, caplog):
    written(tmp_path, snapshot(1, stored("a", state(1))))
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: SimpleNamespace(free=module.RESERVED_BYTES + 10))
    before = names(tmp_path)
    written(tmp_path, snapshot(2, stored("b", state(2))))
    assert names(tmp_path) == before
    assert "results come first" in caplog.text
    assert newest_checkpoint(tmp_path / "checkpoints").round_index == 1


def test_a_state_that_is_gone_costs_that_checkpoint_only(tmp_path, caplog):
    def gone():
        raise RuntimeError("went with its node")

    written(tmp_path, snapshot(1), snapshot(2, SimpleNamespace(key="x", load=gone)), snapshot(3))
    assert newest_checkpoint(tmp_path / "checkpoints").round_index == 3
    assert "checkpoint of round 2 could not be written" in caplog.text


def test_how_often_is_what_the_settings_say_or_what_the_time_allows(tmp_path, monkeypatch):
    every_third = Checkpoints(tmp_path, 3, 2)
    assert [at for at in range(1, 10) if every_third.wants(at)] == [3, 6, 9]
    assert not any(Checkpoints(tmp_path, 0, 2).wants(at) for at in range(1, 10))
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    large = Checkpoints(tmp_path, None, 2, states=1000)
    large.expect(1_000_000)  # 1 GB takes 20 s, and may take one percent of the time
    by_time = Checkpoints(tmp_path, None, 2)
    by_time._took_s = 0.2
    wanted = []
    for at in range(1, 61):
        now[0] += 1.0
        wanted += [at] if by_time.wants(at) else []
    assert wanted == [20, 40, 60], "0.2 s are one percent of 20 s"
    assert not large.wants(1)
    now[0] = 100.0 + 2003
    assert large.wants(2)


def test_the_end_does_not_wait_for_one_who_is_in_a_hurry(tmp_path):
    never = threading.Event()
    checkpoints = Checkpoints(tmp_path, 1, 2)
    checkpoints.write_soon(snapshot(1, SimpleNamespace(key="x", load=never.wait)))
    checkpoints.finish(snapshot(2), lambda: True)
    assert newest_checkpoint(tmp_path / "checkpoints") is None
    never.set()


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 3)), min_size=1, max_size=6))
def test_whatever_is_written_the_newest_comes_back(tmp_path_factory, plan):
    run = tmp_path_factory.mktemp("run")
    checkpoints = Checkpoints(run, 1, 2)
    for at, (count, start) in enumerate(plan, start=1):
        objects = [stored(str(key), state(key)) for key in range(start, start + count)]
        checkpoints.write_soon(snapshot(at, *objects))
        checkpoints.finish(None)
    newest = newest_checkpoint(run / "checkpoints")
    count, start = plan[-1]
    assert newest.round_index == len(plan)
    assert [one.load()[0].weights_MP[0, 0] for one in newest.objects] == list(range(start, start + count))
