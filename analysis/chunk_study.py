"""Everything that figures and report say of the ``chunks`` table, found in one pass over it.

Memory grows with clients times chunks, and with the square of the clients up to a limit, never with rounds times
either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fedchunk.analysis.ages import Ages
from fedchunk.analysis.choices import Choices
from fedchunk.analysis.chunk_rounds import ChunkRound
from fedchunk.analysis.importance import ClientScores, Importance
from fedchunk.analysis.layers import layer_marks
from fedchunk.analysis.likeness import Likeness
from fedchunk.orchestrator.core.errors import RecordsError

LAYER_ROWS = 40
"""Layers of the heat map: as many names as can be read beside it."""

CLIENTS_SHOWN = 50
"""Clients in the table of importance: as many as a page can hold."""


class ChunkStudy:
    """What was chosen, how alike, how old and how important chunks were, over all rounds."""

    def __init__(
        self, rounds_R: NDArray[np.integer], clients_N: NDArray[np.integer], parameters_C: Sequence[Sequence[str]]
    ) -> None:
        """
        Args:
            rounds_R: the rounds of the run, ascending.
            clients_N: the clients of which a round counted, ascending.
            parameters_C: names of the parameters that each chunk covers.
        """
        self._parameters_C, num_chunks = parameters_C, len(parameters_C)
        self.choices = Choices(rounds_R, clients_N, num_chunks, layer_marks(parameters_C, LAYER_ROWS))
        self.likeness = Likeness(rounds_R, clients_N, num_chunks)
        self.ages = Ages(rounds_R)
        self.importance = Importance(num_chunks)
        self.scores = ClientScores(clients_N[:CLIENTS_SHOWN].tolist(), num_chunks)
        self._last: ChunkRound | None = None

    def add_all(self, rounds: Iterable[ChunkRound]) -> ChunkStudy:
        """Adds rounds, ascending, and returns itself."""
        for of_round in rounds:
            for part in (self.choices, self.likeness, self.ages, self.importance, self.scores):
                part.add(of_round)
            self._last = of_round
        return self

    @property
    def has_rounds(self) -> bool:
        """Whether anything was added."""
        return self._last is not None

    @property
    def last_round(self) -> ChunkStudy:
        """The study of the last round alone."""
        assert self._last is not None, "nothing was added"
        rounds_R = np.array([self._last.round_index])
        return ChunkStudy(rounds_R, self.choices.clients_N, self._parameters_C).add_all([self._last])


def study_of(
    rounds: Iterable[ChunkRound],
    rounds_R: NDArray[np.integer],
    clients_N: NDArray[np.integer],
    parameters_C: Sequence[Sequence[str]],
    path: object,
) -> ChunkStudy | None:
    """The study of these rounds; None where there are none.

    Args:
        rounds: to be added, ascending.
        rounds_R: as of :class:`ChunkStudy`, and so the next two.
        clients_N: likewise.
        parameters_C: likewise.
        path: of the run, for messages.

    Raises:
        RecordsError: a client of ``rounds`` is none of ``clients_N``.
    """
    study = ChunkStudy(rounds_R, clients_N, parameters_C)
    study.add_all(_of_known(rounds, clients_N, path))
    return study if study.has_rounds else None


def _of_known(rounds: Iterable[ChunkRound], clients_N: NDArray[np.integer], path: object) -> Iterator[ChunkRound]:
    for of_round in rounds:
        strangers = np.setdiff1d(of_round.clients_N, clients_N)
        if len(strangers):
            raise RecordsError(
                f"{path}: table chunks: client {strangers[0]} in round {of_round.round_index} has no update that "
                "counted in table clients; one of them is damaged, or not of this run"
            )
        yield of_round
