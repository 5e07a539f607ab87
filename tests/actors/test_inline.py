"""What is small travels inside calls: which values, in which Ray, and for which settings."""

import os
import pickle

import numpy as np
import pytest

from fedchunk.actors.backends import inline


@pytest.fixture(autouse=True)
def _rays_own_limit(monkeypatch):
    monkeypatch.delenv(inline._VARIABLE, raising=False)


def test_arrays_count_with_all_their_bytes():
    values = np.zeros(25_000, np.float32)  # 100,000 bytes, of 102,400
    assert inline.fits_inside_calls({"model": values})
    assert not inline.fits_inside_calls({"model": values, "rest": values[:1_000]})
    assert not inline.fits_inside_calls((b"x" * 102_400,))


def test_processes_that_are_told_of_another_limit_keep_to_it(monkeypatch):
    monkeypatch.setenv(inline._VARIABLE, "2000")
    assert inline.fits_inside_calls(np.zeros(1_000, np.uint8))
    assert not inline.fits_inside_calls(np.zeros(2_000, np.uint8))


def test_a_ray_that_is_started_meanwhile_has_the_larger_limit_and_later_ones_have_not():
    with inline.larger_values_inside_calls():
        assert os.environ[inline._VARIABLE] == str(inline.LARGER)
        assert inline.fits_inside_calls(np.zeros(inline.SHARED - 1_000, np.uint8))
        assert not inline.fits_inside_calls(np.zeros(inline.SHARED, np.uint8))
    assert inline._VARIABLE not in os.environ


def test_a_users_own_limit_stays(monkeypatch):
    monkeypatch.setenv(inline._VARIABLE, "5000")
    with inline.larger_values_inside_calls():
        assert os.environ[inline._VARIABLE] == "5000"
    assert os.environ[inline._VARIABLE] == "5000"


def handed_over(value):
    """What arrives, and the bytes that travelled."""
    buffers = []
    pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    size = len(pickled) + sum(buffer.raw().nbytes for buffer in buffers)
    return pickle.loads(pickled, buffers=buffers), size


@pytest.mark.parametrize("count", [1_000, inline._DEFAULT // 4, 300_000, inline.LARGER // 4, 1_000_000])
def test_states_of_their_limit_or_more_are_too_large_for_a_call_and_arrive_as_they_are(count):
    states = (np.arange(count, dtype=np.float32), "the rest")
    for most in (inline._DEFAULT, inline.SHARED):
        with inline.larger_values_inside_calls():
            (values, rest), travelled = handed_over(inline.outside_calls(states, most))
        assert (travelled < inline.LARGER) == (4 * count < most)
        assert travelled < 4 * count + inline.LARGER
        assert rest == "the rest"
        np.testing.assert_array_equal(values, states[0])


def test_nothing_is_added_where_ray_puts_it_into_the_store_anyway(monkeypatch):
    states = (np.zeros(200_000, np.float32),)
    assert inline.outside_calls(states, inline._DEFAULT) is states  # no larger limit is set
    monkeypatch.setenv(inline._VARIABLE, "5000")
    assert inline.outside_calls(states, inline._DEFAULT) is states
    monkeypatch.setenv(inline._VARIABLE, str(inline.LARGER))
    assert inline.outside_calls(states, inline.SHARED) is states  # and fits
    assert inline.outside_calls(states, inline._DEFAULT) is not states


@pytest.mark.parametrize(
    ("rate", "most"),
    [
        (0.1, inline._DEFAULT),
        (inline.FEW_CLIENTS / 1000, inline.SHARED),
        ((inline.FEW_CLIENTS + 1) / 1000, inline._DEFAULT),
        (1.0, inline.SHARED),
    ],
)
def test_scattered_states_of_many_clients_stay_in_the_store(make_settings, rate, most):
    asked = {"chunking": True, "chunking_parts": 4, "synthetic_samples": 2000, "number_of_clients": 1000}
    assert inline.most_of_states(make_settings(**asked, client_sampling_rate=rate)) == most
