"""What training did to the chunks of a group's clients, in one pass over the vectors of each.

A block is worked on while it is in cache; what is small is done for all clients at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.distance import Squares
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.square_sums import SquareSums, blocks, in_range, square_sums

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
    """What was found out, a row for each client; None where it was not asked for."""

    squares: Squares | None = None
    withheld_GC: NDArray[np.float64] | None = None
    """Squared norms of the chunks of what is not sent yet, this round's change included, (G, C)."""


@dataclass(frozen=True)
class Keeping:
    """What a client has not sent before, (P,), None: nothing; and where that goes with this round's change added."""

    withheld_P: Vector | None
    out_P: Vector


def moves(
    befores: Sequence[Vector],
    afters: Sequence[Vector],
    layout: Layout,
    asked: Asked,
    keeping: Sequence[Keeping] = (),
) -> Moves:
    """Looks at the vectors of G clients, (P,) each.

    Where they are not finite, or squares leave the range of float32, numpy warns unless the caller tells it not to.

    Args:
        befores: weights where training began. Neighbours often share one, which is looked at once.
        afters: weights after it.
        layout: the cut.
        asked: what is wanted.
        keeping: of each client; empty: nothing is kept.
    """
    count = len(befores)
    if not count or not (asked.moves or keeping):
        return Moves()
    firsts = [row for row in range(count) if not row or befores[row] is not befores[row - 1]]
    differences = square_sums(layout, count) if asked.moves else None
    after = square_sums(layout, count) if asked.lengths else None
    before = square_sums(layout, len(firsts)) if asked.lengths else None
    withheld = square_sums(layout, count) if asked.withheld and keeping else None
    parts = blocks(layout)
    work = np.empty(max(part.stop - part.start for part in parts), np.float32)
    first = -1
    for row, (before_P, after_P) in enumerate(zip(befores, afters, strict=True)):
        is_new = not row or before_P is not befores[row - 1]
        first += is_new
        for block, part in enumerate(parts):
            change = np.subtract(after_P[part], before_P[part], out=work[: part.stop - part.start])
            _note(differences, row, block, change)
            _note(after, row, block, after_P[part])
            if is_new:
                _note(before, first, block, before_P[part])
            if keeping:
                _note(withheld, row, block, _kept(keeping[row], part, change))
    squares = None
    if differences is not None:
        difference_GC = in_range(differences, layout, lambda row, places: afters[row][places] - befores[row][places])
        before_FC = _found(before, layout, [befores[row] for row in firsts])
        alike = np.diff([*firsts, count])
        before_GC = None if before_FC is None else np.repeat(before_FC, alike, axis=0)
        squares = Squares(difference_GC, _found(after, layout, afters), before_GC)
    return Moves(squares, _found(withheld, layout, [one.out_P for one in keeping]))


def _kept(keeping: Keeping, part: slice, change: Vector) -> Vector:
    out = keeping.out_P[part]
    if keeping.withheld_P is None:
        out[:] = change
    else:
        np.add(keeping.withheld_P[part], change, out=out)
    return out


def _note(total: SquareSums | None, row: int, block: int, values: Vector) -> None:
    if total is not None:
        total.add(row, block, values)


def _found(total: SquareSums | None, layout: Layout, vectors: Sequence[Vector]) -> NDArray[np.float64] | None:
    return None if total is None else in_range(total, layout, lambda row, places: vectors[row][places])
