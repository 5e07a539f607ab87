"""Local training of one client: epochs of batches over the flat model, and the gradient that scores are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from orchestrator.errors import ClientFailed
from orchestrator.learning.flatten import FlatModel, host_copy
from orchestrator.learning.preprocess import seeded
from orchestrator.seeds import generator, torch_seed
from orchestrator.settings import TrainingSettings

LABEL_SMOOTHING = 0.1
"""Of SmoothCrossEntropy. Source: Szegedy et al., "Rethinking the Inception Architecture" (2016), section 7."""


@dataclass(frozen=True)
class TrainingResult:
    """What local training leaves beside the model's new values."""

    train_loss: float
    """Mean loss over all samples seen, in nats; without FedProx's term."""
    gradient_P: NDArray[np.float32]
    """Mean over all batches of the gradient of the batch's mean loss, before clipping and without FedProx's term."""
    num_samples: int
    """Samples of the client."""


def train_local(
    model: FlatModel,
    x_S: Tensor,
    y_S: Tensor,
    settings: TrainingSettings,
    *,
    seed: int,
    round_index: int,
    client_id: int,
) -> TrainingResult:
    """Trains ``model`` in place for ``number_of_epochs``, or ``local_steps`` batches, over one client's samples.

    The order of samples, dropout and all else random come from (seed, round, client). The optimizer starts afresh. The
    gradient that scores are made of is that of the data's loss alone: FedProx's pull towards the start says nothing of
    how much a chunk matters to the data.

    Args:
        model: at the client's weights; afterwards at its trained weights, in train mode.
        x_S: the client's images (S, c, h, w), as ``preprocess.to_device`` makes them, on the model's device.
        y_S: their labels (S,), int64, same device.
        settings: how to train.
        seed: ``random_seed``.
        round_index: the round.
        client_id: the client.

    Raises:
        ClientFailed: the model has BatchNorm and all batches would be of one sample.
        FloatingPointError: the loss or a weight became infinite or nan.
    """
    where = f"in round {round_index} of client {client_id}"
    batches = batch_slices(len(x_S), settings.train_batch_size, drop_single=has_batch_norm(model.module))
    if not batches:
        raise ClientFailed(client_id, round_index, "training", _single_sample_reason(len(x_S)))
    rng = generator(seed, "batches", round_index, client_id)
    step = _Step(model, settings)
    loss_sum, num_seen = 0.0, 0
    num_batches = settings.local_steps or len(batches) * settings.number_of_epochs
    order_S = torch.empty(0)
    model.module.train()
    with seeded(torch_seed(seed, "dropout", round_index, client_id), model.device):
        for number in range(num_batches):
            epoch, place = divmod(number, len(batches))
            if place == 0:
                order_S = torch.from_numpy(rng.permutation(len(x_S))).to(model.device)
            chosen = order_S[batches[place]]
            loss = step.take(x_S[chosen], y_S[chosen])
            if not math.isfinite(loss):
                at = f"in epoch {epoch + 1}, batch {place + 1} of {len(batches)}"
                raise FloatingPointError(f"the loss became {loss} {where}, {at}; {_remedy(settings)}")
            loss_sum += loss * len(chosen)
            num_seen += len(chosen)
    if not torch.isfinite(model.weights).all():
        raise FloatingPointError(f"weights were not finite {where}, after the last batch; {_remedy(settings)}")
    gradient_P = host_copy(step.gradient_sum_P / num_batches)
    return TrainingResult(loss_sum / num_seen, gradient_P, len(x_S))


def batch_slices(num_samples: int, batch_size: int, *, drop_single: bool) -> tuple[slice, ...]:
    """Slices of an epoch's order; the last may be short. ``drop_single`` leaves out batches of one sample.

    BatchNorm cannot train on one sample: it has no variance. As order changes, it is another sample each epoch.
    """
    starts = range(0, num_samples, batch_size)
    slices = [slice(start, min(start + batch_size, num_samples)) for start in starts]
    return tuple(s for s in slices if not (drop_single and s.stop - s.start == 1))


def has_batch_norm(module: nn.Module) -> bool:
    """Whether any part of the module normalises over the batch."""
    return any(isinstance(part, _BatchNorm) for part in module.modules())


def make_optimizer(parameter: nn.Parameter, settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimizer of the settings over the flat vector. All four work value by value, so flat is the same."""
    rate, decay = settings.learning_rate, settings.weight_decay or 0.0
    match settings.optimizer:
        case "sgd":
            return torch.optim.SGD([parameter], lr=rate, momentum=settings.momentum, weight_decay=decay)
        case "adam":
            return torch.optim.Adam([parameter], lr=rate, weight_decay=decay)
        case "adamw":
            return torch.optim.AdamW([parameter], lr=rate, weight_decay=decay)
        case "rmsprop":
            return torch.optim.RMSprop([parameter], lr=rate, momentum=settings.momentum, weight_decay=decay)


class _Step:
    """One training step after another: loss, gradient, FedProx's pull, clipping, optimizer."""

    def __init__(self, model: FlatModel, settings: TrainingSettings) -> None:
        self._model = model
        self._settings = settings
        self._parameter = nn.Parameter(model.weights)  # shares the memory of the flat vector
        self._parameter.grad = model.gradient
        self._optimizer = make_optimizer(self._parameter, settings)
        self._start_P = model.weights.clone() if settings.proximal_mu else None
        self._smoothing = LABEL_SMOOTHING if settings.loss_function == "SmoothCrossEntropy" else 0.0
        self.gradient_sum_P = torch.zeros_like(model.gradient)

    def take(self, x_B: Tensor, y_B: Tensor) -> float:
        """Trains on one batch; its mean loss before the step."""
        model, settings = self._model, self._settings
        model.gradient.zero_()
        loss = functional.cross_entropy(model.module(x_B), y_B, label_smoothing=self._smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        self.gradient_sum_P += model.gradient
        if self._start_P is not None:
            # Source of the term: Li et al., "Federated Optimization in Heterogeneous Networks" (2020), section 3.2.
            model.gradient.add_(model.weights - self._start_P, alpha=settings.proximal_mu)
        if settings.max_grad_norm is not None:
            nn.utils.clip_grad_norm_([self._parameter], settings.max_grad_norm)
        self._optimizer.step()
        return loss.item()


def _single_sample_reason(num_samples: int) -> str:
    if num_samples == 1:
        return "a model with BatchNorm cannot train on one sample: give each client more, or use a model without it"
    return "a model with BatchNorm cannot train on batches of one sample: set train_batch_size to 2 or more"


def _remedy(settings: TrainingSettings) -> str:
    return f"learning_rate is {settings.learning_rate:g}: lower it, or set max_grad_norm"
