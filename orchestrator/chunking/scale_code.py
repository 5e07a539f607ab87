"""The scales of chunks in fewer bytes: a bfloat16's upper byte is its sign and most of its exponent, so all are alike.

    K           the lower bytes of the K scales
    1           the smallest of the upper bytes
    1           b, the bits of the largest difference of an upper byte to it, 0 to 8
    K b bits    these differences, from the highest bit down, filled with zeros to a whole byte

Nothing where K is 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.header import check


def write(scales: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """K bfloat16 scales, two bytes each, as fewer bytes."""
    if not len(scales):
        return scales
    lower_K, upper_K = scales[::2], scales[1::2]
    least, width = upper_K.min(), _width(upper_K)
    offsets_K = upper_K - least
    bits = offsets_K[:, None] >> np.arange(width - 1, -1, -1, dtype=np.uint8) & 1
    return np.concatenate([lower_K, np.array([least, width], np.uint8), np.packbits(bits)])


def length(scales: NDArray[np.uint8]) -> int:
    """Bytes of what :func:`write` gives, without writing it."""
    if not len(scales):
        return 0
    num_scales = len(scales) // 2
    return least_bytes(num_scales) + -(-num_scales * _width(scales[1::2]) // 8)


def _width(upper_K: NDArray[np.uint8]) -> int:
    """Bits of the largest difference to the smallest."""
    return int(upper_K.max() - upper_K.min()).bit_length()


def read(section: NDArray[np.uint8], num_scales: int) -> tuple[NDArray[np.uint8], int]:
    """The scales, (2 K,), and how many bytes of the section they took. Raises PayloadError: they are not there."""
    if not num_scales:
        return section[:0], 0
    check(len(section) >= least_bytes(num_scales), f"{len(section)} bytes are too short for its scales")
    least, width = section[num_scales : num_scales + 2].tolist()
    taken = least_bytes(num_scales) + -(-num_scales * width // 8)
    check(width <= 8 and len(section) >= taken, f"{len(section)} bytes are too short for its scales")
    bits = np.unpackbits(section[num_scales + 2 : taken])
    check(not np.count_nonzero(bits[num_scales * width :]), "bits behind its scales")
    offsets_K = bits[: num_scales * width].reshape(num_scales, width) @ (1 << np.arange(width - 1, -1, -1))
    check(least + int(offsets_K.max()) < 256, "scales that no two bytes hold")
    scales = np.empty(2 * num_scales, np.uint8)
    scales[::2], scales[1::2] = section[:num_scales], least + offsets_K
    return scales, taken


def least_bytes(num_scales: int) -> int:
    """Bytes of so many scales whose upper bytes are equal."""
    return num_scales + 2 if num_scales else 0
