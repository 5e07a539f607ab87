"""The metrics of the settings: parts of a test set give what adds up, and the sums give values.

    measures.of(outputs, targets) -> parts -> (EvaluationSums add up) -> measures.values(sums) -> {name: value}

A metric is a function that gives ``(sum, weight)``, whose value is the one over the other; or, where that is not
enough, a class that is made with what it asks for, has ``parts(outputs, targets)``, an array that adds up, and
``value(parts)``, a number or numbers by suffixes. No torch: the coordinator, which has none, turns sums into values.
"""

from __future__ import annotations

import inspect
import math
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.components import Bound
from fedchunk.orchestrator.contract.evaluation import EvaluationSums
from fedchunk.orchestrator.core.errors import ComponentFailed
from fedchunk.orchestrator.settings.joined import Sections

Parts = Mapping[str, NDArray[np.float64]]
"""What adds up, by the metric's name: (2,) of a function, sum and weight; (1, ...) of a class, its parts."""


class Measures:
    """The metrics of the settings. True if there are any.

    Attributes:
        names: as they are called in tables: a user's by what stands behind the colon, and by the whole place where two
            would be called the same.
    """

    def __init__(self, settings: Sections | None, token_bytes_V: NDArray[np.int64] | None = None) -> None:
        """``token_bytes_V`` are the bytes of each token of a vocabulary, where a token is not a byte."""
        self._settings, self._token_bytes_V = settings, token_bytes_V
        self._made: dict[tuple[str, int], Any] = {}
        words = settings.measured if settings else ()
        counts = Counter(word.rpartition(":")[2] for word in words)
        shorts = ((word, word.rpartition(":")[2]) for word in words)
        self.names = tuple(short if counts[short] == 1 else word for word, short in shorts)

    def __bool__(self) -> bool:
        return bool(self.names)

    def of(self, outputs: Any, targets: Any, loss_sum: Any) -> Parts:
        """What the metrics make of a batch.

        Args:
            outputs: (N, classes), a tensor, as the task prepared it; metrics are told of as many classes as it has.
            targets: (N, ...), likewise.
            loss_sum: the batch's loss times its answers.

        Raises:
            ComponentFailed: a metric raised, or gave back something else.
        """
        classes = num_classes_of(outputs)
        offered = {"outputs": outputs, "targets": targets, "num_classes": classes, "loss_sum": loss_sum}
        offered["token_bytes_V"] = self._token_bytes_V
        found: dict[str, NDArray[np.float64]] = {}
        for name, bound in self._bounds.items():
            if bound.is_own:  # what it writes into is not what others are measured by
                outputs, targets = outputs.clone(), targets.clone()
                offered |= {"outputs": outputs, "targets": targets}
            if inspect.isclass(bound.function):
                found[name] = _own_parts(bound, self._object(name, classes), outputs, targets)
            else:
                found[name] = _pair(bound, bound(**offered))
        return found

    def values(self, sums: EvaluationSums) -> dict[str, float]:
        """The metrics of the whole test set, from what its parts add up to.

        Raises:
            ComponentFailed: a metric has no finite value there.
        """
        found: dict[str, float] = {}
        for name in self.names:
            found |= self._value(name, sums)
        return found

    def _value(self, name: str, sums: EvaluationSums) -> dict[str, float]:
        if name not in sums.parts:
            return {}
        parts = sums.parts[name]
        if parts.ndim == 1:
            return {name: self._quotient(name, *parts.tolist())}
        return self._of_object(name, sums.num_classes, parts[0])

    def of_clients(
        self, sums: Mapping[int, EvaluationSums], *, where_known: bool = False
    ) -> dict[int, dict[str, float]]:
        """The metrics of some clients' own models.

        Args:
            sums: of each of them.
            where_known: leave out a metric that says nothing of a client's samples; they may be few.

        Raises:
            ComponentFailed: as :meth:`values`, unless ``where_known``.
        """
        return {client: self._where_known(one) if where_known else self.values(one) for client, one in sums.items()}

    def _where_known(self, sums: EvaluationSums) -> dict[str, float]:
        found: dict[str, float] = {}
        for name in self.names:
            with suppress(ComponentFailed):
                found |= self._value(name, sums)
        return found

    @cached_property
    def _bounds(self) -> dict[str, Bound]:
        """Each metric. Not before it is needed: a user's code may import torch, which the coordinator has not."""
        assert self._settings is not None
        bounds = {bound.name: bound for bound in self._settings.all_bound("metric")}
        return dict(zip(self.names, bounds.values(), strict=True))

    def _object(self, name: str, num_classes: int) -> Any:
        """What was made of a class."""
        bound, key = self._bounds[name], (name, num_classes)
        if set(bound.asks) - {"num_classes"}:
            raise bound.failed("asks for more than num_classes: a class takes outputs and targets in parts(...)")
        if key not in self._made:
            self._made[key] = bound(num_classes=num_classes)
        return self._made[key]

    def _quotient(self, name: str, total: float, weight: float) -> float:
        if weight <= 0:
            raise self._bounds[name].failed("its weights add up to 0 over the whole test set")
        return total / weight

    def _of_object(self, name: str, num_classes: int, parts: NDArray[np.float64]) -> dict[str, float]:
        bound, made = self._bounds[name], self._object(name, num_classes)
        with bound.named():
            value = made.value(parts)
        by_suffix = value if isinstance(value, Mapping) else {"": value}
        return {f"{name}/{suffix}" if suffix != "" else name: _number(bound, one) for suffix, one in by_suffix.items()}


def num_classes_of(outputs: Any) -> int:
    """Outputs of a row, (N, classes); 1 where a task leaves no second axis."""
    return int(outputs.shape[1]) if outputs.ndim > 1 else 1


NO_MEASURES = Measures(None)
"""Where nothing else is asked for."""


def _pair(bound: Bound, given: Any) -> NDArray[np.float64]:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise bound.failed(f"returned {type(given).__name__}, expected (sum, weight)")
    pair = np.array([_number(bound, one) for one in given], np.float64)
    if pair[1] < 0:
        raise bound.failed(f"returned the weight {pair[1]:g}, expected 0 or more")
    return pair


def _own_parts(bound: Bound, made: Any, outputs: Any, targets: Any) -> NDArray[np.float64]:
    with bound.named():
        parts = np.asarray(made.parts(outputs, targets), np.float64)
    if not np.isfinite(parts).all():
        raise bound.failed("has parts that are not finite")
    return np.atleast_1d(parts)[np.newaxis]


def _number(bound: Bound, one: Any) -> float:
    """A finite number, or a tensor or an array that holds one."""
    with bound.named():
        number = one.item() if hasattr(one, "item") else one
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        found = repr(number) if isinstance(number, int | float) else type(number).__name__
        raise bound.failed(f"returned {found} where a finite number is expected")
    return float(number)
