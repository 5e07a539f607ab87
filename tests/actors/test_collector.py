"""The collector passes over what was there before, and only as long as that is asked for."""

from __future__ import annotations

import gc
import weakref

import pytest

from fedchunk.actors.backends.memory import spared_collections, uncollected


class Node:
    """Something that can be part of a circle."""

    other: Node


def circle() -> Node:
    one, two = Node(), Node()
    one.other, two.other = two, one
    return one


def is_watched(thing: object) -> bool:
    return any(found is thing for found in gc.get_objects())


@pytest.fixture(autouse=True)
def nothing_is_frozen() -> None:
    gc.unfreeze()


def test_what_was_there_is_passed_over_and_what_is_new_is_not() -> None:
    before = circle()
    with spared_collections():
        after = circle()
        assert not is_watched(before)
        assert is_watched(after)
    assert is_watched(before)


def test_garbage_from_before_does_not_stay() -> None:
    one = circle()
    gone = weakref.ref(one)
    del one
    with spared_collections():
        assert gone() is None


def test_all_is_given_back_when_a_run_fails() -> None:
    before = circle()
    with pytest.raises(KeyError), spared_collections():
        raise KeyError
    assert gc.get_freeze_count() == 0
    assert is_watched(before)


def test_what_the_process_froze_itself_stays_frozen() -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    with spared_collections():
        pass
    assert gc.get_freeze_count() == frozen > 0
    gc.unfreeze()


def test_imports_within_a_run_leave_it_set_aside() -> None:
    before = circle()
    with spared_collections():
        with uncollected():
            pass
        assert not is_watched(before)
