"""Optimizer steps of many clients at once: each has a row of weights and a row of gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from fedchunk.orchestrator.learning.engines.optimizers import Optimizer
from fedchunk.orchestrator.settings.sections import TrainingSettings

CLIP_EPSILON = 1e-6
"""Added to a norm before dividing by it: as ``torch.nn.utils.clip_grad_norm_`` does."""


class RowSteps:
    """What becomes of the gradients of a stack: summed up, pulled towards the start, clipped, and stepped along.

    Attributes:
        gradient_GP: where the gradients of the next step are written; where ``is_fused``, what they are added to, or of
            no rows where nobody asks for them.
        is_fused: a step is the gradient times the learning rate, taken without writing the gradient down.
        learning_rate: of the round.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        weights_GP: Tensor,
        gradient_GP: Tensor,
        gradient_sum_GP: Tensor | None,
        learning_rate: float,
        momentum_GP: Tensor | None = None,
        *,
        is_fused: bool,
    ) -> None:
        """For rows at their start; sums up gradients in ``gradient_sum_GP``. ``momentum_GP`` is as in Optimizer."""
        self.gradient_GP = gradient_GP if gradient_sum_GP is None or not is_fused else gradient_sum_GP
        self.is_fused = is_fused
        self.learning_rate = learning_rate
        self._settings = settings
        self._weights_nP = weights_GP
        self._gradient_nP = gradient_GP[: len(weights_GP)]
        self._sum_nP = gradient_sum_GP
        self._optimizer = Optimizer(settings, weights_GP, learning_rate, momentum_GP)
        self._start_nP = weights_GP.clone() if settings.proximal_mu else None

    def narrow(self, rows: int) -> None:
        """From now on only the first ``rows`` clients take steps."""
        if rows == len(self._weights_nP):
            return
        self._weights_nP, self._gradient_nP = self._weights_nP[:rows], self._gradient_nP[:rows]
        self._sum_nP = None if self._sum_nP is None else self._sum_nP[:rows]
        self._start_nP = None if self._start_nP is None else self._start_nP[:rows]
        self._optimizer.narrow(rows)

    def take(self) -> None:
        """A step along the gradients that were written."""
        gradient_nP, settings = self._gradient_nP, self._settings
        if self._sum_nP is not None:
            self._sum_nP.add_(gradient_nP)
        if self._start_nP is not None:
            gradient_nP.add_(self._weights_nP - self._start_nP, alpha=settings.proximal_mu)
        if settings.max_grad_norm is not None:
            norms_n = torch.linalg.vector_norm(gradient_nP, dim=1, keepdim=True)
            gradient_nP.mul_((settings.max_grad_norm / (norms_n + CLIP_EPSILON)).clamp_(max=1.0))
        self._optimizer.step(gradient_nP)
