from __future__ import annotations

import numpy as np
import torch

from fedchunk.orchestrator.learning.transfer import fill, host_copy, to_device


def read_only(count: int) -> np.ndarray:
    values = np.arange(count, dtype=np.float32)
    values.setflags(write=False)
    return values


def test_read_only_arrays_are_copied_and_stay_as_they_are():
    values, target = read_only(4), torch.zeros(4)
    fill(target, values)
    on_device = to_device(values, torch.device("cpu"))
    target += 1
    on_device += 1
    assert values.tolist() == [0, 1, 2, 3]
    assert target.tolist() == on_device.tolist() == [1, 2, 3, 4]


def test_a_row_of_a_matrix_is_filled_alone():
    rows = torch.zeros(3, 4)
    fill(rows[1], read_only(4))
    assert rows.tolist() == [[0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 0, 0]]


def test_a_host_copy_has_memory_of_its_own():
    tensor = torch.arange(6.0).view(2, 3)
    copied = host_copy(tensor.t())
    tensor.zero_()
    assert copied.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert copied.flags.writeable
    assert copied.flags.c_contiguous
