"""Which samples a client's batches are made of, for one client and for many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.settings.sections import TrainingSettings


def batch_slices(num_samples: int, batch_size: int, *, drop_single: bool) -> tuple[slice, ...]:
    """Slices of an epoch's order; the last may be short. ``drop_single`` leaves out batches of one sample.

    BatchNorm cannot train on one sample: it has no variance. As order changes, it is another sample each epoch.
    """
    starts = range(0, num_samples, batch_size)
    slices = [slice(start, min(start + batch_size, num_samples)) for start in starts]
    return tuple(s for s in slices if not (drop_single and s.stop - s.start == 1))


@dataclass(frozen=True)
class ClientBatches:
    """How one client's samples are cut into batches."""

    num_samples: int
    """Its samples."""
    batch_size: int
    """Samples of a batch; the last of an epoch may have fewer."""
    per_epoch: int
    """Batches of an epoch."""
    steps: int
    """Batches of the round."""


def client_batches(num_samples: int, settings: TrainingSettings, *, drop_single: bool) -> ClientBatches:
    """The batches of a client; 0 steps where BatchNorm leaves none."""
    full, rest = divmod(num_samples, settings.train_batch_size)
    if drop_single:
        full, rest = (0 if settings.train_batch_size == 1 else full), (0 if rest == 1 else rest)
    per_epoch = full + (rest > 0)
    steps = (settings.local_steps or per_epoch * settings.number_of_epochs) if per_epoch else 0
    return ClientBatches(num_samples, min(settings.train_batch_size, num_samples), per_epoch, steps)


@dataclass(frozen=True)
class Timetable:
    """The batches of a stack of clients, step by step, in each step client by client, E entries in all.

    In a step all batches are as wide as the widest: shorter ones are filled up with their own last sample, whose share
    in the loss is 0. Clients with more steps come first, so that those still at work are always the first ones.
    """

    shapes_T: tuple[tuple[int, int], ...]
    """Clients at work in each step, and the width of their batches."""
    samples_E: NDArray[np.int64]
    """Place of each entry's sample among the samples of the group."""
    shares_E: NDArray[np.float32]
    """Share of the entry in its batch's mean loss; 0 where it only fills up."""
    steps_E: NDArray[np.int64]
    """The step of each entry."""
    rows_E: NDArray[np.int64]
    """The client of each entry, as a row of the stack."""

    @property
    def counts_T(self) -> list[int]:
        """Entries of each step."""
        return [clients * width for clients, width in self.shapes_T]

    @property
    def steps(self) -> list[slice]:
        """The entries of each step."""
        stops = np.cumsum(self.counts_T).tolist()
        return [slice(stop - count, stop) for stop, count in zip(stops, self.counts_T, strict=True)]

    @property
    def places_E(self) -> NDArray[np.int64]:
        """Place of each entry in its step."""
        return np.concatenate([np.arange(count) for count in self.counts_T])

    @property
    def is_even(self) -> bool:
        """Whether no batch had to be filled up."""
        return bool((self.shares_E > 0).all())


def timetable(
    clients: Sequence[ClientBatches], firsts: Sequence[int], rngs: Sequence[np.random.Generator]
) -> Timetable:
    """The batches that each client would take alone, drawn from its own generator.

    Args:
        clients: with at least one step each, most steps first.
        firsts: place of each client's first sample.
        rngs: generator of each client's orders.
    """
    num_steps, widest = clients[0].steps, max(client.batch_size for client in clients)
    shape = (num_steps, len(clients), widest)
    samples_TGB, shares_TGB = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
    shares_of: dict[ClientBatches, NDArray[np.float32]] = {}
    for row, (client, first, rng) in enumerate(zip(clients, firsts, rngs, strict=True)):
        if client not in shares_of:
            shares_of[client] = _shares(client)
        order_tB = _order(client, rng)
        samples_TGB[: client.steps, row, : client.batch_size] = order_tB
        samples_TGB[: client.steps, row, client.batch_size :] = order_tB[:, -1:]
        samples_TGB[: client.steps, row] += first
        shares_TGB[: client.steps, row, : client.batch_size] = shares_of[client]
    present_TGB = shares_TGB > 0
    active_T = present_TGB.any(axis=2).sum(axis=1)
    width_T = present_TGB.any(axis=1).sum(axis=1)
    taken_TGB = np.empty(shape, np.bool_)
    taken_TGB[:] = (np.arange(len(clients)) < active_T[:, None])[:, :, None]
    taken_TGB &= (np.arange(widest) < width_T[:, None])[:, None, :]
    steps_E, rows_E, _ = np.nonzero(taken_TGB)
    shapes_T = tuple(zip(active_T.tolist(), width_T.tolist(), strict=True))
    return Timetable(shapes_T, samples_TGB[taken_TGB], shares_TGB[taken_TGB], steps_E, rows_E)


def _order(client: ClientBatches, rng: np.random.Generator) -> NDArray[np.int64]:
    """A client's batches as rows (t, B) of its own samples; short ones are filled up with their last sample."""
    taken, missing = client.per_epoch * client.batch_size, client.per_epoch * client.batch_size - client.num_samples
    orders_eS = [rng.permutation(client.num_samples)[:taken] for _ in range(-(-client.steps // client.per_epoch))]
    if missing > 0:
        orders_eS = [np.append(order_S, np.repeat(order_S[-1], missing)) for order_S in orders_eS]
    order_E = orders_eS[0] if len(orders_eS) == 1 else np.concatenate(orders_eS)
    return order_E.reshape(-1, client.batch_size)[: client.steps]


def _shares(client: ClientBatches) -> NDArray[np.float32]:
    """The share of each entry of those rows in its batch's mean, (t, B)."""
    share_epoch = np.full((client.per_epoch, client.batch_size), 1 / client.batch_size, np.float32)
    missing = client.per_epoch * client.batch_size - client.num_samples
    if missing > 0:
        share_epoch[-1] = 1 / (client.batch_size - missing)
        share_epoch[-1, client.batch_size - missing :] = 0
    return np.resize(share_epoch, (client.steps, client.batch_size))  # again for each epoch
