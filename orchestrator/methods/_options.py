"""Checks of options that users set. A message says which option, what it was and what is allowed."""

from __future__ import annotations


def require(fits: bool, name: str, got: object, allowed: str) -> None:
    """Raises ValueError unless the option fits.

    Example:
        >>> require(False, "beta_1", 1.5, "0 <= beta_1 < 1")
        Traceback (most recent call last):
        ValueError: beta_1: got 1.5, allowed: 0 <= beta_1 < 1
    """
    if not fits:
        raise ValueError(f"{name}: got {got!r}, allowed: {allowed}")


def require_count(name: str, got: int, least: int) -> None:
    """Raises ValueError unless ``got`` is a whole number of at least ``least``."""
    require(isinstance(got, int) and got >= least, name, got, f"whole numbers from {least}")
