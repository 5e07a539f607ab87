"""Who holds what: samples and labels by client."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.learning.data.dataset import digest
from fedchunk.orchestrator.learning.data.load import load_dataset
from fedchunk.orchestrator.learning.partition import partition
from fedchunk.orchestrator.settings.joined import Sections


@dataclass(frozen=True)
class Held:
    """A data set and its split in figures."""

    name: str
    kind: str
    """``data_distribution_kind``."""
    input_shape: tuple[int, ...]
    digest: str
    """As in the records of a run."""
    counts_NC: NDArray[np.int64]
    """Samples of each client and label."""
    train_counts_C: NDArray[np.int64]
    """Training samples of each label, also those that nobody holds."""
    test_counts_C: NDArray[np.int64]
    own_names: tuple[str, ...]
    """Of the data's own clients, where each client holds the samples of one; else empty."""

    @property
    def sizes_N(self) -> NDArray[np.int64]:
        """Samples of each client."""
        return np.asarray(self.counts_NC.sum(axis=1))

    @property
    def unheld(self) -> int:
        """Training samples that nobody holds."""
        return int(self.train_counts_C.sum() - self.counts_NC.sum())

    def as_dict(self) -> dict[str, Any]:
        """All of it for programs; ``labels`` are counts, the place is the label."""
        named = self.own_names or [None] * len(self.counts_NC)
        clients = [
            {"client": client, **({"name": name} if name is not None else {}), "samples": int(counts.sum()),
             "labels": counts.tolist()}
            for client, (counts, name) in enumerate(zip(self.counts_NC, named, strict=True))
        ]  # fmt: skip
        return {
            "dataset": self.name,
            "data_distribution_kind": self.kind,
            "digest": self.digest,
            "input_shape": list(self.input_shape),
            "num_classes": self.counts_NC.shape[1],
            "train_samples": int(self.train_counts_C.sum()),
            "train_labels": self.train_counts_C.tolist(),
            "test_samples": int(self.test_counts_C.sum()),
            "test_labels": self.test_counts_C.tolist(),
            "unheld_samples": self.unheld,
            "clients": clients,
        }


def who_holds_what(settings: Sections) -> Held:
    """Loads and partitions, as a run does.

    Raises:
        ConfigError: the samples have no labels to count; and as ``load_dataset`` and ``partition``.
    """
    if not settings.task_facts.one_label:
        message = f"got {settings.task_facts.name}, whose samples have no labels to count; allowed: tasks of one label"
        raise ConfigError([Fault("", "task", message)])
    data = load_dataset(settings)
    parts = partition(data.train_y, data.clients_S, data.num_classes, settings)
    return Held(
        name=data.name,
        kind=settings.data.data_distribution_kind,
        input_shape=data.input_shape,
        digest=digest(data, parts),
        counts_NC=np.stack([_counted(data.train_y[part], data.num_classes) for part in parts]),
        train_counts_C=_counted(data.train_y, data.num_classes),
        test_counts_C=_counted(data.test_y, data.num_classes),
        own_names=_own_names(data.clients_S, parts),
    )


def _counted(labels_S: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    return np.bincount(labels_S, minlength=num_classes)


def _own_names(clients_S: NDArray[Any] | None, parts: Sequence[NDArray[np.int64]]) -> tuple[str, ...]:
    if clients_S is None:
        return ()
    own = [set(clients_S[part].tolist()) for part in parts]
    return tuple(str(*names) for names in own) if all(len(names) == 1 for names in own) else ()
