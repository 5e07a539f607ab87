"""A token is a byte: nothing has to be made or fetched, and any file is text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

KINDS_OF_BYTES = 256


class byte:  # noqa: N801 - the name that it has in settings
    """Tokens are what the bytes are, 0 to 255."""

    token_bytes = np.ones(KINDS_OF_BYTES, np.int64)

    def encode(self, document: bytes) -> NDArray[np.uint8]:
        """A view of the bytes."""
        return np.frombuffer(document, np.uint8)
