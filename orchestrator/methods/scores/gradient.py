"""L2 norm of the chunk's gradient, as FedPilot's rule: importance(c) = ||gradient[c]||_2."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def gradient(gradient_C: NDArray[np.float32]) -> NDArray[np.float32]:
    """The norms themselves, (C,)."""
    return gradient_C
