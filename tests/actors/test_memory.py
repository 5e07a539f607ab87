from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from fedchunk.actors.backends.memory import spared_collections, uncollected


@pytest.fixture
def collector():
    yield
    gc.enable()


def test_nothing_is_collected_during_imports_and_everything_after_them(collector):
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_was_imported_is_not_young_any_more(collector):
    gc.collect()
    with uncollected():
        made = [[] for _ in range(5000)]

    young = {id(one) for generation in (0, 1) for one in gc.get_objects(generation)}
    assert young.isdisjoint(id(one) for one in made)


def test_an_import_that_fails_leaves_the_collector_on(collector):
    with pytest.raises(ImportError), uncollected():
        raise ImportError
    assert gc.isenabled()


def test_who_has_switched_the_collector_off_keeps_it_off(collector):
    gc.disable()
    with uncollected():
        pass
    assert not gc.isenabled()


class Node:
    """Something that can be part of a circle."""

    other: Node


def circle() -> Node:
    one, two = Node(), Node()
    one.other, two.other = two, one
    return one


def is_watched(thing: object) -> bool:
    return any(found is thing for found in gc.get_objects())


@pytest.fixture
def nothing_frozen() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_was_there_is_passed_over_and_what_is_new_is_not(nothing_frozen: None) -> None:
    before = circle()
    with spared_collections():
        after = circle()
        assert not is_watched(before)
        assert is_watched(after)
    assert is_watched(before)


def test_garbage_from_before_does_not_stay(nothing_frozen: None) -> None:
    one = circle()
    gone = weakref.ref(one)
    del one
    with spared_collections():
        assert gone() is None


def test_all_is_given_back_when_a_run_fails(nothing_frozen: None) -> None:
    before = circle()
    with pytest.raises(KeyError), spared_collections():
        raise KeyError
    assert gc.get_freeze_count() == 0
    assert is_watched(before)


def test_what_the_process_froze_itself_stays_frozen(nothing_frozen: None) -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    with spared_collections():
        pass
    assert gc.get_freeze_count() > 0.9 * frozen > 0, "what is frozen may end all the same"


def test_imports_within_a_run_leave_it_set_aside(nothing_frozen: None) -> None:
    before = circle()
    with spared_collections():
        with uncollected():
            pass
        assert not is_watched(before)
