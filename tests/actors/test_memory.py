import gc

import pytest

from fedchunk.actors.backends.memory import uncollected


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
