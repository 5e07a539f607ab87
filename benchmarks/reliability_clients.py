"""One client's code raises each of thirty kinds of exceptions, in each stage of its round."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from reliability_bench import BASE, Bench, Row

import fedchunk
from fedchunk import Dataset
from fedchunk.actors.backends.local import LocalFederation
from fedchunk.actors.client.star import StarClient
from fedchunk.orchestrator.contract.messages import ModelState, RoundResult
from fedchunk.orchestrator.experiment import run_experiment

NAMES = (
    "ArithmeticError", "AssertionError", "AttributeError", "BufferError", "EOFError", "FileNotFoundError",
    "FloatingPointError", "ImportError", "IndexError", "KeyError", "LookupError", "MemoryError", "ModuleNotFoundError",
    "NameError", "NotImplementedError", "OSError", "OverflowError", "PermissionError", "RecursionError",
    "ReferenceError", "RuntimeError", "StopAsyncIteration", "StopIteration", "SyntaxError", "SystemError",
    "TimeoutError", "TypeError", "UnboundLocalError", "ValueError", "ZeroDivisionError",
)  # fmt: skip
METHODS = {"reconstruct": "_start_of", "select": "_choice", "emit": "_emit"}
"""What runs in each stage of a client's round, beside training."""
POISON = 9
"""A label that only client 1 has."""
SMALL = {**BASE, "number_of_clients": 5, "federated_learning_rounds": 2, "local_steps": 1}


class Notes:
    """An observer and recorder that keeps what was said of clients."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.largest = np.nan
        """The largest absolute value of the last model."""

    def stage(self, name: str) -> None: ...
    def clients_done(self, round_index: int, done: int, cohort: int) -> None: ...
    def round_done(self, result: RoundResult) -> None: ...
    def start(self, info: object) -> None: ...

    def finish(self, summary: object, spec: object, model: ModelState | None) -> None:
        """Looks at the model."""
        self.largest = np.nan if model is None else float(np.abs(model.weights_P).max())

    def record_rounds(self, results: Sequence[RoundResult]) -> None:
        """Keeps rows of the ``clients`` table."""
        self.rows += [row for result in results for row in result.tables["clients"].to_pylist()]


def exceptions(bench: Bench) -> Row:
    """Client 1 raises; who else fails, and does the run live?"""
    names = NAMES[: bench.times(len(NAMES), 3)]
    alone = sum(_fails_alone(_in_stage(getattr(builtins, name), stage)) for name in names for stage in METHODS)
    alone += sum(_fails_alone(_in_training(getattr(builtins, name))) for name in names)
    tried = len(names) * (len(METHODS) + 1)
    return Row(
        f"one client raises each of {len(names)} kinds of exceptions, in each of {len(METHODS) + 1} stages",
        f"{alone} of {tried} fail alone, the run lives",
    )


def _fails_alone(rows: list[dict[str, Any]]) -> bool:
    failed = {row["client"] for row in rows if row["status"] == "failed"}
    return failed == {1} and len(rows) == 2 * SMALL["number_of_clients"]


def _in_stage(kind: type[Exception], stage: str) -> list[dict[str, Any]]:
    name = METHODS[stage]
    original: Callable[..., Any] = getattr(StarClient, name)

    class Broken(StarClient):
        pass

    def raising(self: StarClient, task: Any, *rest: Any) -> Any:
        if task.client_id == 1:
            raise kind("on purpose")
        return original(self, task, *rest)

    setattr(Broken, name, raising)
    settings, notes = fedchunk.load_settings(SMALL), Notes()
    with LocalFederation(settings, notes, lambda *arguments: Broken(*arguments)) as federation:
        run_experiment(federation, settings.federation, [notes], notes)
    return notes.rows


def _in_training(kind: type[Exception]) -> list[dict[str, Any]]:
    def data(seed: int) -> Dataset:
        rng = np.random.default_rng(seed)
        labels = np.repeat(np.arange(5), 20)
        labels[labels == 1] = POISON
        images = rng.random((100, 1, 8, 8)).astype(np.float32)
        return Dataset(images, labels, images[:10], np.zeros(10, np.int64), num_classes=10)

    def each_its_label(targets_S: NDArray[np.int64], number_of_clients: int) -> list[NDArray[np.intp]]:
        return [np.flatnonzero(targets_S == (POISON if client == 1 else client)) for client in range(number_of_clients)]

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if bool((targets == POISON).any()):
            raise kind("on purpose")
        return torch.nn.functional.cross_entropy(outputs, targets)

    own = {"dataset_type": data, "data_distribution_kind": each_its_label, "loss_function": loss}
    settings, notes = fedchunk.load_settings({**SMALL, "vectorize_clients": "off"}, **own), Notes()
    with LocalFederation(settings, notes) as federation:
        run_experiment(federation, settings.federation, [notes], notes)
    return notes.rows
