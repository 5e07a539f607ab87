"""Which chunks a layer covers, at a level of detail that can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby


@dataclass(frozen=True)
class LayerMark:
    """A layer, or a block of layers, and the chunks that hold some of it: ``first`` to ``stop - 1``."""

    name: str
    first: int
    stop: int


def layer_marks(parameters_C: Sequence[Sequence[str]], limit: int = 20) -> tuple[LayerMark, ...]:
    """The layers of a model in the order of its flat vector, at most about ``limit`` of them.

    Parameters are grouped by the longest prefix of their dotted names that gives at most ``limit`` groups: an MLP
    shows its layers, a ResNet its blocks. Where even the first part of the names gives more, that is what comes out.

    Args:
        parameters_C: the column ``parameters`` of the ``layout`` table: names that each chunk covers, in order.
        limit: how many marks can be read.

    Returns:
        Marks in order. Neighbours may share a chunk, because chunks cut through layers.
    """
    spans: dict[str, tuple[int, int]] = {}
    for chunk, names in enumerate(parameters_C):
        for name in names:
            first, _ = spans.get(name, (chunk, chunk))
            spans[name] = (first, chunk + 1)
    depths = range(max((len(_layer(name)) for name in spans), default=1), 0, -1)
    for depth in depths:
        marks = _grouped(spans, depth)
        if len(marks) <= limit:
            break
    return marks


def _layer(parameter: str) -> tuple[str, ...]:
    """``("layer1", "0", "conv1")`` of ``layer1.0.conv1.weight``; a parameter outside any layer is its own."""
    parts = tuple(parameter.split("."))
    return parts[:-1] or parts


def _grouped(spans: dict[str, tuple[int, int]], depth: int) -> tuple[LayerMark, ...]:
    marks = []
    for prefix, group in groupby(spans.items(), key=lambda item: _layer(item[0])[:depth]):
        members = [span for _, span in group]
        marks.append(LayerMark(".".join(prefix), members[0][0], members[-1][1]))
    return tuple(marks)
