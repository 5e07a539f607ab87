"""Small whole numbers packed close: bits in bytes, and five ternary digits in one byte."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.codecs.codec import Bytes

DIGITS_A_BYTE = 5
"""3^5 = 243 of a byte's 256 values are used: 1.6 bits a digit, where its entropy is 1.585 at most."""

_POWERS = (3 ** np.arange(DIGITS_A_BYTE)).astype(np.uint8)
_DIGITS = (np.arange(3**DIGITS_A_BYTE)[:, None] // _POWERS % 3).astype(np.uint8)
"""The digits of each byte, (243, 5)."""


def bytes_of_bits(num_bits: int) -> int:
    """Bytes that so many bits occupy."""
    return -(-num_bits // 8)


def pack_bits(bits_N: NDArray[np.bool_] | NDArray[np.uint8]) -> Bytes:
    """Bits, the first in the highest place of the first byte; the last byte is filled up with zeros.

    Example:
        >>> pack_bits(np.array([1, 0, 0, 0, 0, 0, 0, 1, 1], bool)).tolist()
        [129, 128]
    """
    return np.packbits(bits_N)


def unpack_bits(packed: Bytes, num_bits: int) -> NDArray[np.uint8]:
    """Undoes :func:`pack_bits`: zeros and ones. Raises ValueError: not so many bits, or others behind them."""
    check_length(packed, bytes_of_bits(num_bits))
    bits = np.unpackbits(packed)
    if bits[num_bits:].any():
        raise ValueError("bits behind the last value")
    return bits[:num_bits]


def to_bits(numbers: NDArray[np.uint64], width: int) -> NDArray[np.uint8]:
    """Numbers below 2^width as bits, the highest first: shape (..., width)."""
    places = np.arange(width - 1, -1, -1, dtype=np.uint64)
    return ((numbers[..., None] >> places) & np.uint64(1)).astype(np.uint8)


def from_bits(bits: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Undoes :func:`to_bits`."""
    places = np.arange(bits.shape[-1] - 1, -1, -1, dtype=np.uint64)
    numbers: NDArray[np.uint64] = np.bitwise_or.reduce(bits.astype(np.uint64) << places, axis=-1)
    return numbers


def bytes_of_digits(num_digits: int) -> int:
    """Bytes that so many ternary digits occupy."""
    return -(-num_digits // DIGITS_A_BYTE)


def pack_digits(digits_N: NDArray[np.uint8]) -> Bytes:
    """Digits 0, 1, 2, five to a byte, the first of them the lowest; the last byte is filled up with zeros.

    Example:
        >>> pack_digits(np.array([1, 0, 2, 0, 0, 2], np.uint8)).tolist()
        [19, 2]
    """
    padded = np.zeros((bytes_of_digits(len(digits_N)), DIGITS_A_BYTE), np.uint8)
    padded.reshape(-1)[: len(digits_N)] = digits_N
    return np.asarray((padded * _POWERS).sum(axis=1), np.uint8)


def unpack_digits(packed: Bytes, num_digits: int) -> NDArray[np.uint8]:
    """Undoes :func:`pack_digits`. Raises ValueError: not so many digits, others behind them, or bytes above 242."""
    check_length(packed, bytes_of_digits(num_digits))
    if len(packed) and packed.max() >= len(_DIGITS):
        raise ValueError("a byte that does not hold five ternary digits")
    digits = _DIGITS[packed].reshape(-1)
    if digits[num_digits:].any():
        raise ValueError("digits behind the last value")
    return digits[:num_digits]


def check_length(packed: Bytes, expected: int) -> None:
    """Raises ValueError: another number of bytes than ``expected``."""
    if len(packed) != expected:
        raise ValueError(f"{len(packed)} bytes of values, expected {expected}")
