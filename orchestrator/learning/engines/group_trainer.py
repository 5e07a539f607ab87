"""Trains the clients of a group: at once where the plan says so, else one after the other. Nobody else need know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedchunk.orchestrator.contract.messages import ModelState
from fedchunk.orchestrator.core.errors import ClientFailed, reason_of
from fedchunk.orchestrator.learning.data.samples import Part
from fedchunk.orchestrator.learning.engines.batches import client_batches
from fedchunk.orchestrator.learning.engines.engine_choice import Plan, one_by_one, plan_training
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.engines.optimizers import is_plain
from fedchunk.orchestrator.learning.engines.rows import Rows, as_array, in_order
from fedchunk.orchestrator.learning.engines.stacked import Group, Outcome, StackTrainer
from fedchunk.orchestrator.learning.engines.stacked_module import NotVectorizable
from fedchunk.orchestrator.learning.engines.training import LocalTrainer, has_batch_norm
from fedchunk.orchestrator.learning.loss import Loss
from fedchunk.orchestrator.registry import KINDS
from fedchunk.orchestrator.settings.joined import Sections


@dataclass(frozen=True)
class TrainedGroup:
    """What became of the clients of a group, by their places in it.

    The arrays may be views of memory that the trainer's next ``train`` uses again: copy or send them before, or have
    the trainer :meth:`~GroupTrainer.release_buffers` of it.
    """

    weights_GP: NDArray[np.float32]
    """Trained weights. Undefined, as in the other arrays, for clients that failed."""
    buffers_GB: NDArray[np.float32]
    counters_GI: NDArray[np.int64]
    gradients: Tensor | None
    """Mean gradients (G, P), as ``TrainingResult`` says, on the device; None where they were not asked for."""
    train_loss_G: NDArray[np.float64]
    """Mean loss over all samples seen, in nats; nan for clients that failed."""
    failures: Mapping[int, str]
    """Why clients failed, by their places; the others are not touched by it."""
    engine: str
    """What trained them: one_by_one, dense or vmap."""
    reason: str
    """How they were trained and why so, in words."""
    descent_G: NDArray[np.float64] | None = None
    """How far along its mean gradient each client went: steps times learning rate; None where steps are not that."""
    homes: ModelState | None = None
    """What stays with each client, as rows, where that was taken out of the other arrays."""

    def home_of(self, place: int) -> ModelState | None:
        """What stays with one client; None where everything is shared."""
        return None if self.homes is None else self.homes.row(place)

    @property
    def gradient_GP(self) -> NDArray[np.float32] | None:
        """The gradients as an array; on the CPU nothing is copied."""
        return None if self.gradients is None else as_array(self.gradients)


class GroupTrainer:
    """Trains one group after another on the same model, in the same memory.

    Attributes:
        plan: how it trains, unless a group makes it fall back, as the group's result then says. It changes where torch
            turns out to be unable to train the model at once.
    """

    def __init__(self, model: FlatModel, settings: Sections, *, with_gradient: bool) -> None:
        """``with_gradient``: whether anybody asks for gradients; training without is faster."""
        training, loss = settings.training, Loss.of(settings)
        self._model = model
        self._training = training
        self._with_gradient = with_gradient
        self.plan = plan_training(model.module, training, loss, model.device.type, in_order=model.is_in_order)
        self._alone = LocalTrainer(model, training, loss)
        self._drop_single = has_batch_norm(model.module)
        self._stacks = StackTrainer(model, training, self.plan.engine, loss.smoothing or 0.0)
        self._rows = Rows(model.spec, model.device, 0, with_gradient=with_gradient)
        own = [one for one in settings.components.own if one.kind in ("model", "loss")]
        self._own = ", ".join(f"{KINDS[one.kind].key} {one.name} ({one.where})" for one in own)

    def train(
        self,
        starts: Sequence[ModelState],
        samples: Part,
        offsets: Sequence[int],
        client_ids: Sequence[int],
        *,
        seed: int,
        round_index: int,
        learning_rate: float | None = None,
        momenta: Sequence[NDArray[np.float32] | None] = (),
    ) -> TrainedGroup:
        """Trains each client as ``train_local`` would, at once equal to it up to float32 rounding.

        Args:
            starts: each client's model (G of them); those that are the same object are copied on the device. No views
                of an earlier answer, whose memory is written to.
            samples: those of all clients, one client behind the other.
            offsets: client g has the samples from ``offsets[g]`` to ``offsets[g + 1]``; G + 1 of them.
            client_ids: the clients.
            seed: ``random_seed``.
            round_index: the round.
            learning_rate: of the round; None: that of the settings.
            momenta: what each client's momentum starts from, (P,), None: zero; empty where all start at zero.

        Returns:
            What became of them. A client that fails takes no other along.
        """
        rate = self._training.learning_rate if learning_rate is None else learning_rate
        group = Group(starts, samples, offsets, client_ids, seed, round_index, rate, momenta)
        if len(starts) > len(self._rows):
            self._rows = Rows(self._model.spec, self._model.device, len(starts), with_gradient=self._with_gradient)
            self._stacks.make_room(len(starts))
        plan = self.plan
        if plan.engine == "vmap" and len(starts) == 1:
            plan = one_by_one("a single client")
        if plan.engine != "one_by_one":
            try:
                return self._trained(group, self._stacks.train(group, self._rows), plan)
            except NotVectorizable as refusal:
                plan = one_by_one(str(refusal))
                self.plan = plan if refusal.always else self.plan
            except torch.OutOfMemoryError:
                plan = one_by_one("the device has too little memory for them at once")
        # Outside of the handlers: an exception holds the tensors of the attempt that raised it.
        return self._trained(group, self._one_by_one(group), plan)

    def release_buffers(self) -> None:
        """What was returned stays as it is: the next group gets memory of its own."""
        self._rows = Rows(self._model.spec, self._model.device, 0, with_gradient=self._with_gradient)

    def _one_by_one(self, group: Group) -> Outcome:
        outcome = Outcome(list(range(len(group.starts))), np.full(len(group.starts), np.nan), {})
        for place in range(len(group.starts)):
            with self._model.placed_in(self._rows.weights_GP[place]):
                try:
                    outcome.train_loss_G[place] = self._train_alone(group, place)
                except ClientFailed as failure:
                    outcome.failures[place] = failure.reason
                except Exception as failure:  # whatever it is, it is this client's alone
                    outcome.failures[place] = reason_of(failure)
            self._model.save_buffers(self._rows.buffers_GB[place], self._rows.counters_GI[place])
        return outcome

    def _train_alone(self, group: Group, place: int) -> float:
        rows, own = self._rows, slice(group.offsets[place], group.offsets[place + 1])
        momentum_GP = group.momentum_GP([place], rows.weights_GP[place : place + 1])
        self._model.load(group.starts[place])
        return self._alone.train(
            group.samples[own],
            None if rows.gradient_GP is None else rows.gradient_GP[place],
            group.learning_rate,
            None if momentum_GP is None else momentum_GP[0],
            seed=group.seed,
            round_index=group.round_index,
            client_id=group.client_ids[place],
        )

    def _said(self, reason: str) -> str:
        """Why a client failed; numbers that are not finite may come from what the user made."""
        return f"{reason}; or look at {self._own}" if self._own and reason.startswith("FloatingPointError") else reason

    def _trained(self, group: Group, outcome: Outcome, plan: Plan) -> TrainedGroup:
        rows, order = self._rows, outcome.rows_G
        return TrainedGroup(
            weights_GP=as_array(in_order(rows.weights_GP, order)),
            buffers_GB=as_array(in_order(rows.buffers_GB, order)),
            counters_GI=as_array(in_order(rows.counters_GI, order)),
            gradients=None if rows.gradient_GP is None else in_order(rows.gradient_GP, order),
            train_loss_G=outcome.train_loss_G,
            failures={place: self._said(reason) for place, reason in outcome.failures.items()},
            engine=plan.engine,
            reason=plan.reason,
            descent_G=self._descent(group),
        )

    def _descent(self, group: Group) -> NDArray[np.float64] | None:
        if not is_plain(self._training):
            return None
        steps = [client_batches(size, self._training, drop_single=self._drop_single).steps for size in group.sizes]
        return np.array(steps) * group.learning_rate
