"""Each client holds what one of the data's own clients has: a writer, a user, an author."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.learning.partitions._owners import Parts, fault, parts_of
from fedchunk.orchestrator.settings.option_types import WhenFewer

ONLY_COUNTS = True
"""Of the labels it asks for nothing, not even how many there are."""


def natural(
    clients_S: NDArray[Any] | None,
    number_of_clients: int,
    rng: np.random.Generator,
    fewer: WhenFewer = "refuse",
) -> Parts:
    """The data's own clients, numbered in the order of their names: numbers by size, text by letters.

    Args:
        clients_S: whom each sample comes from.
        number_of_clients: N; how many own clients there are, or fewer.
        rng: where to draw from, where ``fewer`` asks for it.
        fewer: what becomes of M own clients where N is less. refuse: nothing, it is a fault. largest: the N with the
            most samples stay (of equal ones those that come first), in their order; the others' samples are held by
            nobody. random: N drawn ones stay. merged: all are dealt out in a drawn order, so that each client has M / N
            of them, one more or less.
    """
    if clients_S is None:
        raise fault(
            "data_distribution_kind",
            "got natural, but the data set does not say whose its samples are; name a client_column (table), give an "
            "array clients (arrays), use leaf, or choose another kind",
        )
    owner_S, sizes = _owners(clients_S)
    own = len(sizes)
    if number_of_clients > own or (number_of_clients < own and fewer == "refuse"):
        ways = "" if number_of_clients > own else ", or partition_options: {fewer: largest}, random or merged"
        raise fault(
            "number_of_clients",
            f"got {number_of_clients}, but the data have {own} own clients; set number_of_clients: {own}{ways}",
        )
    if number_of_clients == own:
        return parts_of(owner_S, own)
    if fewer == "merged":
        dealt = np.empty(own, np.int64)
        dealt[rng.permutation(own)] = np.arange(own) % number_of_clients
        return parts_of(dealt[owner_S], number_of_clients)
    order = np.argsort(-sizes, kind="stable") if fewer == "largest" else rng.permutation(own)
    stay = np.sort(order[:number_of_clients])
    return [np.flatnonzero(owner_S == client) for client in stay]


def _owners(clients_S: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The number of each sample's own client, and how many samples each has."""
    if clients_S.dtype.kind in "fO" and (missing := clients_S != clients_S).any():  # nan is not even itself
        raise fault("data_distribution_kind", f"got natural, but sample {int(missing.argmax())} has no client: nan")
    try:
        _, owner_S, sizes = np.unique(clients_S, return_inverse=True, return_counts=True)
    except TypeError:
        kinds = ", ".join(sorted({type(client).__name__ for client in clients_S.tolist()}))
        message = f"got natural, but the data's clients are of several types ({kinds}), which have no order"
        raise fault("data_distribution_kind", message) from None
    return owner_S, sizes
