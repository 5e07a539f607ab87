"""Scales in fewer bytes: the same scales come back, and nonsense is refused."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from fedchunk.orchestrator.chunking import scale_code
from fedchunk.orchestrator.core.errors import PayloadError


def taken(content):
    return np.frombuffer(bytes(content), np.uint8)


@given(hnp.arrays("<u2", st.integers(0, 40)), st.binary(max_size=5))
def test_the_same_scales_come_back_whatever_follows(scales_K, behind):
    scales = scales_K.view(np.uint8)
    section = scale_code.write(scales)
    found, length = scale_code.read(np.concatenate([section, taken(behind)]), len(scales_K))
    assert length == len(section)
    assert found.tobytes() == scales.tobytes()
    assert scale_code.least_bytes(len(scales_K)) <= len(section) <= 2 * len(scales_K) + (2 if len(scales_K) else 0)


def test_scales_by_hand():
    """Upper bytes 59, 60, 59, 62 differ by up to 3 from 59: two bits each."""
    scales = np.array([0x3B10, 0x3C20, 0x3B30, 0x3E40], "<u2").view(np.uint8)
    assert scale_code.write(scales).tolist() == [0x10, 0x20, 0x30, 0x40, 59, 2, 0b00010011]


def test_equal_upper_bytes_take_nothing_each():
    scales = np.full(100, 0x3C01, "<u2").view(np.uint8)
    assert len(scale_code.write(scales)) == scale_code.least_bytes(100) == 102


@given(st.binary(max_size=30), st.integers(0, 20))
def test_arbitrary_bytes_are_read_or_refused(noise, count):
    try:
        scales, length = scale_code.read(taken(noise), count)
    except PayloadError:
        return
    assert scales.shape == (2 * count,)
    assert length <= len(noise)


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ([1, 2, 59], "too short"),
        ([1, 2, 59, 2], "too short"),
        ([1, 2, 59, 9, 0, 0, 0], "too short"),
        ([1, 2, 59, 2, 0b00010001], "bits behind its scales"),
        ([1, 2, 255, 1, 0b01000000], "no two bytes hold"),
    ],
)
def test_what_nobody_writes_is_refused(section, reason):
    with pytest.raises(PayloadError, match=reason):
        scale_code.read(taken(section), 2)
