"""What every contender shares, whatever environment it runs in: the exported work in, times and weights out.

Imports numpy alone, because each peer has an environment of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Work:
    """One workload as the command exported it: N clients of S samples each, M of them in each of R rounds."""

    facts: dict[str, Any]
    """``model_type``, ``image_shape``, ``num_classes``, ``learning_rate``, ``batch_size``."""
    x_NS: NDArray[np.float32]
    """Normalised images (N, S, c, h, w), mapped from the file: processes share the pages."""
    y_NS: NDArray[np.int64]
    cohorts_RM: NDArray[np.int64]
    """Clients of each round, ascending."""
    orders_RMS: NDArray[np.int64]
    """Order of the samples of each client of each round."""
    initial_P: NDArray[np.float32]
    """First weights, in the order of torch's ``named_parameters``."""

    @classmethod
    def load(cls, folder: Path) -> Work:
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        # "c": writable for torch, which warns of read-only arrays; nobody writes, so nothing is copied.
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in ("x_NS", "y_NS")}
        small = {name: np.load(folder / f"{name}.npy") for name in ("cohorts_RM", "orders_RMS", "initial_P")}
        return cls(facts, **arrays, **small)

    def cohort(self, round_index: int) -> NDArray[np.int64]:
        """Clients of a round; rounds count from 1."""
        return self.cohorts_RM[round_index - 1]

    def batches(self, round_index: int, place: int) -> Iterator[NDArray[np.int64]]:
        """Sample numbers of each batch of the client at ``place`` of the cohort."""
        order_S = self.orders_RMS[round_index - 1, place]
        for start in range(0, len(order_S), self.facts["batch_size"]):
            yield order_S[start : start + self.facts["batch_size"]]


@dataclass(frozen=True)
class Job:
    """What the command line asks of a contender."""

    work_folder: Path
    result: Path
    rounds: int
    actors: int
    options: tuple[str, ...]


def parse_job() -> Job:
    """The arguments that the command gives every contender."""
    parser = argparse.ArgumentParser()
    parser.add_argument("work_folder", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--actors", type=int, required=True)
    parser.add_argument("--option", action="append", default=[], help="understood by some contenders")
    given = parser.parse_args()
    return Job(given.work_folder, given.result, given.rounds, given.actors, tuple(given.option))


class Notes:
    """When each round ended, by a clock that all processes of the machine share (``time.perf_counter``)."""

    def __init__(self) -> None:
        self._ends: list[float] = []

    def round_done(self) -> None:
        """To be called once the new global weights stand."""
        self._ends.append(time.perf_counter())

    def write(self, result: Path, weights_P: NDArray[np.float32], packages: tuple[str, ...], **more: Any) -> None:
        """Leaves the final weights beside the times; ``result`` appears last and whole."""
        np.save(result.with_suffix(".npy"), weights_P)
        versions = {name: metadata.version(name) for name in packages}
        text = json.dumps({"ends": self._ends, "versions": versions, **more})
        result.with_suffix(".part").write_text(text, encoding="utf-8")
        os.replace(result.with_suffix(".part"), result)
