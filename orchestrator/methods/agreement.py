"""How the coordinator picks one set of chunks for all clients: from the scores they send, or from what it predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import agreement
from fedchunk.orchestrator.chunking.score_message import score_message_bytes
from fedchunk.orchestrator.methods.chooser import Choice, Chooser
from fedchunk.orchestrator.methods.scorer import Ages
from fedchunk.orchestrator.settings.sections import ChunkingSettings


def asks_for_scores(settings: ChunkingSettings, round_index: int) -> bool:
    """Whether clients send scores in this round before they are told what to send."""
    sends = settings.agrees and settings.agreement_scores != "none"
    return sends and (round_index - 1) % settings.agreement_interval == 0


def score_bytes(settings: ChunkingSettings, num_chunks: int) -> int:
    """A client's scores as a message, to agree; 0 where none are sent."""
    if not settings.agrees or settings.agreement_scores == "none":
        return 0
    return score_message_bytes(num_chunks, settings.agreement_scores)


class Agreement:
    """The coordinator's memory of how fast each chunk changes, and the choices made from it."""

    def __init__(self, settings: ChunkingSettings, chooser: Chooser, num_chunks: int) -> None:
        self._settings = settings
        self._chooser = chooser
        self._rates_C = agreement.unseen(num_chunks)
        self._last_sent_C = np.zeros(num_chunks, np.int32)

    def asks(self, round_index: int) -> bool:
        """Whether clients send scores in this round."""
        return asks_for_scores(self._settings, round_index)

    def predict(self, round_index: int, affordable: int | None) -> Choice:
        """The choice of a round without scores: chunks that should have gathered most since they were sent."""
        ages = self._ages(round_index)
        return self._chooser.choose(agreement.predicted(self._rates_C, ages.ages_C), ages, affordable)

    def agree(
        self,
        round_index: int,
        scores_NC: Sequence[NDArray[np.float32]],
        weights_N: Sequence[float],
        affordable: int | None,
    ) -> Choice:
        """The choice from the clients' scores: chunks of the largest weighted mean square."""
        agreed_C = agreement.agreed_scores(np.stack(scores_NC), np.asarray(weights_N))
        return self._chooser.choose(agreed_C, self._ages(round_index), affordable)

    def observe(self, round_index: int, sent_C: NDArray[np.bool_], norms_C: NDArray[np.float32]) -> None:
        """Learns from a round's update: ``norms_C`` of the chunks in ``sent_C``."""
        ages_C = self._ages(round_index).ages_C
        self._rates_C = agreement.observe(self._rates_C, sent_C, norms_C, ages_C)
        self._last_sent_C = np.where(sent_C, np.int32(round_index), self._last_sent_C)

    def saved(self) -> dict[str, Any]:
        """What it remembers."""
        return {"rates_C": self._rates_C, "last_sent_C": self._last_sent_C}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """What :meth:`saved` gave."""
        self._rates_C, self._last_sent_C = saved["rates_C"], saved["last_sent_C"]

    def _ages(self, round_index: int) -> Ages:
        return Ages(round_index, np.int32(round_index - 1) - self._last_sent_C)
