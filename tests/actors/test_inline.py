"""What is small travels inside calls: which values, in which Ray, and for which settings."""

import os

import numpy as np
import pytest

from fedchunk.actors.backends import inline
from fedchunk.actors.backends.ray_backend import FEW_CLIENTS, _has_large_calls


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
        assert inline.fits_inside_calls(np.zeros(inline.LARGER - 1_000, np.uint8))
    assert inline._VARIABLE not in os.environ


def test_a_users_own_limit_stays(monkeypatch):
    monkeypatch.setenv(inline._VARIABLE, "5000")
    with inline.larger_values_inside_calls():
        assert os.environ[inline._VARIABLE] == "5000"
    assert os.environ[inline._VARIABLE] == "5000"


@pytest.mark.parametrize(
    ("settings", "large"),
    [
        ({"number_of_clients": 1000, "client_sampling_rate": 0.1, "chunking": False}, True),
        ({"number_of_clients": 1000, "client_sampling_rate": 0.1}, False),
        ({"number_of_clients": 1000, "client_sampling_rate": FEW_CLIENTS / 1000}, True),
        ({"number_of_clients": 1000, "client_sampling_rate": (FEW_CLIENTS + 1) / 1000}, False),
        ({"number_of_clients": 1000, "client_sampling_rate": 1.0}, True),
        (
            {
                "federated_learning_schema": "DecentralizedFederatedLearning",
                "federated_learning_topology": "ring",
                "client_sampling_rate": 1.0,
            },
            False,
        ),
    ],
)
def test_scattered_states_of_many_clients_and_what_peers_send_stay_in_the_store(make_settings, settings, large):
    asked = {"chunking": True, "chunking_parts": 4, "synthetic_samples": 2000, "number_of_clients": 4} | settings
    assert _has_large_calls(make_settings(**asked)) == large
