"""Norms that are added up on the device are those of the chunks."""

import numpy as np
import pytest
import torch

from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.square_sums import squared_norms as on_the_host
from fedchunk.orchestrator.learning.engines.segments import squared_norms


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("num_chunks", [1, 7, 1000])
def test_squared_norms_on_the_device_are_those_of_the_chunks(device, num_chunks):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    layout = Layout(1000, num_chunks)
    rows_GP = np.random.default_rng(0).normal(size=(3, 1000)).astype(np.float32)
    rows_GP[1] *= 1e-25

    found_GC = squared_norms(torch.from_numpy(rows_GP).to(device), layout.sizes_C)

    np.testing.assert_allclose(found_GC, [on_the_host(row_P, layout) for row_P in rows_GP], rtol=1e-6)


def test_hand_computed():
    rows_GP = torch.tensor([[3.0, 4.0, 1.0], [0.0, 0.0, 2.0]])
    assert squared_norms(rows_GP, np.array([2, 1])).tolist() == [[25.0, 1.0], [0.0, 4.0]]
