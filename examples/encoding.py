"""An encoding: one bit a value, its sign, and one scale a chunk (scaled sign, Karimireddy et al. 2019).

So few bits need error feedback, which sends later what a message lost.

chunk_encoding: ./encoding.py:Sign
chunk_reconstruction: error_feedback
chunk_score: accumulated
"""

import numpy as np


class Sign:
    """A chunk's values become plus or minus their mean size."""

    wire_id = 200
    """What messages call this encoding: 128 to 255 are for encodings of one's own."""

    def encode(self, values, sizes_K):
        """The bytes of the K chunks that lie in ``values`` one behind the other."""
        scales_K = np.add.reduceat(np.abs(values), np.cumsum(sizes_K) - sizes_K) / sizes_K
        return scales_K.astype("<f4").tobytes() + np.packbits(values >= 0).tobytes()

    def decode(self, encoded, sizes_K):
        """The values again, as far as these bytes tell."""
        scales_K = np.frombuffer(encoded, "<f4", len(sizes_K))
        bits = np.unpackbits(np.frombuffer(encoded, np.uint8, offset=scales_K.nbytes), count=sizes_K.sum())
        return np.repeat(scales_K, sizes_K) * np.where(bits, 1, -1)
