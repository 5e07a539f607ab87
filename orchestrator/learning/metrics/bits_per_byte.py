"""Cross entropy in bits for each byte of text: comparable whatever a token is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.learning.metrics._errors import nats

if TYPE_CHECKING:
    from torch import Tensor

TARGETS = ("labels",)
LOWER_IS_BETTER = True


def bits_per_byte(outputs: Tensor, targets: Tensor, token_bytes_V: NDArray[np.int64] | None) -> tuple[Tensor, int]:
    """Bits of all tokens, and the bytes that they stand for.

    Args:
        outputs: (N, V), logits.
        targets: (N,), tokens.
        token_bytes_V: bytes of each token of the vocabulary; None: a token is a byte.
    """
    size = len(targets) if token_bytes_V is None else int(token_bytes_V[targets.cpu().numpy()].sum())
    return nats(outputs, targets) / math.log(2), size
