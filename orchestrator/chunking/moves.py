"""What training did to a client's chunks, in one pass over its vectors: a block is worked on while it is in cache."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.distance import Squares
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.square_sums import SquareSum, blocks, in_range, square_sum

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Asked:
    """What is to be found out."""

    moves: bool = False
    """How far chunks moved: squared norms of after less before."""
    lengths: bool = False
    """Squared norms before and after; only with ``moves``."""
    withheld: bool = False
    """Squared norms of what is not sent yet; only where that is kept."""


@dataclass(frozen=True)
class Moves:
    """What was found out, None where it was not asked for."""

    squares: Squares | None = None
    withheld_C: NDArray[np.float64] | None = None
    """Squared norms of the chunks of what is not sent yet, this round's change included, (C,)."""


@dataclass(frozen=True)
class Keeping:
    """What was not sent before, (P,), None: nothing; and where that goes with this round's change added, (P,)."""

    withheld_P: Vector | None
    out_P: Vector


def moves(
    before_P: Vector,
    after_P: Vector,
    layout: Layout,
    asked: Asked,
    keeping: Keeping | None = None,
    before_C: NDArray[np.float64] | None = None,
) -> Moves:
    """Looks at a client's vectors, (P,) each.

    Where they are not finite, or squares leave the range of float32, numpy warns unless the caller tells it not to.

    Args:
        before_P: weights where training began.
        after_P: weights after it.
        layout: the cut.
        asked: what is wanted.
        keeping: None: nothing is kept.
        before_C: squared norms of ``before_P``'s chunks, where they are known.
    """
    if not (asked.moves or keeping):
        return Moves()
    parts = blocks(layout)
    work = np.empty(max(part.stop - part.start for part in parts), np.float32)
    difference = square_sum(layout) if asked.moves else None
    after = square_sum(layout) if asked.lengths else None
    before = square_sum(layout) if asked.lengths and before_C is None else None
    withheld = square_sum(layout) if asked.withheld and keeping else None
    for number, part in enumerate(parts):
        change = np.subtract(after_P[part], before_P[part], out=work[: part.stop - part.start])
        _note(difference, number, change)
        _note(after, number, after_P[part])
        _note(before, number, before_P[part])
        if keeping is not None:
            _note(withheld, number, _kept(keeping, part, change))
    squares = None
    if difference is not None:
        squares = Squares(
            in_range(difference, layout, lambda places: after_P[places] - before_P[places]),
            _found(after, layout, after_P),
            before_C if before is None else _found(before, layout, before_P),
        )
    return Moves(squares, None if keeping is None else _found(withheld, layout, keeping.out_P))


def _kept(keeping: Keeping, part: slice, change: Vector) -> Vector:
    out = keeping.out_P[part]
    if keeping.withheld_P is None:
        out[:] = change
    else:
        np.add(keeping.withheld_P[part], change, out=out)
    return out


def _note(total: SquareSum | None, number: int, values: Vector) -> None:
    if total is not None:
        total.add(number, values)


def _found(total: SquareSum | None, layout: Layout, vector_P: Vector) -> NDArray[np.float64] | None:
    return None if total is None else in_range(total, layout, lambda places: vector_P[places])
