"""The data set and who holds what of it: made once on the driver, shared with every actor. No torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.contract.named_tensors import Tensors
from fedchunk.orchestrator.contract.ports import DataDescription
from fedchunk.orchestrator.learning.data.dataset import LoadedDataset, digest
from fedchunk.orchestrator.learning.data.load import load_dataset
from fedchunk.orchestrator.learning.data.own_tests import own_tests
from fedchunk.orchestrator.learning.data.shards import shards
from fedchunk.orchestrator.learning.first_model import load_first_model
from fedchunk.orchestrator.learning.partition import partition
from fedchunk.orchestrator.settings.whole import Settings


@dataclass(frozen=True)
class Partition:
    """Who holds which samples: client i has ``indices_S[offsets[i]:offsets[i + 1]]``.

    Two arrays instead of one per client, so that ten thousand clients are two objects.
    """

    indices_S: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, parts: Sequence[NDArray[np.int64]]) -> Partition:
        """From the samples of each client."""
        offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
        return cls(np.concatenate(parts), offsets)

    def samples_of(self, client_id: int) -> NDArray[np.int64]:
        """Indices of the client's samples."""
        return self.indices_S[self.offsets[client_id] : self.offsets[client_id + 1]]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Samples of each client."""
        return tuple(int(size) for size in np.diff(self.offsets))


@dataclass(frozen=True)
class ExperimentData:
    """Samples, partition, and what the records say of them."""

    dataset: LoadedDataset
    partition: Partition
    """Who trains on what."""
    own_tests: Partition | None
    """What of the clients' samples is kept to measure their own models on; None where nothing is."""
    description: DataDescription
    first: Tensors | None = None
    """The values that the run begins with, by name; None: those of the seed."""


def prepare(settings: Settings, load: Callable[[Settings], LoadedDataset] = load_dataset) -> ExperimentData:
    """Loads and partitions. Raises DataError when files are missing, ConfigError when a client would get nothing."""
    dataset = load(settings)
    parts = partition(dataset.train_y, dataset.clients_S, dataset.num_classes, settings)
    share = settings.data.client_test_share
    trained, kept = own_tests(parts, share, settings.federation.random_seed)
    description = DataDescription(
        name=dataset.name,
        train_samples=len(dataset.train_y),
        test_samples=len(dataset.test_y),
        num_classes=dataset.num_classes,
        digest=digest(dataset, (*trained, *kept) if share else parts),
    )
    first = load_first_model(settings.federation)
    own = Partition.of(kept) if share else None
    return ExperimentData(dataset, Partition.of(trained), own, description, first)


def test_parts(settings: Settings, data: ExperimentData) -> tuple[slice, ...]:
    """The parts of the test set that are evaluated by one call each; fixed by the settings alone."""
    return shards(data.description.test_samples, settings.training.test_batch_size)
