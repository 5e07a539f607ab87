"""The scores that clients send to agree on one set of chunks, as bytes that are billed like any others.

header    8 bytes, 32 in the first message over a connection
scores    a float32 per chunk; or a float32, the largest score, and a logarithmic byte per chunk
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import agreement, header
from fedchunk.orchestrator.chunking.draft import assemble
from fedchunk.orchestrator.chunking.header import Expected, Flag, Header, Origin, check
from fedchunk.orchestrator.chunking.layout import Layout

ScoreEncoding = Literal["float32", "byte"]
_ENCODINGS: tuple[ScoreEncoding, ...] = ("float32", "byte")


def score_message_bytes(num_chunks: int, encoding: ScoreEncoding) -> int:
    """Bytes of one client's scores as a message, where the connection stands."""
    return header.SIZE + (4 * num_chunks if encoding == "float32" else 4 + num_chunks)


def encode_scores(
    layout: Layout,
    scores_C: NDArray[np.float32],
    encoding: ScoreEncoding,
    *,
    round_index: int,
    sender: int,
    num_samples: int,
    stands: bool,
) -> tuple[NDArray[np.uint8], dict[str, int]]:
    """One client's scores as a message, and its bytes by kind; ``stands``: the client has sent something before."""
    if encoding == "float32":
        section = scores_C.astype("<f4", copy=False).tobytes()
    else:
        peak, bytes_C = agreement.to_bytes(scores_C)
        section = np.array(peak, "<f4").tobytes() + bytes_C.tobytes()
    head = Header(Flag.SCORES, _ENCODINGS.index(encoding), 0, Origin(round_index, sender, num_samples))
    payload, sizes = assemble(head, layout, {"scores": section})
    if not stands:
        return payload, sizes
    return payload[header.SETUP_SIZE :], sizes | {"header": header.SIZE}


def decode_scores(
    payload: NDArray[np.uint8], layout: Layout, expected: Expected
) -> tuple[NDArray[np.float32], dict[str, int]]:
    """The scores, (C,), and the message's bytes by kind.

    Raises PayloadError when they are not scores of this layout and origin, or not finite.
    """
    head = header.read(payload, layout, expected)
    header.verify(payload, head, layout, expected, len(payload))
    check(Flag.SCORES in head.flags and head.encoding < len(_ENCODINGS), "holds no scores")
    section = payload[head.size :]
    if _ENCODINGS[head.encoding] == "float32":
        check(len(section) == 4 * layout.num_chunks, f"{len(section)} bytes of scores for {layout.num_chunks} chunks")
        scores_C = section.view("<f4")
    else:
        check(len(section) == 4 + layout.num_chunks, f"{len(section)} bytes of scores for {layout.num_chunks} chunks")
        peak = float(section[:4].view("<f4")[0])
        check(np.isfinite(peak) and peak >= 0, f"a largest score of {peak}")
        scores_C = agreement.from_bytes(peak, section[4:])
    check(bool(np.isfinite(scores_C).all() and (scores_C >= 0).all()), "scores that are not finite or negative")
    return scores_C, {"header": head.size, "scores": len(section)}
