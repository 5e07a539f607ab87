"""The loss of the settings, as training and evaluation use it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from fedchunk.orchestrator import registry
from fedchunk.orchestrator.components import Bound
from fedchunk.orchestrator.learning.task import TaskInForce
from fedchunk.orchestrator.registry import KINDS
from fedchunk.orchestrator.settings.joined import Sections


@dataclass(frozen=True)
class Loss:
    """The loss of the settings."""

    bound: Bound
    smoothing: float | None
    """Of a cross entropy, how much of a label is spread over all classes; None for any other loss. The engines that
    train many clients at once know cross entropy alone."""
    task: TaskInForce
    """What outputs and targets are."""

    @classmethod
    def of(cls, settings: Sections) -> Loss:
        """The loss that the settings name. A built-in is a cross entropy if its file has ``label_smoothing``."""
        bound, smoothing = settings.bound("loss"), None
        if not bound.is_own:
            known = registry.load_beside(KINDS["loss"], bound.name, "label_smoothing")
            smoothing = known(**settings.training.loss_options) if known else None
        return cls(bound, smoothing, TaskInForce.of(settings))

    def __call__(self, outputs_B: Tensor, targets_B: Tensor) -> Tensor:
        """The mean loss of a training batch, a scalar with a gradient.

        Raises:
            ComponentFailed: a user's loss raised, or gave back something else.
        """
        loss = self._mean(*self.task.prepared(outputs_B.float(), targets_B))
        if self.smoothing is None and not loss.requires_grad:
            raise self.bound.failed("returned a tensor without a gradient: compute it from the outputs, in torch")
        return loss

    def sum(self, outputs_N: Tensor, targets_N: Tensor) -> Tensor:
        """The loss of a test batch times its answers, so that batches add up; float64, without a gradient.

        For a cross entropy it is that without smoothing, in nats; all that is built in is added in float64.

        Args:
            outputs_N: as the task prepared them, (N, ...), a row for each answer.
            targets_N: likewise.
        """
        if self.smoothing is not None:
            return functional.cross_entropy(outputs_N.double(), targets_N, reduction="sum")
        if not self.bound.is_own:
            return self._mean(outputs_N.double(), targets_N.double()).detach() * len(targets_N)
        return self._mean(outputs_N.float(), targets_N).detach().double() * len(targets_N)

    def _mean(self, outputs_N: Tensor, targets_N: Tensor) -> Tensor:
        loss = self.bound(outputs=outputs_N, targets=targets_N)
        if self.smoothing is not None:
            mean: Tensor = loss
            return mean
        if not isinstance(loss, Tensor) or loss.ndim or not loss.is_floating_point():
            found = f"{loss.dtype} of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise self.bound.failed(f"returned {found}, expected a scalar tensor: the mean over the batch")
        return loss
