"""The ChunkAnalyzer: which chunks matter, to whom, and how alike the choices are.

The names and argument order are those of FedPilot's research tool. It works on recorded runs, so it needs no live
clients, and on every round or on one.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.analysis.choices import Choices
from fedchunk.analysis.importance import ClientScores
from fedchunk.analysis.likeness import Likeness
from fedchunk.analysis.method import method_of
from fedchunk.analysis.overlap import Agreement, expected_jaccard
from fedchunk.analysis.recorded import RecordedClient, rounds_of_clients
from fedchunk.analysis.results import ChunkDistribution, ChunkImportance, ChunkOverlap, ClientSelection
from fedchunk.analysis.statistics import bottom_indices, effective_chunks, gini, top_indices

ENDS = 5
"""How many of the most and least important chunks are named, as FedPilot's analyser does."""

Chunks = RecordedClient | Iterable[int] | Iterable[bool]
"""A selection: chunk indices, a mask over all chunks, or a client (what it sent)."""


class ChunkAnalyzer:
    """Answers questions about a recorded run; keeps nothing.

    Example:
        >>> print(ChunkAnalyzer().calculate_chunk_overlap([0, 1, 2], [2, 3], num_chunks=10).jaccard_similarity)
        0.25
    """

    def analyze_chunk_distribution(
        self, clients: Sequence[RecordedClient], config: Mapping[str, Any], round_index: int | None = None
    ) -> ChunkDistribution:
        """Which chunks each client sends, how often each chunk is sent, and which are never sent.

        Args:
            clients: ``run.recorded_clients``, or some of them; a client may be absent from any round.
            config: ``run.config``.
            round_index: one round; None: all rounds.

        Raises:
            ValueError: no clients, nothing recorded for the round, or clients and settings of different runs.
        """
        num_chunks = _common_chunks(clients, config)
        ordered = sorted(clients, key=lambda client: client.client)
        rounds = list(rounds_of_clients(ordered, round_index))
        if not rounds:
            raise ValueError(_nothing_recorded("any of the clients", round_index))
        rounds_R = np.array([of_round.round_index for of_round in rounds])
        clients_N = np.array([client.client for client in ordered])
        choices, likeness = Choices(rounds_R, clients_N, num_chunks, ()), Likeness(rounds_R, clients_N, num_chunks)
        for of_round in rounds:
            choices.add(of_round)
            likeness.add(of_round)
        return distribution_of(choices, likeness.pairs, config)

    def calculate_chunk_overlap(
        self,
        client1_chunks: Chunks,
        client2_chunks: Chunks,
        num_chunks: int | None = None,
        round_index: int | None = None,
    ) -> ChunkOverlap:
        """Jaccard similarity of two selections, and what chance alone would give.

        Args:
            client1_chunks: chunk indices (a repeated one counts once), a boolean mask, or a recorded client.
            client2_chunks: likewise; the two may differ in kind and size.
            num_chunks: C, for what chance would give; masks and clients know it.
            round_index: for recorded clients: one round; None: all they ever sent.

        Raises:
            ValueError: indices outside the chunks, or selections of models with different numbers of chunks.
        """
        sets, sizes = zip(
            *(_as_set(chunks, round_index) for chunks in (client1_chunks, client2_chunks)), strict=True
        )  # fmt: skip
        total = _agreed_size({size for size in (*sizes, num_chunks) if size is not None})
        first, second = sets
        if total is not None and max(first | second, default=-1) >= total:
            raise ValueError(f"chunk {max(first | second)} is not one of num_chunks={total}; chunks count from 0")
        shared, union, smaller = len(first & second), len(first | second), min(len(first), len(second))
        return ChunkOverlap(
            intersection_size=shared,
            union_size=union,
            jaccard_similarity=shared / union if union else 1.0,
            overlap_coefficient=shared / smaller if smaller else float(union == 0),
            expected_jaccard=None if total is None else expected_jaccard(len(first), len(second), total),
        )

    def get_chunk_importance_distribution(
        self, client: RecordedClient, config: Mapping[str, Any], round_index: int | None = None
    ) -> ChunkImportance:
        """How one client's importance scores spread over the chunks.

        Args:
            client: one of ``run.recorded_clients``.
            config: ``run.config``.
            round_index: one round; None: the mean over all rounds in which the client's update counted.

        Raises:
            ValueError: the client has nothing recorded for the round, or comes from another run than the settings.
        """
        _common_chunks([client], config)
        if not len(client.rows_of(round_index)):
            raise ValueError(_nothing_recorded(f"client {client.client}", round_index))
        scores = ClientScores([client.client], client.num_chunks)
        for of_round in rounds_of_clients([client], round_index):
            scores.add(of_round)
        return importance_of(scores, client.client, config)


