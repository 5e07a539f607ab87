"""The four optimizers over a flat vector, or over the rows of clients that are trained at once.

The arithmetic is torch's own, called by its functional interface: the optimizer classes import torch's compiler when
the first one is made, which costs an actor seconds before its first step.
"""

from __future__ import annotations

from typing import Any, assert_never

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

from fedchunk.orchestrator.settings.sections import TrainingSettings

ADAM: dict[str, Any] = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "amsgrad": False, "maximize": False}
RMSPROP: dict[str, Any] = {"alpha": 0.99, "eps": 1e-8, "centered": False}
SGD: dict[str, Any] = {"dampening": 0.0, "nesterov": False, "maximize": False}
"""Constants: the defaults of torch's classes."""


class Optimizer:
    """The optimizer of the settings. All four work value by value, so a flat vector is as good as layers.

    It starts afresh when it is made, but for the momentum of sgd where that is given.
    """

    def __init__(
        self, settings: TrainingSettings, weights: Tensor, learning_rate: float, momentum: Tensor | None = None
    ) -> None:
        """For ``weights`` of shape (P,) or (G, P), which are changed in place at the round's learning rate.

        ``momentum``: what that of sgd starts from, of the same shape; it is written into. None: zero.
        """
        self._weights = weights
        self._name = settings.optimizer
        self._options: dict[str, Any] = {
            "lr": learning_rate,
            "weight_decay": settings.weight_decay or 0.0,
            "foreach": False,  # for lists of many tensors; there is one
        }
        self._momentum = settings.momentum
        self._first = momentum
        self._second: Tensor | None = None
        self._steps = torch.zeros(())

    def step(self, gradient: Tensor) -> None:
        """Changes the weights by their gradient, of the same shape."""
        match self._name:
            case "sgd":
                self._sgd(gradient)
            case "adam" | "adamw":
                self._adam(gradient)
            case "rmsprop":
                self._rmsprop(gradient)
            case _:
                assert_never(self._name)

    def narrow(self, rows: int) -> None:
        """From now on only the first ``rows`` rows take steps; the others stay as they are."""
        self._weights = self._weights[:rows]
        self._first = None if self._first is None else self._first[:rows]
        self._second = None if self._second is None else self._second[:rows]

    def _sgd(self, gradient: Tensor) -> None:
        momenta = [self._first]
        sgd([self._weights], [gradient], momenta, momentum=self._momentum, **self._options, **SGD)
        self._first = momenta[0]

    def _adam(self, gradient: Tensor) -> None:
        first, second = self._moments()
        adam(
            [self._weights], [gradient], [first], [second], [], [self._steps],
            decoupled_weight_decay=self._name == "adamw", **self._options, **ADAM,
        )  # fmt: skip

    def _rmsprop(self, gradient: Tensor) -> None:
        first, second = self._moments()
        rmsprop(
            [self._weights], [gradient], [second], [], [first], [self._steps],
            momentum=self._momentum, **self._options, **RMSPROP,
        )  # fmt: skip

    def _moments(self) -> tuple[Tensor, Tensor]:
        if self._first is None or self._second is None:
            self._first, self._second = torch.zeros_like(self._weights), torch.zeros_like(self._weights)
        return self._first, self._second


def is_plain(settings: TrainingSettings) -> bool:
    """Whether a step is nothing but the gradient times the learning rate."""
    return (
        settings.optimizer == "sgd"
        and not settings.momentum
        and not settings.weight_decay
        and not settings.proximal_mu
        and settings.max_grad_norm is None
    )
