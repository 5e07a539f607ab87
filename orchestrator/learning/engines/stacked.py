"""Trains the clients of a group as stacks: their weights are rows, and one call of torch works for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedchunk.orchestrator.contract.messages import ModelState
from fedchunk.orchestrator.core.seeds import generator
from fedchunk.orchestrator.learning.data.samples import Part
from fedchunk.orchestrator.learning.engines.batches import ClientBatches, Timetable, client_batches, timetable
from fedchunk.orchestrator.learning.engines.dense import DenseStack, dense_layers
from fedchunk.orchestrator.learning.engines.engine_choice import Engine
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.engines.optimizers import is_plain
from fedchunk.orchestrator.learning.engines.row_steps import RowSteps
from fedchunk.orchestrator.learning.engines.rows import Rows, finite_rows
from fedchunk.orchestrator.learning.engines.stacked_module import ModuleStack, NotVectorizable
from fedchunk.orchestrator.learning.engines.training import (
    bad_loss,
    bad_weights,
    has_batch_norm,
    single_sample_reason,
)
from fedchunk.orchestrator.learning.transfer import fill, host_copy, to_device
from fedchunk.orchestrator.settings.sections import TrainingSettings

STACK_VALUES = 1 << 21
"""Values of the weights that a CPU's core trains at once, 8 MiB. Larger groups are trained in parts: smaller ones lose
more by calls than they gain in the cache, far larger ones no longer fit it. Measured by benchmarks/training.py."""


@dataclass(frozen=True)
class Group:
    """The clients that are to be trained, as ``GroupTrainer.train`` says."""

    starts: Sequence[ModelState]
    samples: Part
    offsets: Sequence[int]
    client_ids: Sequence[int]
    seed: int
    round_index: int
    learning_rate: float
    momenta: Sequence[NDArray[np.float32] | None] = ()
    """What each client's momentum starts from, (P,); None: zero. Empty where all start at zero."""

    def momentum_GP(self, places: Sequence[int], rows: Tensor) -> Tensor | None:
        """The momenta of the clients at ``places``, in memory of their own like ``rows``; None where all are zero."""
        if all(momentum_P is None for momentum_P in self.momenta):
            return None
        started = torch.zeros_like(rows)
        for row, place in enumerate(places):
            momentum_P = self.momenta[place]
            if momentum_P is not None:
                fill(started[row], momentum_P)
        return started

    @property
    def sizes(self) -> list[int]:
        """Samples of each client."""
        return [stop - start for start, stop in pairwise(self.offsets)]


@dataclass(frozen=True)
class Outcome:
    """What became of a group's clients, by their places in it."""

    rows_G: list[int]
    """The row of each client."""
    train_loss_G: NDArray[np.float64]
    failures: dict[int, str]


