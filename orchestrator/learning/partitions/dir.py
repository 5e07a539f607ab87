"""Each client draws its own mix of labels from a Dirichlet distribution: dirichlet_beta says how uneven."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.learning.partitions._owners import Parts, divide, fault, names, parts_of

BY_LABEL = True

MAX_DRAWS = 100
"""Dirichlet draws before giving up on a partition in which everybody has a sample."""


def dir(
    targets_S: NDArray[np.int64],
    num_classes: int,
    number_of_clients: int,
    dirichlet_beta: float,
    rng: np.random.Generator,
) -> Parts:
    """A label is divided in proportion to the clients' demand for it.

    Source: Hsu, Qi, Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
    Classification" (2019), whose alpha is our beta times the number of labels. They draw samples by each mix; dividing
    each label by the demand for it uses every sample once, and keeps the sizes of the parts close. As is usual, the
    draw is repeated while somebody has no sample, at most MAX_DRAWS times.

    Args:
        targets_S: the labels of all samples.
        num_classes: how many labels there are.
        number_of_clients: N, how many parts to make.
        dirichlet_beta: concentration; lower is more uneven.
        rng: where to draw from.
    """
    counts_C = np.bincount(targets_S, minlength=num_classes)
    for _ in range(MAX_DRAWS):
        mix_NC = rng.dirichlet(np.full(num_classes, dirichlet_beta), size=number_of_clients)
        taken_NC = np.stack([divide(counts_C[c], mix_NC[:, c]) for c in range(num_classes)], axis=1)
        if taken_NC.any(axis=1).all():
            break
    else:
        raise fault(
            "data_distribution_kind",
            f"'dir' with dirichlet_beta {dirichlet_beta:g} leaves somebody without a sample in each of {MAX_DRAWS} "
            f"draws, in the last {names(np.flatnonzero(~taken_NC.any(axis=1)))} of {number_of_clients} "
            f"({len(targets_S)} samples in all): "
            "use fewer clients or a higher dirichlet_beta",
        )
    owner_S = np.empty(len(targets_S), dtype=np.int64)
    for label in range(num_classes):
        members = rng.permutation(np.flatnonzero(targets_S == label))
        owner_S[members] = np.repeat(np.arange(number_of_clients), taken_NC[:, label])
    return parts_of(owner_S, number_of_clients)
