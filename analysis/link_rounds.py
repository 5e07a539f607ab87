"""Goes through the tables of a recorded run, round by round, for what it would have taken over given links."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedchunk.analysis.chunk_rounds import whole_rounds
from fedchunk.analysis.link_times import LinkTimes
from fedchunk.analysis.load import Run
from fedchunk.analysis.reading import stream_finished
from fedchunk.orchestrator.core.errors import RecordsError
from fedchunk.orchestrator.core.link_times import RoundTraffic, peer_round, star_round
from fedchunk.orchestrator.core.links import Links

COORDINATOR = -1
WHOLE = pa.array(["header", "rejected"])
"""The kinds of which each message has exactly one."""


def link_times(run: Run, links: Links) -> LinkTimes:
    """The times of a run's finished rounds over ``links``, by the formulas of :mod:`core.link_times`.

    A client that failed counts with the bytes that it exchanged, and without training: how long others would have
    waited for it, nobody recorded.

    Raises:
        RecordsError: a table cannot be read.
        ConfigError: the links lack a client.
    """
    peers = run.config.get("federated_learning_schema") == "DecentralizedFederatedLearning"
    aggregate = dict(zip(run.rounds["round"].to_pylist(), run.rounds["aggregate_s"].to_pylist(), strict=True))
    of_clients = links.of(int(run.config["number_of_clients"]))
    rounds, times = [], []
    for round_index, clients, ledger in _by_round(run):
        senders, receivers = ledger["sender"].to_numpy(), ledger["receiver"].to_numpy()
        traffic = _traffic(clients, ledger)
        if peers:
            between = (senders != COORDINATOR) & (receivers != COORDINATOR)
            time = peer_round(of_clients, traffic, senders[between], receivers[between])
        else:
            time = star_round(of_clients, traffic, aggregate[round_index])
        rounds.append(round_index)
        times.append(time)
    return LinkTimes(links.name, np.array(rounds, np.int64), tuple(times))


def _traffic(clients: pa.Table, ledger: pa.Table) -> RoundTraffic:
    senders, receivers = ledger["sender"].to_numpy(), ledger["receiver"].to_numpy()
    sizes = ledger["bytes"].to_numpy()
    is_message = pc.is_in(ledger["kind"], WHOLE).to_numpy()
    known = np.concatenate([clients["client"].to_numpy(), senders, receivers]).astype(np.int64)
    own_M = np.unique(known[known != COORDINATOR])
    train_M = np.zeros(len(own_M))
    seconds = pc.fill_null(clients["train_s"], 0.0).to_numpy()
    train_M[np.searchsorted(own_M, clients["client"].to_numpy())] = seconds

    def added(ends: NDArray[np.int32], values: NDArray[np.generic]) -> NDArray[np.int64]:
        own = ends != COORDINATOR
        places = np.searchsorted(own_M, ends[own])
        return np.bincount(places, values[own].astype(np.float64), len(own_M)).astype(np.int64)

    return RoundTraffic(
        clients_M=own_M,
        down_M=added(receivers, sizes),
        up_M=added(senders, sizes),
        messages_M=added(senders, is_message) + added(receivers, is_message),
        train_M=train_M,
    )


def _by_round(run: Run) -> Iterator[tuple[int, pa.Table, pa.Table]]:
    """Each round with its rows of ``clients`` and of ``ledger``, ascending as a run writes them."""
    clients = _rounds_of(stream_finished(run.path, "clients", run.config, run.rounds))
    ledger = _rounds_of(stream_finished(run.path, "ledger", run.config, run.rounds))
    sent = next(ledger, None)
    for round_index in run.rounds["round"].to_pylist():
        own = next(clients, None)
        if own is None or own[0] != round_index:
            raise RecordsError(
                f"{run.path}: table clients has no row of round {round_index}, or not in order; restore it"
            )
        of_round = sent[1] if sent is not None and sent[0] == round_index else _NOTHING
        if of_round is not _NOTHING:
            sent = next(ledger, None)
        yield round_index, own[1], of_round


_NOTHING = pa.table(
    {
        "sender": pa.array([], pa.int32()), "receiver": pa.array([], pa.int32()),
        "kind": pa.array([], pa.string()), "bytes": pa.array([], pa.int64()),
    }
)  # fmt: skip


def _rounds_of(pieces: Iterable[pa.Table]) -> Iterator[tuple[int, pa.Table]]:
    for piece in whole_rounds(pieces):
        rounds = piece["round"].to_numpy()
        borders = np.flatnonzero(np.diff(rounds, prepend=-1, append=-1))
        for start, stop in pairwise(borders.tolist()):
            yield int(rounds[start]), piece.slice(start, stop - start)
