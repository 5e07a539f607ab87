"""Many clients of any module at once, by torch's function transforms.

Every operation of the module is carried out for all clients together, where torch knows how. Buffers are stacked as
the weights are, so BatchNorm keeps statistics for each client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value, vmap
from torch.nn import functional

from fedchunk.orchestrator.learning.data.samples import Part
from fedchunk.orchestrator.learning.engines.batches import Timetable
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.engines.row_steps import RowSteps
from fedchunk.orchestrator.learning.transfer import to_device


class NotVectorizable(Exception):
    """Clients cannot be trained at once; the message says why."""

    def __init__(self, why: str, *, always: bool) -> None:
        super().__init__(why)
        self.always = always
        """Whether other clients of the same model fare no better."""


class ModuleStack:
    """Trains stacked clients of a module."""

    def __init__(self, model: FlatModel, smoothing: float) -> None:
        """``smoothing``: how much of a label the loss spreads over all classes."""
        self._model = model
        self._gradients: Callable[..., Any] = vmap(grad_and_value(_make_loss(model, smoothing), has_aux=True))

    def train(
        self,
        weights_GP: Tensor,
        buffers_GB: Tensor,
        counters_GI: Tensor,
        timetable: Timetable,
        group: Part,
        steps: RowSteps,
    ) -> Tensor:
        """Takes all steps of the timetable.

        Args:
            weights_GP: the rows that ``steps`` works on, contiguous.
            buffers_GB: the clients' float buffers, changed in place.
            counters_GI: their integer buffers, likewise.
            timetable: the batches.
            group: its samples.
            steps: makes a step of a gradient.

        Returns:
            The loss of each entry of the timetable, (E,) float32 on the device.

        Raises:
            NotVectorizable: torch cannot; what the rows hold then has no meaning.
        """
        device, counts = self._model.device, timetable.counts_T
        places_E = group.places(timetable.samples_E)
        shares_E = to_device(timetable.shares_E, device)
        losses_E = torch.empty(len(shares_E), device=device)
        self._model.module.train()
        # torch writes into running statistics that are whole tensors; of a view's part it would change a copy.
        state = {name: view.clone() for name, view in self._state(buffers_GB, counters_GI).items()}
        for step, shape, shares, losses in zip(
            timetable.steps,
            timetable.shapes_T,
            torch.split(shares_E, counts),
            torch.split(losses_E, counts),
            strict=True,
        ):
            rows = shape[0]
            steps.narrow(rows)
            x_E, y_E = group.take(places_E[step])
            x_GB, y_GB = x_E.view(*shape, *x_E.shape[1:]), y_E.view(shape)
            parameters = self._parameters(weights_GP[:rows])
            at_work = {name: tensor[:rows] for name, tensor in state.items()}
            try:
                gradients, (_, loss_GB) = self._gradients(parameters, at_work, x_GB, y_GB, shares.view(shape))
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # whatever a model's own code says of stacked clients
                first = (str(error).strip() or type(error).__name__).splitlines()[0]
                why = f"torch cannot do this model at once: {first}"
                raise NotVectorizable(why, always=True) from error
            for name, target in self._parameters(steps.gradient_GP[:rows]).items():
                target.copy_(gradients[name])
            losses.copy_(loss_GB.reshape(-1))
            steps.take()
        for name, view in self._state(buffers_GB, counters_GI).items():
            view.copy_(state[name])
        return losses_E

    def _parameters(self, rows_GP: Tensor) -> dict[str, Tensor]:
        """The parameters (G, ...) as views of rows."""
        return {
            place.name: rows_GP[:, place.start : place.stop].view(len(rows_GP), *place.shape)
            for place in self._model.spec.parameters
        }

    def _state(self, buffers_GB: Tensor, counters_GI: Tensor) -> dict[str, Tensor]:
        """What the module is given beside them, likewise."""
        return {
            place.name: (counters_GI if place.is_integer else buffers_GB)[:, place.start : place.stop].view(
                len(buffers_GB), *place.shape
            )
            for place in self._model.spec.buffers
        }


def _make_loss(model: FlatModel, smoothing: float) -> Callable[..., tuple[Tensor, Tensor]]:
    """The loss of one client's batch, and that of each sample, as a function of its parameters."""
    module = model.module

    def loss(
        parameters: Mapping[str, Tensor], state: Mapping[str, Tensor], x_B: Tensor, y_B: Tensor, share_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        logits_B = functional_call(module, {**parameters, **state}, (x_B,))
        loss_B = functional.cross_entropy(logits_B, y_B, reduction="none", label_smoothing=smoothing)
        return (loss_B * share_B).sum(), loss_B.detach()

    return loss
