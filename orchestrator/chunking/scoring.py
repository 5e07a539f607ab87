"""How much a chunk matters: one number per chunk. Larger goes first.

A score is a rule (a norm, a draw, a turn), perhaps divided by what the chunk costs (:func:`per_value`) and raised by
how long it has waited (:func:`with_age`). ``ages_C`` are rounds waited: 0 for a chunk that went in the round before.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.square_sums import squared_norms


def norms(vector_P: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """L2 norm of each chunk of ``vector_P``.

    Of a gradient this is the importance of FedPilot's page on chunking: ``importance(c) = ||gradient[c]||_2``. Of
    this round's change it is the score ``update``; of all that was not sent yet, this round's change included, it is
    ``accumulated`` (the error feedback memory of Stich et al. 2018, "Sparsified SGD with Memory").

    Example:
        >>> norms(np.array([3, 4, 0, 2], np.float32), Layout(4, 2)).tolist()
        [5.0, 2.0]
    """
    return np.sqrt(squared_norms(vector_P, layout)).astype(np.float32)


def length(vector_P: NDArray[np.float32]) -> float:
    """L2 norm of a whole vector, as exact as :func:`squared_norms`.

    Example:
        >>> length(np.array([3, 4], np.float32))
        5.0
    """
    return float(np.sqrt(squared_norms(vector_P, Layout(len(vector_P), 1))[0]))


def relative(update_P: NDArray[np.float32], weights_P: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """``|u_c| / |x_c|``: change over weight, which makes layers of different scale comparable.

    FedLUAR ranks layers by this ratio (Kim et al. 2025, arXiv 2503.11146). 0 / 0 is 0: nothing happened. A change of
    weights that were all 0 goes first: it gets twice the largest ratio of the others (1 without others), which keeps
    the scores finite and their spread readable.

    Args:
        update_P: this round's change.
        weights_P: the weights before it.
        layout: the cut.

    Example:
        >>> update, weights = np.array([3, 4, 0, 0, 1, 0], np.float32), np.array([6, 8, 1, 1, 0, 0], np.float32)
        >>> relative(update, weights, Layout(6, 3)).tolist()
        [0.5, 0.0, 1.0]
    """
    changes_C = np.sqrt(squared_norms(update_P, layout))
    lengths_C = np.sqrt(squared_norms(weights_P, layout))
    ratios_C = np.divide(changes_C, lengths_C, out=np.zeros(layout.num_chunks), where=lengths_C > 0)
    ratios_C[(lengths_C == 0) & (changes_C > 0)] = 2 * ratios_C.max() or 1.0
    return _in_range(ratios_C)


def at_random(num_chunks: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Scores without meaning, uniform in [0, 1): the choice that every rule has to beat."""
    return rng.random(num_chunks, dtype=np.float32)


def round_robin(ages_C: NDArray[np.int32], first: int) -> NDArray[np.float32]:
    """Chunks in turn: the longest unsent first, and among equals those from ``first`` on, then round to the start.

    The score is the chunk's place counted from the back: C for the first to go, 1 for the last. As the turn follows the
    ages, K may change from round to round: in any rounds in which C chunks are sent, each goes; with a constant K that
    is ceil(C / K) rounds. Clients that begin at different chunks cover the model together. Streaming DiLoCo (Douillard
    et al. 2025) sends its fragments in turn like this.

    Args:
        ages_C: rounds that each chunk has waited.
        first: the chunk that this client begins with, 0 <= first < C.

    Example:
        >>> round_robin(np.array([0, 2, 2, 1], np.int32), 2).tolist()
        [1.0, 3.0, 4.0, 2.0]
    """
    num_chunks = len(ages_C)
    turn_C = (np.arange(num_chunks) - first) % num_chunks
    scores_C = np.empty(num_chunks, np.float32)
    scores_C[np.lexsort((turn_C, -ages_C.astype(np.int64)))] = np.arange(num_chunks, 0, -1)
    return scores_C


def per_value(scores_C: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """Scores per byte: ``score * sqrt(mean size / size)``, that is energy (squared score) per value.

    Taking the best energy per byte first is the greedy solution of the knapsack, best up to one chunk; a bare norm
    would favour large chunks. Scores of chunks of equal size stay as they are, bit for bit.

    Example:
        >>> per_value(np.array([2, 2], np.float32), Layout(5, 2, (0, 1, 5))).round(3).tolist()
        [3.1619999408721924, 1.5809999704360962]
    """
    return _in_range(scores_C * layout.shortness_C)


def with_age(scores_C: NDArray[np.float32], ages_C: NDArray[np.int32], exponent: float) -> NDArray[np.float32]:
    """``score * (age + 1) ** exponent``: a chunk that waits becomes more important.

    Age beside magnitude keeps chunks from being forgotten (AgeTop-k, Du et al. 2025, arXiv 2504.01357). Exponent 0
    leaves scores as they are; what would pass the range of float32 stays at its end.

    Example:
        >>> with_age(np.array([3, 2, 0], np.float32), np.array([0, 1, 9]), 2).tolist()
        [3.0, 8.0, 0.0]
    """
    if exponent == 0:
        return scores_C
    return _in_range(scores_C * (ages_C + 1.0) ** exponent)


def _in_range(scores_C: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.minimum(scores_C, np.finfo(np.float32).max).astype(np.float32)
