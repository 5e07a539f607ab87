"""Quasi-global momentum: what a client's momentum starts from, so that it points where the federation goes.

Lin, Karimireddy, Stich & Jaggi 2021, "Quasi-Global Momentum: Accelerating Decentralized Deep Learning on Heterogeneous
Data" (arXiv 2102.04761), algorithm 1, with local steps. A client sees only its own data, and momentum of its gradients
carries it away from the others. What happens to its model between two rounds holds what the others found, and is known
to it without a byte. In a star that is the shared model's movement: as FedCM (arXiv 2106.10874) and Mime
(arXiv 2008.03606) have it, but for what the server sends there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def quasi_global(
    momentum_P: NDArray[np.float32] | None,
    began_P: NDArray[np.float32],
    begins_P: NDArray[np.float32],
    *,
    beta: float,
    learning_rate: float,
    local_steps: int,
    rounds: int = 1,
) -> NDArray[np.float32]:
    """``m = beta m + (1 - beta) (a - a') / (lr H)``: the movement between two rounds, for one step of the optimizer.

    Args:
        momentum_P: m as it was; None: zero.
        began_P: a, the model that training began from when the client last took part.
        begins_P: a', the model that it begins from now.
        beta: the momentum of the local optimizer, 0 to 1.
        learning_rate: of the round in which it last took part. Where that is 0, as at the end of a schedule, no step
            was taken that a movement could be for: m stays as it was.
        local_steps: H, its steps in a round, at least 1.
        rounds: from the one round to the other: 1, and 1 more for each that it missed.

    Returns:
        m, (P,), in the unit of a gradient.

    Example:
        >>> began, begins = np.array([1, 1], np.float32), np.array([0.5, 1], np.float32)
        >>> momentum = np.array([1, 2], np.float32)
        >>> quasi_global(momentum, began, begins, beta=0.5, learning_rate=0.25, local_steps=2).tolist()
        [1.0, 1.0]
    """
    if learning_rate == 0:
        return np.zeros_like(began_P) if momentum_P is None else momentum_P
    moved_P = began_P - begins_P
    moved_P *= np.float32((1 - beta) / (learning_rate * local_steps * rounds))
    return moved_P if momentum_P is None else moved_P + np.float32(beta) * momentum_P
