"""How many chunks go: K from the settings' percentage, or from how the scores are spread."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


def fixed(num_chunks: int, percentage: float) -> int:
    """``K = max(1, ceil(C * percentage / 100))``, in exact arithmetic.

    The percentage counts as the decimal number that was written: 1,000 chunks at 5.1 % are 51, not the 52 that
    binary rounding may give.

    Example:
        >>> fixed(50, 80), fixed(1000, 5.1), fixed(10, 0.001)
        (40, 51, 1)
    """
    return max(1, math.ceil(num_chunks * Fraction(str(percentage)) / 100))


def energy(scores_C: NDArray[np.float32], share: float, ceiling: int) -> int:
    """The smallest K whose best chunks hold ``share`` of the summed squared scores, at most ``ceiling``, at least 1.

    Keeping the share rho of the energy fixes the contraction of the choice: ``||x - C(x)||^2 <= (1 - rho) ||x||^2``
    (Stich et al. 2018, "Sparsified SGD with Memory", definition 2.1, read for one round's scores).

    Example:
        >>> energy(np.array([3, 4, 0, 0], np.float32), 0.6, 4), energy(np.array([3, 4, 0, 0], np.float32), 0.65, 4)
        (1, 2)
    """
    energies_C = np.sort(np.square(scores_C.astype(np.float64)))[::-1]
    held_C = np.cumsum(energies_C)
    needed = int(np.searchsorted(held_C, share * held_C[-1])) + 1
    return max(1, min(needed, ceiling))
