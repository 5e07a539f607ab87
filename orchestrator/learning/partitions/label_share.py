"""Each client holds that percentage of the labels (10 to 90); lower is more uneven."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.learning.partitions._owners import Parts, fault, parts_of

BY_LABEL = True


def label_share(
    targets_S: NDArray[np.int64],
    num_classes: int,
    number_of_clients: int,
    data_distribution_kind: str,
    rng: np.random.Generator,
) -> Parts:
    """Each client holds a share of the labels (rounded, at least one label); a label is divided among its holders.

    Each client takes the labels that have the fewest holders so far, equal ones in random order. So the numbers of
    holders differ by at most one, and any two labels may meet.

    Args:
        targets_S: the labels of all samples.
        num_classes: how many labels there are.
        number_of_clients: N, how many parts to make.
        data_distribution_kind: the share as a percentage: "10" to "90".
        rng: where to draw from.
    """
    percentage = int(data_distribution_kind)
    labels_each = max(1, (num_classes * percentage + 50) // 100)
    if labels_each * number_of_clients < num_classes:
        raise fault(
            "number_of_clients",
            f"got {number_of_clients}, each with {labels_each} of {num_classes} labels, so some labels would have no "
            f"holder: allowed are {-(-num_classes // labels_each)} or more, or a higher data_distribution_kind",
        )
    holds_NC = np.zeros((number_of_clients, num_classes), dtype=bool)
    num_holders = np.zeros(num_classes, dtype=np.int64)
    for client_id in range(number_of_clients):
        chosen = np.lexsort((rng.random(num_classes), num_holders))[:labels_each]
        holds_NC[client_id, chosen] = True
        num_holders[chosen] += 1
    owner_S = np.empty(len(targets_S), dtype=np.int64)
    for label in range(num_classes):
        members = np.flatnonzero(targets_S == label)
        holders = rng.permutation(np.flatnonzero(holds_NC[:, label]))
        owner_S[rng.permutation(members)] = holders[np.arange(len(members)) % len(holders)]
    return parts_of(owner_S, number_of_clients)
