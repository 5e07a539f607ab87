"""Local training of one client on the flat model, and the gradient that scores are made of."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fedchunk.orchestrator.core.errors import ClientFailed
from fedchunk.orchestrator.core.seeds import generator, torch_seed
from fedchunk.orchestrator.learning.data.samples import Part
from fedchunk.orchestrator.learning.engines.batches import batch_slices
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.engines.optimizers import Optimizer, is_plain
from fedchunk.orchestrator.learning.loss import Loss
from fedchunk.orchestrator.learning.preprocess import seeded
from fedchunk.orchestrator.learning.transfer import host_copy
from fedchunk.orchestrator.settings.joined import Sections
from fedchunk.orchestrator.settings.sections import TrainingSettings

DRAWS_NOTHING = (
    nn.Sequential, nn.Flatten, nn.Linear, nn.ReLU, nn.Conv2d, nn.MaxPool2d, nn.BatchNorm1d, nn.BatchNorm2d,
)  # fmt: skip
"""Layers that use no random numbers: models of these alone are trained without setting up torch's generators."""


@dataclass(frozen=True)
class TrainingResult:
    """What local training leaves beside the model's new values."""

    train_loss: float
    """Mean loss over all samples seen; without FedProx's term."""
    gradient_P: NDArray[np.float32]
    """Mean over all batches of the gradient of the batch's mean loss, before clipping and without FedProx's term."""
    num_samples: int
    """Samples of the client."""


def train_local(
    model: FlatModel,
    x_S: Tensor,
    y_S: Tensor,
    settings: Sections,
    *,
    seed: int,
    round_index: int,
    client_id: int,
    learning_rate: float | None = None,
) -> TrainingResult:
    """Trains ``model`` in place for ``number_of_epochs``, or ``local_steps`` batches, over one client's samples.

    The order of samples, dropout and all else random come from (seed, round, client). The optimizer starts afresh. The
    gradient that scores are made of is that of the data's loss alone: FedProx's pull towards the start says nothing of
    how much a chunk matters to the data.

    Args:
        model: at the client's weights; afterwards at its trained weights, in train mode.
        x_S: the client's samples (S, ...), as ``preprocess.to_device`` makes them, on the model's device.
        y_S: their labels (S,), int64, same device.
        settings: how to train, and on which loss.
        seed: ``random_seed``.
        round_index: the round.
        client_id: the client.
        learning_rate: of the round; None: that of the settings.

    Raises:
        ClientFailed: the model has BatchNorm and all batches would be of one sample.
        ComponentFailed: a user's model or loss raised, or gave back what it must not.
        FloatingPointError: the loss or a weight became infinite or nan.
    """
    gradient_P = torch.empty_like(model.weights)
    rate = settings.training.learning_rate if learning_rate is None else learning_rate
    train_loss = LocalTrainer(model, settings.training, Loss.of(settings)).train(
        Part.whole(x_S, y_S), gradient_P, rate, seed=seed, round_index=round_index, client_id=client_id
    )
    return TrainingResult(train_loss, host_copy(gradient_P), len(x_S))


class LocalTrainer:
    """Trains one client after another on the same model, as :func:`train_local` says."""

    def __init__(self, model: FlatModel, settings: TrainingSettings, loss: Loss) -> None:
        self._model = model
        self._settings = settings
        self._loss = loss
        self._drop_single = has_batch_norm(model.module)
        self._draws = any(type(part) not in DRAWS_NOTHING for part in model.module.modules())

    def train(
        self,
        samples: Part,
        gradient_P: Tensor | None,
        learning_rate: float,
        momentum_P: Tensor | None = None,
        *,
        seed: int,
        round_index: int,
        client_id: int,
    ) -> float:
        """Trains the model in place, from the weights that it has; the mean loss over all samples seen.

        ``gradient_P`` becomes the mean gradient; it costs time, None where nobody asks for it. ``momentum_P`` is what
        the optimizer's momentum starts from, and is written into; None: zero.
        """
        settings = self._settings
        batches = batch_slices(len(samples), settings.train_batch_size, drop_single=self._drop_single)
        if not batches:
            raise ClientFailed(client_id, round_index, "training", single_sample_reason(len(samples)))
        num_batches = settings.local_steps or len(batches) * settings.number_of_epochs
        if gradient_P is not None:
            gradient_P.zero_()
        self._model.module.train()
        with self._randomness(seed, round_index, client_id):
            rng = generator(seed, "batches", round_index, client_id)
            step = _Step(self._model, settings, self._loss, gradient_P, learning_rate, momentum_P)
            losses = self._steps(step, samples, batches, num_batches, rng)
        self._model.check_frozen()
        where = f"in round {round_index} of client {client_id}"
        bad = next((number for number, loss in enumerate(losses) if not math.isfinite(loss)), None)
        if bad is not None:
            raise FloatingPointError(bad_loss(losses[bad], bad, len(batches), where, learning_rate))
        if not all_finite(self._model.weights):
            raise FloatingPointError(bad_weights(where, learning_rate))
        if gradient_P is not None:
            gradient_P /= num_batches
        loss_sum, num_seen = 0.0, 0
        for loss, batch in zip(losses, cycle(batches), strict=False):
            loss_sum += loss * (batch.stop - batch.start)
            num_seen += batch.stop - batch.start
        return loss_sum / num_seen

    def _steps(
        self,
        step: _Step,
        samples: Part,
        batches: tuple[slice, ...],
        num_batches: int,
        rng: np.random.Generator,
    ) -> list[float]:
        """The loss of each batch. On the CPU it ends with the first that is not finite; a GPU is not waited for."""
        on_cpu = self._model.device.type == "cpu"
        order_S = samples.places(np.empty(0, np.int64))
        losses: list[Tensor] = []
        values: list[float] = []
        for number in range(num_batches):
            place = number % len(batches)
            if place == 0:
                order_S = samples.places(rng.permutation(len(samples)))
            loss = step.take(*samples.take(order_S[batches[place]]))
            if not on_cpu:
                losses.append(loss)
                continue
            values.append(loss.item())
            if not math.isfinite(values[-1]):
                break
        return values if on_cpu else torch.stack(losses).tolist()

    def _randomness(self, seed: int, round_index: int, client_id: int) -> AbstractContextManager[None]:
        if not self._draws:
            return nullcontext()
        return seeded(torch_seed(seed, "dropout", round_index, client_id), self._model.device)


