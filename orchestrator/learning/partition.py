"""Who holds which samples: what the settings' partition says, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.components import Bound
from fedchunk.orchestrator.core.errors import FedchunkError
from fedchunk.orchestrator.core.seeds import generator
from fedchunk.orchestrator.learning.data.places import data_folder
from fedchunk.orchestrator.learning.partitions._owners import fault, names
from fedchunk.orchestrator.settings.joined import Sections


def partition(
    targets_S: NDArray[Any], clients_S: NDArray[Any] | None, num_classes: int, settings: Sections
) -> tuple[NDArray[np.int64], ...]:
    """The samples of each client as sorted indices; no sample belongs to two.

    Args:
        targets_S: the target of each training sample; of one label a sample 0 to ``num_classes`` - 1.
        clients_S: whom each sample comes from, where the data say so.
        num_classes: how many labels there are.
        settings: the partition, its options, how many clients, ``random_seed``.

    Raises:
        ConfigError: a client would get no sample, or a label nobody to hold it.
        ComponentFailed: a user's partition raised, or gave back something else than a part for each client.
    """
    num_clients = settings.federation.number_of_clients
    if len(targets_S) < num_clients:
        raise fault(
            "number_of_clients",
            f"got {num_clients}, but the training set has {len(targets_S)} samples and each client needs one: "
            f"allowed are 1 to {len(targets_S)}",
        )
    bound = settings.bound("partition")
    given = bound(
        targets_S=targets_S,
        clients_S=clients_S,
        num_classes=num_classes,
        number_of_clients=num_clients,
        rng=generator(settings.federation.random_seed, "partition"),
        data_dir=data_folder(settings.data),
        **settings.on_offer("partition"),
    )
    return _checked(bound, given, len(targets_S), num_clients)


def _checked(bound: Bound, given: Any, num_samples: int, num_clients: int) -> tuple[NDArray[np.int64], ...]:
    if not isinstance(given, list | tuple) or len(given) != num_clients:
        found = f"{len(given)} parts" if isinstance(given, list | tuple) else type(given).__name__
        raise bound.failed(f"returned {found}, expected a list of {num_clients} arrays, one for each client")
    parts = [_indices(bound, client, part, num_samples) for client, part in enumerate(given)]
    empty = np.array([client for client, part in enumerate(parts) if not len(part)], np.int64)
    if len(empty):
        raise _empty(bound, empty, num_samples, num_clients)
    owners_S = np.bincount(np.concatenate(parts), minlength=num_samples)
    if owners_S.max() > 1:
        raise bound.failed(f"gives sample {int(owners_S.argmax())} out {owners_S.max()} times, expected once at most")
    return tuple(parts)


def _indices(bound: Bound, client: int, part: Any, num_samples: int) -> NDArray[np.int64]:
    with bound.named():
        indices = np.asarray(part)
    if indices.ndim != 1 or (indices.dtype.kind not in "ui" and len(indices)):
        found = f"{indices.dtype} of shape {indices.shape}"
        raise bound.failed(f"gives client {client} {found}, expected one axis of whole numbers: places of samples")
    if len(indices) and not 0 <= indices.min() <= indices.max() < num_samples:
        found = f"sample {indices.min() if indices.min() < 0 else indices.max()}"
        raise bound.failed(f"gives client {client} {found}, allowed are 0 to {num_samples - 1}")
    return np.sort(indices.astype(np.int64))


def _empty(bound: Bound, clients: NDArray[np.int64], num_samples: int, num_clients: int) -> FedchunkError:
    reason = f"leaves {names(clients)} of {num_clients} without a sample ({num_samples} samples in all)"
    if bound.is_own:
        return bound.failed(reason)
    message = f"{bound.name!r} {reason}: use fewer clients, or a kind that is more even"
    return fault("data_distribution_kind", message)
