"""Values as fewer bytes: each encoding is a file, and what is built in stands in :mod:`built_in`.

What is packed is really packed: two ``int4`` values share a byte. The receiver's values are exactly ``unpack`` of the
sender's bytes, so what packing lost is known to the sender and can stay in its residual.
"""

from fedchunk.orchestrator.chunking.codecs.built_in import BUILT_IN, FLOAT32, ByValue, Encoding, codec_of
from fedchunk.orchestrator.chunking.codecs.codec import FIRST_OWN_ID, Codec
from fedchunk.orchestrator.chunking.codecs.packed import Packed, pack_chunks

__all__ = [
    "BUILT_IN",
    "FIRST_OWN_ID",
    "FLOAT32",
    "ByValue",
    "Codec",
    "Encoding",
    "Packed",
    "codec_of",
    "pack_chunks",
]