class _Step:
    """One training step after another: loss, gradient, FedProx's pull, clipping, optimizer."""

    def __init__(
        self,
        model: FlatModel,
        settings: TrainingSettings,
        loss: Loss,
        gradient_sum_P: Tensor | None,
        learning_rate: float,
        momentum_P: Tensor | None,
    ) -> None:
        self._model = model
        self._settings = settings
        self._loss = loss
        self._learning_rate = learning_rate
        self._weights = model.by_parameter(model.weights)
        self._sums = None if gradient_sum_P is None else model.by_parameter(gradient_sum_P)
        self._optimizer = Optimizer(settings, model.weights, learning_rate, momentum_P)
        self._is_plain = is_plain(settings)
        self._start_P = model.weights.clone() if settings.proximal_mu else None

    def take(self, x_B: Tensor, y_B: Tensor) -> Tensor:
        """Trains on one batch; its mean loss before the step, on the device."""
        with precision(self._settings, self._model.device.type):
            logits_B = self._model.logits(x_B)
        loss = self._loss(logits_B, y_B)
        gradients = self._model.gradients(loss)
        if self._sums is not None:
            torch._foreach_add_(self._sums, gradients)
        if self._is_plain:  # from where the gradient lies, without a vector of it
            torch._foreach_add_(self._weights, gradients, alpha=-self._learning_rate)
        else:
            self._descend(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        return loss.detach()

    def _descend(self, gradient_P: Tensor) -> None:
        if self._start_P is not None:
            # Source of the term: Li et al., "Federated Optimization in Heterogeneous Networks" (2020), section 3.2.
            gradient_P.add_(self._model.weights - self._start_P, alpha=self._settings.proximal_mu)
        if self._settings.max_grad_norm is not None:
            whole = nn.Parameter(self._model.weights)
            whole.grad = gradient_P
            nn.utils.clip_grad_norm_([whole], self._settings.max_grad_norm)
        self._optimizer.step(gradient_P)


def has_batch_norm(module: nn.Module) -> bool:
    """Whether any part of the module normalises over the batch."""
    return any(isinstance(part, _BatchNorm) for part in module.modules())


def precision(settings: TrainingSettings, device_type: str) -> AbstractContextManager[object]:
    """Inside, activations are of the type that ``mixed_precision`` says; weights and their gradients stay float32."""
    if settings.mixed_precision == "none":
        return nullcontext()
    return torch.autocast(device_type, dtype=torch.bfloat16)


def all_finite(values: Tensor) -> bool:
    """Whether no value is infinite or nan. A sum tells in a tenth of the time, but for sums that overflow."""
    return bool(torch.isfinite(values.sum())) or bool(torch.isfinite(values).all())


def bad_loss(loss: float, number: int, per_epoch: int, where: str, learning_rate: float) -> str:
    """What is said of a loss that is not finite, of batch ``number`` counted from 0."""
    epoch, place = divmod(number, per_epoch)
    at = f"in epoch {epoch + 1}, batch {place + 1} of {per_epoch}"
    return f"the loss became {loss} {where}, {at}; {_remedy(learning_rate)}"


def bad_weights(where: str, learning_rate: float) -> str:
    """What is said of weights that are not finite."""
    return f"weights were not finite {where}, after the last batch; {_remedy(learning_rate)}"


def single_sample_reason(num_samples: int) -> str:
    """What is said of a client that leaves BatchNorm no batch to train on."""
    if num_samples == 1:
        return "a model with BatchNorm cannot train on one sample: give each client more, or use a model without it"
    return "a model with BatchNorm cannot train on batches of one sample: set train_batch_size to 2 or more"


def _remedy(learning_rate: float) -> str:
    return f"learning_rate is {learning_rate:g}: lower it, or set max_grad_norm"
