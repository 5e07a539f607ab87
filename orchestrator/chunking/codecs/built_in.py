"""The encodings that are built in, by name and by what messages call them."""

from __future__ import annotations

from typing import Literal

from fedchunk.orchestrator.chunking.codecs.codec import Codec
from fedchunk.orchestrator.chunking.codecs.drive import Drive
from fedchunk.orchestrator.chunking.codecs.floats import BFloat16, Float16, Float32
from fedchunk.orchestrator.chunking.codecs.levels import Levels
from fedchunk.orchestrator.chunking.codecs.qsgd import Qsgd
from fedchunk.orchestrator.chunking.codecs.sign import OneSize, Sign
from fedchunk.orchestrator.chunking.codecs.ternary import Ternary
from fedchunk.orchestrator.chunking.codecs.top_k import TopK

Encoding = Literal[
    "float32", "float16", "bfloat16", "int8", "int4", "ternary", "int2", "sign", "topk_in_chunk", "drive", "qsgd", "stc"
]

FLOAT32 = Float32(0)

BUILT_IN: dict[Encoding, Codec] = {
    "float32": FLOAT32,
    "float16": Float16(1),
    "bfloat16": BFloat16(2),
    "int8": Levels(3, levels=127, bits=8),
    "int4": Levels(4, levels=7, bits=4),
    "ternary": Ternary(5),
    "int2": Levels(6, levels=1, bits=2),
    "sign": Sign(7),
    "topk_in_chunk": TopK(8),
    "drive": Drive(9),
    "qsgd": Qsgd(10),
    "stc": OneSize(11),
}
"""The built-in encodings by name, with the options they have where nothing is said.

Their ids are never given to others: old messages must not change their meaning.
"""


ByValue = Float32 | Float16 | BFloat16 | Levels
"""Those that make a number of each value, with its chunk's scale at most: chunks that are packed can change places."""


def codec_of(wire_id: int, own: Codec | None = None) -> Codec | None:
    """The encoding that a message names: ``own`` if it is that, or a built-in; None if nobody knows it."""
    if own is not None and own.wire_id == wire_id:
        return own
    return next((codec for codec in BUILT_IN.values() if codec.wire_id == wire_id), None)