def distribution_of(choices: Choices, agreement: Agreement | None, config: Mapping[str, Any]) -> ChunkDistribution:
    """What was chosen in the rounds that were added up, in the words of the answer."""
    counted = choices.participants_R > 0
    return ChunkDistribution(
        total_chunks=choices.num_chunks,
        sensitivity_percentage=config.get("sensitivity_percentage"),
        rounds=tuple(int(r) for r in choices.rounds_R[counted]),
        clients=tuple(
            _selection(int(client), int(rounds), times_C)
            for client, rounds, times_C in zip(
                choices.clients_N, choices.client_rounds_N, choices.times_sent_NC, strict=True
            )
        ),
        chunk_popularity_C=choices.senders_C,
        chunk_selections_C=choices.sent_C,
        mean_round_coverage=float(choices.coverage_R[counted].mean()),
        agreement=agreement,
    )


def importance_of(scores: ClientScores, client: int, config: Mapping[str, Any]) -> ChunkImportance:
    """A client's scores, which were added up, in the words of the answer."""
    importance_C, times_sent_C, energy = scores.of(client)
    return ChunkImportance(
        client=client,
        score=method_of(config).score or "none",
        rounds=tuple(scores.rounds[client]),
        chunk_importance_C=importance_C,
        times_sent_C=times_sent_C,
        gini=float(gini(importance_C)),
        effective_chunks=effective_chunks(importance_C),
        energy_captured=energy,
        top_chunks=top_indices(importance_C, ENDS),
        bottom_chunks=bottom_indices(importance_C, ENDS),
    )


def _selection(client: int, rounds: int, times_sent_C: NDArray[np.int32]) -> ClientSelection:
    sent = int(times_sent_C.sum())
    return ClientSelection(
        client=client,
        rounds=rounds,
        selected_chunks=tuple(int(c) for c in np.flatnonzero(times_sent_C)),
        num_selections=sent,
        selection_percentage=100 * sent / (rounds * len(times_sent_C)) if rounds else None,
    )


def _common_chunks(clients: Sequence[RecordedClient], config: Mapping[str, Any]) -> int:
    """C, after checking that the clients have the same and that the settings are of their run."""
    if not clients:
        raise ValueError(
            "clients: got none, needs at least one; give run.recorded_clients of a run that recorded chunks"
        )
    num_chunks = _agreed_size({client.num_chunks for client in clients})
    assert num_chunks is not None
    parts = config.get("chunking_parts") if config.get("chunking") else None
    more = config.get("chunk_layout") == "tensors"  # where there are more tensors than that
    if parts is not None and not (int(parts) == num_chunks or (more and int(parts) < num_chunks)):
        raise ValueError(
            f"config: chunking_parts is {parts}, but the clients have {num_chunks} chunks; give run.config of their run"
        )
    return num_chunks


def _agreed_size(sizes: set[int]) -> int | None:
    if len(sizes) > 1:
        raise ValueError(f"selections of different models: {' and '.join(map(str, sorted(sizes)))} chunks")
    return next(iter(sizes), None)


def _nothing_recorded(who: str, round_index: int | None) -> str:
    when = "in any round" if round_index is None else f"in round {round_index}"
    return (
        f"no chunks of {who} are recorded {when}; choose a round in which its update counted, "
        "and run with record_chunks: full"
    )


def _as_set(chunks: Chunks, round_index: int | None) -> tuple[set[int], int | None]:
    """The selected indices, and the number of all chunks where it is known."""
    if isinstance(chunks, RecordedClient):
        return _mask_set(chunks.chunks_sent(round_index)), chunks.num_chunks
    items: list[Any] = list(chunks)
    if items and all(isinstance(item, bool | np.bool_) for item in items):
        return _mask_set(np.array(items)), len(items)
    if any(isinstance(item, bool | np.bool_) for item in items):
        raise ValueError("chunks: got numbers mixed with booleans; give indices, or a mask of booleans alone")
    try:
        indices = {operator.index(item) for item in items}
    except TypeError:
        raise ValueError("chunks: needs whole numbers from 0, a mask of booleans, or a recorded client") from None
    if indices and min(indices) < 0:
        raise ValueError(f"chunks: got chunk {min(indices)}; chunks count from 0")
    return indices, None


def _mask_set(mask_C: NDArray[np.bool_]) -> set[int]:
    return {int(c) for c in np.flatnonzero(mask_C)}
