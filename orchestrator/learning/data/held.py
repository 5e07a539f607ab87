"""Who holds what: samples by client, with their labels, tokens or numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.learning.data.dataset import digest
from fedchunk.orchestrator.learning.data.held_targets import QUANTILES, Row, TargetKind
from fedchunk.orchestrator.learning.data.load import load_dataset
from fedchunk.orchestrator.learning.data.own_tests import own_tests
from fedchunk.orchestrator.learning.partition import partition
from fedchunk.orchestrator.settings.joined import Sections


@dataclass(frozen=True)
class Held:
    """A data set and its split in figures."""

    name: str
    kind: str
    """``data_distribution_kind``."""
    task: str
    input_shape: tuple[int, ...]
    digest: str
    """As in the records of a run."""
    num_classes: int
    targets: TargetKind
    """What the figures of a row are."""
    clients: tuple[Row, ...]
    """What each client trains on."""
    kept_N: NDArray[np.int64]
    """Of each client's samples, how many are kept to measure its own model on."""
    train: Row
    """All training samples, also those that are kept and those that nobody holds."""
    test: Row
    all_clients: Row
    """What all clients train on."""
    kept: Row | None
    """What is kept of all; None where nothing is."""
    nobody: Row | None
    """Training samples that nobody holds; None where there are none."""
    own_names: tuple[str, ...]
    """Of the data's own clients, where each client holds the samples of one; else empty."""

    @property
    def sizes_N(self) -> NDArray[np.int64]:
        """Training samples of each client."""
        return np.array([row.samples for row in self.clients], np.int64)

    @property
    def figures_N(self) -> NDArray[Any]:
        """Counts, (N, C), or quantiles, (N, d, Q), of all clients."""
        return np.stack([row.figures for row in self.clients])

    def as_dict(self) -> dict[str, Any]:
        """All of it for programs. ``labels`` and ``tokens`` are counts, the place is the label; of numbers ``targets``
        are their ``quantiles``, column by column."""
        named = self.own_names or [None] * len(self.clients)
        word = "targets" if self.targets.what == "numbers" else self.targets.what
        clients = [
            {"client": client, **({"name": name} if name is not None else {}), "samples": row.samples,
             **({"own_test_samples": int(self.kept_N[client])} if self.kept is not None else {}),
             word: row.figures.tolist()}
            for client, (row, name) in enumerate(zip(self.clients, named, strict=True))
        ]  # fmt: skip
        return {
            "dataset": self.name,
            "task": self.task,
            "data_distribution_kind": self.kind,
            "digest": self.digest,
            "input_shape": list(self.input_shape),
            "num_classes": self.num_classes,
            **({"quantiles": list(QUANTILES)} if word == "targets" else {}),
            "train_samples": self.train.samples,
            f"train_{word}": self.train.figures.tolist(),
            "test_samples": self.test.samples,
            f"test_{word}": self.test.figures.tolist(),
            "unheld_samples": self.nobody.samples if self.nobody else 0,
            "clients": clients,
        }


def who_holds_what(settings: Sections) -> Held:
    """Loads and partitions, as a run does, and raises as ``load_dataset`` and ``partition``."""
    data = load_dataset(settings)
    parts = partition(data.train_y, data.clients_S, data.num_classes, settings)
    share = settings.data.client_test_share
    trained, kept = own_tests(parts, share, settings.federation.random_seed)
    kind, train_y = TargetKind.of_data(settings.task_facts, data), data.train_y
    unheld_S = np.setdiff1d(np.arange(len(train_y)), np.concatenate(parts), assume_unique=True)
    everybody = Row.of(kind, train_y, trained)
    assert everybody is not None, "a partition leaves no client without a sample"
    return Held(
        name=data.name,
        kind=settings.data.data_distribution_kind,
        task=settings.task_facts.name,
        input_shape=data.input_shape,
        digest=digest(data, (*trained, *kept) if share else parts),
        num_classes=data.num_classes,
        targets=kind,
        clients=tuple(Row(len(part), kind.figures(train_y, part)) for part in trained),
        kept_N=np.array([len(part) for part in kept], np.int64),
        train=Row(len(train_y), kind.figures(train_y)),
        test=Row(len(data.test_y), kind.figures(data.test_y)),
        all_clients=everybody,
        kept=Row.of(kind, train_y, kept),
        nobody=Row.of(kind, train_y, [unheld_S]),
        own_names=_own_names(data.clients_S, parts),
    )


def _own_names(clients_S: NDArray[Any] | None, parts: Sequence[NDArray[np.int64]]) -> tuple[str, ...]:
    if clients_S is None:
        return ()
    own = [set(clients_S[part].tolist()) for part in parts]
    return tuple(str(*names) for names in own) if all(len(names) == 1 for names in own) else ()
