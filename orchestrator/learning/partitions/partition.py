"""Who holds which samples. Every kind gives each sample one owner, so that the parts cover the set exactly."""

from __future__ import annotations

import numpy as np
from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.core.seeds import generator
from fedchunk.orchestrator.settings.sections import DataSettings
from numpy.typing import NDArray

MAX_DRAWS = 100
"""Dirichlet draws before giving up on a partition in which everybody has a sample."""

NAMED_CLIENTS = 10
"""Clients without samples that an error names; the others are counted."""


def partition(
    labels_S: NDArray[np.int64], num_classes: int, settings: DataSettings, num_clients: int, seed: int
) -> tuple[NDArray[np.int64], ...]:
    """The samples of each client as sorted indices; every sample belongs to exactly one client.

    ``iid``: equal parts, at random. ``iid-diff-quantity``: at random, sizes by a Dirichlet draw. ``10`` .. ``90``: each
    client holds that percentage of the labels. ``dir``: each client draws its own mix of labels.

    Args:
        labels_S: the label of each training sample, 0 to ``num_classes`` - 1.
        num_classes: how many labels there are.
        settings: ``data_distribution_kind`` and ``dirichlet_beta``.
        num_clients: N, how many parts to make.
        seed: ``random_seed``.

    Raises:
        ConfigError: a client would get no sample, or a label nobody to hold it.
    """
    if len(labels_S) < num_clients:
        raise _fault(
            "number_of_clients",
            f"got {num_clients}, but the training set has {len(labels_S)} samples and each client needs one: "
            f"allowed are 1 to {len(labels_S)}",
        )
    rng = generator(seed, "partition")
    kind = settings.data_distribution_kind
    if kind == "iid":
        owner_S = rng.permutation(np.arange(len(labels_S)) % num_clients)
    elif kind == "iid-diff-quantity":
        owner_S = _unequal_sizes(len(labels_S), num_clients, settings.dirichlet_beta, rng)
    elif kind == "dir":
        owner_S = _dirichlet_labels(labels_S, num_classes, num_clients, settings.dirichlet_beta, rng)
    else:
        owner_S = _share_of_labels(labels_S, num_classes, num_clients, int(kind), rng)
    return _parts(owner_S, num_clients, kind)


def _parts(owner_S: NDArray[np.int64], num_clients: int, kind: str) -> tuple[NDArray[np.int64], ...]:
    """Sorted sample indices by owner; refuses an owner without samples."""
    sizes = np.bincount(owner_S, minlength=num_clients)
    if not sizes.all():
        raise _fault(
            "data_distribution_kind",
            f"{kind!r} leaves {_names(np.flatnonzero(sizes == 0))} of {num_clients} without a sample "
            f"({len(owner_S)} samples in all): use fewer clients, or a kind that is more even",
        )
    by_owner = np.argsort(owner_S, kind="stable")
    return tuple(np.split(by_owner, np.cumsum(sizes)[:-1]))


def _unequal_sizes(num_samples: int, num_clients: int, beta: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Sizes by Dirichlet(beta) over clients, samples at random.

    One sample each is dealt first and the draw divides the rest: at a beta of 0.1 nearly every draw would otherwise
    leave somebody with nothing. Source of the kind: Li, Diao, Chen, He, "Federated Learning on Non-IID Data Silos"
    (ICDE 2022), "quantity skew".
    """
    sizes = 1 + _divide(num_samples - num_clients, rng.dirichlet(np.full(num_clients, beta)))
    return rng.permutation(np.repeat(np.arange(num_clients), sizes))


def _share_of_labels(
    labels_S: NDArray[np.int64], num_classes: int, num_clients: int, percentage: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Each client holds ``percentage`` of the labels (rounded, at least one); a label is divided among its holders.

    Each client takes the labels that have the fewest holders so far, equal ones in random order. So the numbers of
    holders differ by at most one, and any two labels may meet.
    """
    labels_each = max(1, (num_classes * percentage + 50) // 100)
    if labels_each * num_clients < num_classes:
        raise _fault(
            "number_of_clients",
            f"got {num_clients}, each with {labels_each} of {num_classes} labels, so some labels would have no "
            f"holder: allowed are {-(-num_classes // labels_each)} or more, or a higher data_distribution_kind",
        )
    holds_NC = np.zeros((num_clients, num_classes), dtype=bool)
    num_holders = np.zeros(num_classes, dtype=np.int64)
    for client_id in range(num_clients):
        chosen = np.lexsort((rng.random(num_classes), num_holders))[:labels_each]
        holds_NC[client_id, chosen] = True
        num_holders[chosen] += 1
    owner_S = np.empty(len(labels_S), dtype=np.int64)
    for label in range(num_classes):
        members = np.flatnonzero(labels_S == label)
        holders = rng.permutation(np.flatnonzero(holds_NC[:, label]))
        owner_S[rng.permutation(members)] = holders[np.arange(len(members)) % len(holders)]
    return owner_S


def _dirichlet_labels(
    labels_S: NDArray[np.int64], num_classes: int, num_clients: int, beta: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Each client draws a mix of labels from Dirichlet(beta, ..., beta); a label is divided in proportion to demand.

    Source: Hsu, Qi, Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
    Classification" (2019), whose alpha is our beta times the number of labels. They draw samples by each mix; dividing
    each label by the demand for it uses every sample once, and keeps the sizes of the parts close. As is usual, the
    draw is repeated while somebody has no sample, at most MAX_DRAWS times.
    """
    counts_C = np.bincount(labels_S, minlength=num_classes)
    for _ in range(MAX_DRAWS):
        mix_NC = rng.dirichlet(np.full(num_classes, beta), size=num_clients)
        taken_NC = np.stack([_divide(counts_C[c], mix_NC[:, c]) for c in range(num_classes)], axis=1)
        if taken_NC.any(axis=1).all():
            break
    else:
        raise _fault(
            "data_distribution_kind",
            f"'dir' with dirichlet_beta {beta:g} leaves somebody without a sample in each of {MAX_DRAWS} draws, in the "
            f"last {_names(np.flatnonzero(~taken_NC.any(axis=1)))} of {num_clients} ({len(labels_S)} samples in all): "
            "use fewer clients or a higher dirichlet_beta",
        )
    owner_S = np.empty(len(labels_S), dtype=np.int64)
    for label in range(num_classes):
        members = rng.permutation(np.flatnonzero(labels_S == label))
        owner_S[members] = np.repeat(np.arange(num_clients), taken_NC[:, label])
    return owner_S


def _divide(total: int, demand_N: NDArray[np.float64]) -> NDArray[np.int64]:
    """``total`` things in proportion to demand, whole numbers that add up; evenly where nobody demands any."""
    if not demand_N.any():
        demand_N = np.ones_like(demand_N)
    cumulated = np.cumsum(demand_N / demand_N.max())  # by the largest: the sum of tiny demands must not vanish
    cuts = np.rint(total * (cumulated / cumulated[-1]))
    return np.asarray(np.diff(cuts, prepend=0), dtype=np.int64)


def _names(clients: NDArray[np.int64]) -> str:
    named = ", ".join(map(str, clients[:NAMED_CLIENTS]))
    more = f" and {len(clients) - NAMED_CLIENTS} more" if len(clients) > NAMED_CLIENTS else ""
    return f"client{'s' if len(clients) > 1 else ''} {named}{more}"


def _fault(key: str, message: str) -> ConfigError:
    return ConfigError([Fault(where="", key=key, message=message)])