class StackTrainer:
    """Trains groups with an engine that stacks. Keeps its working memory."""

    def __init__(self, model: FlatModel, settings: TrainingSettings, engine: Engine, smoothing: float) -> None:
        """``smoothing``: how much of a label the loss spreads over all classes."""
        self._model = model
        self._settings = settings
        self._drop_single = has_batch_norm(model.module)
        # By the settings alone: whether anybody asks for gradients must not change a bit of the weights.
        self._is_fused = engine == "dense" and is_plain(settings)
        self._needs_gradient = engine != "one_by_one" and not self._is_fused
        self._gradient_GP = torch.empty(0, model.spec.num_parameters, device=model.device)
        layers = dense_layers(model.module) if engine == "dense" else None
        self._dense = DenseStack(layers, smoothing, model.device) if layers else None
        self._module = ModuleStack(model, smoothing)

    def make_room(self, num_clients: int) -> None:
        """To be called before the first group, and when the memory of its rows is another than before."""
        if self._needs_gradient:
            size = min(num_clients, self._most_at_once())
            self._gradient_GP = torch.empty(size, self._model.spec.num_parameters, device=self._model.device)
        if self._dense is not None:
            self._dense.forget()

    def train(self, group: Group, rows: Rows) -> Outcome:
        """Trains the clients in ``rows``, those with the most batches in the first ones.

        Raises:
            NotVectorizable: torch cannot train these clients at once.
        """
        if self._dense is not None and len(group.samples):
            x_1 = group.samples.first
            if not self._dense.takes(x_1):
                raise NotVectorizable(f"its first layer does not take samples of {tuple(x_1.shape[1:])}", always=True)
        batches = [client_batches(size, self._settings, drop_single=self._drop_single) for size in group.sizes]
        outcome = Outcome(
            rows_G=[0] * len(batches),
            train_loss_G=np.full(len(batches), np.nan),
            failures={at: single_sample_reason(own.num_samples) for at, own in enumerate(batches) if not own.steps},
        )
        places = sorted(range(len(batches)), key=lambda place: -batches[place].steps)
        for row, place in enumerate(places):
            outcome.rows_G[place] = row
        rows.start([group.starts[place] for place in places])
        able = len(places) - len(outcome.failures)
        for part in even_parts(able, self._most_at_once()):
            self._train_part(group, rows, part, [(place, batches[place]) for place in places[part]], outcome)
        return outcome

    def _most_at_once(self) -> int:
        if self._model.device.type != "cpu" or self._dense is None:
            return 1 << 30  # a GPU has no cache worth minding
        return max(1, STACK_VALUES // self._model.spec.num_parameters)

    def _train_part(
        self, group: Group, rows: Rows, part: slice, clients: list[tuple[int, ClientBatches]], outcome: Outcome
    ) -> None:
        """Trains some rows and notes how it went."""
        own_batches = [own for _, own in clients]
        ids = [group.client_ids[place] for place, _ in clients]
        rngs = [generator(group.seed, "batches", group.round_index, client_id) for client_id in ids]
        table = timetable(own_batches, [group.offsets[place] for place, _ in clients], rngs)
        weights_GP = rows.weights_GP[part]
        sum_GP = None if rows.gradient_GP is None else rows.gradient_GP[part]
        momentum_GP = group.momentum_GP([place for place, _ in clients], weights_GP)
        steps = RowSteps(
            self._settings, weights_GP, self._gradient_GP, sum_GP, group.learning_rate, momentum_GP,
            is_fused=self._is_fused,
        )  # fmt: skip
        if self._dense is not None:
            losses_E = self._dense.train(weights_GP, table, group.samples, steps)
        elif self._drop_single and not table.is_even:
            raise NotVectorizable("BatchNorm at once needs batches of one size", always=False)
        else:
            losses_E = self._module.train(
                weights_GP, rows.buffers_GB[part], rows.counters_GI[part], table, group.samples, steps
            )
        if sum_GP is not None:
            steps_G = np.array([own.steps for own in own_batches], np.float32)
            sum_GP.div_(to_device(steps_G, sum_GP.device).unsqueeze(1))
        loss_TG, loss_G = _mean_losses(table, host_copy(losses_E))
        finite_G = finite_rows(weights_GP)
        outcome.train_loss_G[[place for place, _ in clients]] = loss_G
        for row in np.flatnonzero(~(finite_G & np.isfinite(loss_TG).all(axis=0))).tolist():
            place, own = clients[row]
            where = f"in round {group.round_index} of client {ids[row]}"
            fault = _fault(loss_TG[: own.steps, row], own.per_epoch, where, group.learning_rate)
            outcome.train_loss_G[place] = np.nan
            outcome.failures[place] = f"FloatingPointError: {fault}"


def _fault(loss_T: NDArray[np.float64], per_epoch: int, where: str, learning_rate: float) -> str:
    """What is wrong with a client's losses or, if nothing is, weights, in the words of training one by one."""
    bad_T = np.flatnonzero(~np.isfinite(loss_T))
    if len(bad_T):
        return bad_loss(float(loss_T[bad_T[0]]), int(bad_T[0]), per_epoch, where, learning_rate)
    return bad_weights(where, learning_rate)


def even_parts(count: int, most: int) -> list[slice]:
    """``count`` in as few parts as ``most`` allows, of sizes that differ by at most one.

    Example:
        >>> even_parts(5, 2)
        [slice(0, 1, None), slice(1, 3, None), slice(3, 5, None)]
    """
    parts = -(-count // most)
    borders = [part * count // parts for part in range(parts + 1)] if parts else []
    return [slice(start, stop) for start, stop in pairwise(borders)]


def _mean_losses(table: Timetable, losses_E: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean loss of each batch (T, G), and over all samples of each client (G,), added in float64."""
    num_steps, clients = len(table.shapes_T), table.shapes_T[0][0]
    counted_E = table.shares_E > 0
    losses = losses_E[counted_E].astype(np.float64)
    rows, steps, shares = table.rows_E[counted_E], table.steps_E[counted_E], table.shares_E[counted_E]
    loss_TG = np.zeros((num_steps, clients))
    np.add.at(loss_TG, (steps, rows), losses * shares)
    return loss_TG, np.bincount(rows, losses, clients) / np.bincount(rows, minlength=clients)
