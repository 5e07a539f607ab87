"""One contract, both backends: what a coordinator may rely on, whichever group it is given."""

from collections import deque

import numpy as np
import pytest

from fedchunk.actors.backends.local import LocalClientGroup
from fedchunk.actors.backends.ray_group import GroupLimits, RayClientGroup, take_near
from fedchunk.orchestrator.contract.ports import Call, Lost, Raised, Returned
from fedchunk.orchestrator.core.errors import ActorsUnavailable, ClientFailed


def make_worker():
    """The class is made here so that Ray pickles it by value: workers cannot import test files."""

    class Worker:
        def ask(self, job, handles, *arguments):
            return getattr(self, job)(*arguments)

        def ready(self):
            return "here"

        def double(self, box):
            return {"doubled": box["array"] * 2}

        def write(self, box):
            box["array"][0] = 1

        def parts(self, number):
            return number, np.full(3, number), {"array": np.full(40_000, number)}

        def total(self, *boxes):
            return sum(float(box["array"].sum()) for box in boxes)

        def fail(self):
            raise ClientFailed(3, 2, "train", "on purpose")

        def stumble(self):
            return 1 // 0

    return Worker


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.ray)])
def group(request):
    worker = make_worker()
    if request.param == "local":
        yield LocalClientGroup([worker(), worker()])
        return
    ray = request.getfixturevalue("ray_here")
    actors = []

    def spawn(index):
        actors.append(ray.remote(worker).options(num_cpus=0).remote())
        return actors[-1]

    yield RayClientGroup(spawn, 2, GroupLimits(60.0, 60.0, 20.0))
    for actor in actors:
        ray.kill(actor)


def outcome_of(group, *call, **more):
    group.submit(Call(0, *call, **more))
    return group.next_outcome()


def test_it_has_the_asked_size(group):
    assert group.size == 2


def test_a_value_comes_back_as_itself(group):
    outcome = outcome_of(group, "double", ({"array": np.arange(3)},))
    assert isinstance(outcome, Returned)
    assert outcome.values[0]["doubled"].tolist() == [0, 2, 4]


def test_a_shared_value_arrives_as_the_value(group):
    handle = group.put({"array": np.ones(5)})
    assert outcome_of(group, "total", (handle, handle, {"array": np.ones(1)})).values == (11.0,)


def test_returned_values_come_first_and_the_rest_stay_behind_handles(group):
    outcome = outcome_of(group, "parts", (7,), values=2, handles=1)
    assert outcome.values[0] == 7
    assert outcome.values[1].tolist() == [7, 7, 7]
    assert len(outcome.handles) == 1
    assert outcome_of(group, "total", outcome.handles).values == (280_000.0,)


def test_what_arrives_is_read_only_at_the_actor(group):
    outcome = outcome_of(group, "write", ({"array": np.ones(100_000)},))
    assert isinstance(outcome, Raised)
    assert "read-only" in outcome.reason


def test_what_comes_back_is_read_only_and_shares_nothing(group):
    mine = np.arange(100_000)
    handle = group.put({"array": mine})
    mine[0] = 99
    returned = outcome_of(group, "double", (handle,)).values[0]["doubled"]
    assert returned[0] == 0
    assert not returned.flags.writeable


def test_an_error_names_its_kind_or_its_stage(group):
    assert outcome_of(group, "fail", ()).reason == "train: on purpose"
    assert outcome_of(group, "stumble", ()).reason.startswith("ZeroDivisionError: ")


def test_an_actor_works_on_after_an_error(group):
    outcome_of(group, "stumble", ())
    assert [outcome_of(group, "total", ()).values for _ in range(4)] == [(0,)] * 4


def test_many_calls_each_end_once(group):
    for key in range(30):
        group.submit(Call(key, "double", ({"array": np.full(2, key)},)))
    ended = [group.next_outcome() for _ in range(30)]
    assert sorted(outcome.call.key for outcome in ended) == list(range(30))
    assert all(outcome.values[0]["doubled"].tolist() == [2 * outcome.call.key] * 2 for outcome in ended)


def test_calls_go_to_the_machine_that_has_what_they_need_and_none_is_left():
    queue = deque(Call(key, "double", (), near=near) for key, near in enumerate(["a", "b", None, "b", "a", None, "c"]))
    taken = [take_near(queue, machine).key for machine in ("b", "b", "b", "a", None, "c", "b")]
    assert taken == [1, 3, 2, 0, 5, 6, 4]


def test_waiting_for_nothing_is_refused(group):
    with pytest.raises(ActorsUnavailable, match="no call"):
        group.next_outcome()


@pytest.mark.ray
def test_after_one_actor_was_lost_a_spare_stands_by_and_takes_the_next_ones_place(ray_here):
    import os
    import signal
    import time

    class Worker:
        def ask(self, job, handles):
            return os.getpid()

        def ready(self):
            return "here"

    started, spares = [], []

    def spawn(index, into=started):
        into.append(ray_here.remote(Worker).options(num_cpus=0).remote())
        return into[-1]

    group = RayClientGroup(spawn, 1, GroupLimits(60.0, 60.0, 20.0), lambda index: spawn(index, spares))
    try:
        outcome_of(group, "pid", ())
        assert (len(started), len(spares)) == (1, 0), "nobody was lost yet"
        for losses in (1, 2, 3):
            (pid,) = outcome_of(group, "pid", ()).values
            os.kill(pid, signal.SIGKILL)
            while isinstance(outcome := outcome_of(group, "pid", ()), Lost):
                time.sleep(0.01)
            assert isinstance(outcome, Returned)
            assert (len(started), len(spares)) == (2, losses), (
                "one was started when the first was lost, then spares were"
            )
    finally:
        for actor in started + spares:
            ray_here.kill(actor)
