"""What crosses processes has its small arrays inside its pickle, and is what it was."""

import copy
import pickle
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedchunk.orchestrator.contract.messages import ClientStates, KnownToAll, ModelState
from fedchunk.orchestrator.contract.reports import ReportRows
from fedchunk.orchestrator.contract.small_arrays import MOST_BYTES, SmallArraysInside


@dataclass(frozen=True)
class Pair(SmallArraysInside):
    one: object
    other: object = None


def sent(value):
    """As another process gets it, and how many arrays came beside the pickle."""
    beside = []
    pickled = pickle.dumps(value, protocol=5, buffer_callback=beside.append)
    return pickle.loads(pickled, buffers=[buffer.raw().toreadonly() for buffer in beside]), len(beside)


ARRAYS = hnp.arrays(
    st.sampled_from(["<f4", "<f8", "<i4", "<i8", "|b1", "|u1", ">f4"]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
)


@given(ARRAYS, st.booleans())
def test_a_small_array_arrives_as_it_was(array, turned):
    array = array.T if turned else array
    got, beside = sent(Pair(array))
    assert (got.one.dtype, got.one.shape, beside) == (array.dtype, array.shape, 0)
    assert got.one.tobytes() == array.tobytes()
    assert not got.one.flags.writeable


@pytest.mark.parametrize(("extra", "beside"), [(0, 0), (1, 1)])
def test_a_large_array_stays_beside_and_is_not_copied(extra, beside):
    array = np.arange(MOST_BYTES + extra, dtype=np.uint8)
    got, found = sent(Pair(array, "word"))
    assert found == beside
    assert np.array_equal(got.one, array)
    assert not got.one.flags.writeable
    assert (got.one.base is not None and np.shares_memory(got.one, array)) == bool(beside)
    assert got.other == "word"


def test_what_travels_every_round_has_no_buffer_for_what_is_small():
    weights, small = np.zeros((3, 20_000), np.float32), np.zeros((3, 4), np.float32)
    states = ClientStates(
        (0, 1, 2), weights, small[:, :0], np.zeros((3, 0), np.int64), np.zeros((3, 4), np.int32), None, None,
        homes=ModelState(small, small[:, :0], np.zeros((3, 0), np.int64)), kept_C=np.ones(4, np.bool_),
    )  # fmt: skip
    known = KnownToAll(ModelState(weights[0], small[0, :0], np.zeros(0, np.int64)), np.zeros(4, np.int32))
    rows = ReportRows(((1, 2, 3),), small, None, small > 0, np.zeros((3, 4), np.int32), (("a", "b", "c"),))
    for value, beside in ((states, 1), (known, 1), (rows, 0)):
        got, found = sent(value)
        assert (type(got), found) == (type(value), beside)
        for field in fields(value):
            assert_same(getattr(got, field.name), getattr(value, field.name))
    assert replace(states, kept_C=None).kept_C is None


def assert_same(got, expected):
    if isinstance(expected, ModelState):
        for field in fields(expected):
            assert_same(getattr(got, field.name), getattr(expected, field.name))
    elif isinstance(expected, np.ndarray):
        assert (got.dtype, got.shape, got.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())
    else:
        assert got == expected


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_has_arrays(copied):
    pair = Pair(np.arange(4), np.zeros(MOST_BYTES))
    assert_same(copied(pair).one, pair.one)
    assert_same(copied(pair).other, pair.other)
