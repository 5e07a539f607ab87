from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from fedchunk.orchestrator.learning.preprocess import configure_torch, seeded, to_device

SCALE = np.array([0.5, 0.2], dtype=np.float32), np.array([0.5, 0.1], dtype=np.float32)


@pytest.fixture
def torch_as_it_was() -> Iterator[None]:
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def test_bytes_are_scaled_and_normalised_by_channel() -> None:
    x = np.array([[[[0, 255]], [[51, 102]]]], dtype=np.uint8)
    x.flags.writeable = False
    images = to_device(x, SCALE, None, "cpu")
    np.testing.assert_allclose(images.numpy(), [[[[-1, 1]], [[0, 2]]]], atol=1e-6)
    assert images.dtype == torch.float32


def test_floats_are_normalised_and_the_original_is_left_alone() -> None:
    x = np.full((1, 2, 1, 1), 0.3, dtype=np.float32)
    images = to_device(x, SCALE, None, "cpu")
    np.testing.assert_allclose(images.numpy().reshape(-1), [-0.4, 1.0], atol=1e-6)
    assert (x == np.float32(0.3)).all()


def test_an_image_gets_the_size_asked_for_and_keeps_its_mean() -> None:
    x = np.random.default_rng(0).random((2, 2, 8, 8), dtype=np.float32)
    same = to_device(x, SCALE, 8, "cpu")
    assert torch.equal(same, to_device(x, SCALE, None, "cpu"))
    for size in (4, 16):
        resized = to_device(x, SCALE, size, "cpu")
        assert resized.shape == (2, 2, size, size)
        torch.testing.assert_close(resized.mean(dim=(2, 3)), same.mean(dim=(2, 3)), rtol=0.3, atol=0.3)


def test_enlarging_interpolates_between_pixels() -> None:
    x = np.array([[[[0.0, 1.0], [0.0, 1.0]]]], dtype=np.float32)
    images = to_device(x, (np.zeros(1, np.float32), np.ones(1, np.float32)), 4, "cpu")
    np.testing.assert_allclose(images[0, 0].numpy(), [[0, 0.25, 0.75, 1]] * 4, atol=1e-6)


def test_seeded_draws_repeat_and_leave_the_state_outside_alone() -> None:
    before = torch.get_rng_state()
    draws = []
    for seed in (2**63 - 1, 2**63 - 1, 8):
        with seeded(seed, torch.device("cpu")):
            draws.append(torch.rand(3).tolist())
    assert draws[0] == draws[1] != draws[2]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.usefixtures("torch_as_it_was")
@pytest.mark.parametrize("deterministic", [True, False])
def test_torch_is_set_up_as_asked(deterministic: bool) -> None:
    configure_torch(2, deterministic, "cpu")
    assert torch.get_num_threads() == 2
    assert torch.are_deterministic_algorithms_enabled() is deterministic
    assert torch.backends.cudnn.benchmark is False
