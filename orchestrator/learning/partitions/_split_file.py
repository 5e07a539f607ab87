"""Files that say who holds which samples: CSV, Parquet or JSON of client and sample, and LEAF's JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import ConfigError, DataError, Fault
from fedchunk.orchestrator.learning.data.leaf_file import is_leaf, read_json, users_of
from fedchunk.orchestrator.learning.data.places import some
from fedchunk.orchestrator.learning.data.table_file import check_names, column_names, read_table
from fedchunk.orchestrator.learning.partitions._owners import Parts

CLIENT, SAMPLE = "client", "sample"


@dataclass(frozen=True)
class WrittenSplit:
    """What a file says: entry i gives sample ``samples[i]`` to client ``clients[i]``."""

    file: Path
    clients: NDArray[Any]
    """Numbers from 0, or names."""
    samples: NDArray[np.int64]
    at: Callable[[int], str]
    """Where an entry is in the file."""

    def parts(self, number_of_clients: int, num_samples: int) -> Parts:
        """The samples of each client. Named clients are numbered in the order of their names.

        Raises:
            ConfigError: with everything that is wrong: clients that are unknown or have nothing, samples that are
                unknown or given out twice.
        """
        numbers, wrong = self._numbers(number_of_clients)
        wrong += self._unknown_samples(num_samples) + self._overlaps(numbers)
        wrong += self._empty(numbers, number_of_clients)
        if wrong:
            raise ConfigError([Fault("", "partition_options", f"{self.file}: {message}") for message in wrong])
        order = np.argsort(numbers, kind="stable")
        cuts = np.cumsum(np.bincount(numbers, minlength=number_of_clients))[:-1]
        return [np.sort(part) for part in np.split(self.samples[order], cuts)]

    def _numbers(self, number_of_clients: int) -> tuple[NDArray[np.int64], list[str]]:
        """The number of each entry's client, and what is wrong with them."""
        if self.clients.dtype.kind == "U":
            names, numbers = np.unique(self.clients, return_inverse=True)
            if len(names) <= number_of_clients:
                return numbers, []
            found = f"names {len(names)} clients ({some(list(names))}), but number_of_clients is {number_of_clients}"
            return numbers, [f"{found}; set number_of_clients: {len(names)}"]
        unknown = np.flatnonzero((self.clients < 0) | (self.clients >= number_of_clients))
        if not len(unknown):
            return self.clients.astype(np.int64), []
        places = some([f"client {self.clients[entry]} in {self.at(int(entry))}" for entry in unknown])
        return self.clients.astype(np.int64), [f"unknown {places}; clients are 0 to {number_of_clients - 1}"]

    def _unknown_samples(self, num_samples: int) -> list[str]:
        unknown = np.flatnonzero((self.samples < 0) | (self.samples >= num_samples))
        if not len(unknown):
            return []
        places = some([f"sample {self.samples[entry]} in {self.at(int(entry))}" for entry in unknown])
        return [f"unknown {places}; training samples are 0 to {num_samples - 1}"]

    def _overlaps(self, numbers: NDArray[np.int64]) -> list[str]:
        order = np.argsort(self.samples, kind="stable")
        again = np.flatnonzero(np.diff(self.samples[order]) == 0) + 1
        if not len(again):
            return []
        places = some(
            [
                f"sample {self.samples[entry]} of client {self.clients[first]} ({self.at(first)}) is also client "
                f"{self.clients[entry]}'s ({self.at(entry)})"
                for first, entry in zip(order[again - 1], order[again], strict=True)
            ]
        )
        return [f"overlaps: {places}; each sample has one client at most"]

    def _empty(self, numbers: NDArray[np.int64], number_of_clients: int) -> list[str]:
        empty = np.setdiff1d(np.arange(number_of_clients), numbers)
        if not len(empty):
            return []
        if self.clients.dtype.kind == "U":
            named = number_of_clients - len(empty)
            return [f"names {named} clients, but number_of_clients is {number_of_clients}; set it to {named}"]
        who = f"client {empty[0]}" if len(empty) == 1 else f"clients {some(list(empty))}"
        return [f"{who} of {number_of_clients} without a sample; give each one, or use fewer clients"]


def read_split(file: Path) -> WrittenSplit:
    """The split that a file says. Raises DataError where it cannot be read."""
    if not file.is_file():
        raise DataError(f"{file.absolute()}: there is no such file; partition_file names it, counted from data_dir")
    if file.suffix.lower() == ".json":
        return _of_json(file, read_json(file))
    check_names(file, column_names(file), [CLIENT, SAMPLE], "wanted are client and sample")
    table = read_table(file, [CLIENT, SAMPLE])
    clients, column = table.column(CLIENT, "partition_file").whole(), table.column(SAMPLE, "partition_file")
    samples = column.whole()
    if samples.dtype.kind == "U":
        row = next(row for row, word in enumerate(samples) if not word.strip().lstrip("-").isdecimal())
        raise column.wrong(row, f"got {str(samples[row])!r}; samples are whole numbers, their places from 0")
    return WrittenSplit(file, clients, samples.astype(np.int64), lambda entry: f"row {entry + 1:,}")


def _of_json(file: Path, content: Any) -> WrittenSplit:
    if is_leaf(content):
        return _of_leaf(file, content)
    if isinstance(content, dict) and content:
        return _of_lists(file, content)
    if isinstance(content, list) and content:
        return _of_records(file, content)
    raise DataError(
        f"{file}: says nothing; wanted is {{client: [samples]}}, a list of {{client, sample}}, or LEAF's JSON"
    )


def _of_leaf(file: Path, content: Any) -> WrittenSplit:
    """Samples are counted through the users, as the data set ``leaf`` has them."""
    users = users_of(file, content)
    counts = [len(user.data["y"]) for user in users]
    clients = np.repeat(np.asarray([user.name for user in users], np.str_), counts)
    return WrittenSplit(file, clients, np.arange(sum(counts)), lambda entry: f"user {clients[entry]!r}")


def _of_lists(file: Path, content: Mapping[str, Any]) -> WrittenSplit:
    for name, samples in content.items():
        if not isinstance(samples, list):
            raise DataError(f"{file}: client {name!r}: got {samples!r:.40}; a list of samples is wanted")
        for place, sample in enumerate(samples):
            _check_sample(sample, f"{file}: client {name!r}, entry {place}")
    counts = [len(samples) for samples in content.values()]
    names = list(content)
    # JSON knows only text as keys; a file of numbers means numbers.
    numbers = all(name.isdecimal() for name in names)
    clients = np.repeat(np.asarray(names, np.int64 if numbers else np.str_), counts)
    samples_S = np.asarray([sample for samples in content.values() for sample in samples], np.int64)
    return WrittenSplit(file, clients, samples_S, lambda entry: f"the list of {clients[entry]}")


def _of_records(file: Path, content: Sequence[Any]) -> WrittenSplit:
    kinds = set()
    for place, record in enumerate(content):
        if not isinstance(record, dict) or not {CLIENT, SAMPLE} <= record.keys():
            raise DataError(f"{file}: entry {place}: got {record!r:.40}; an object with client and sample is wanted")
        _check_sample(record[SAMPLE], f"{file}: entry {place}")
        kinds.add(type(record[CLIENT]))
        if type(record[CLIENT]) not in (int, str) or len(kinds) > 1:
            found = f"{file}: entry {place}: got the client {record[CLIENT]!r:.40}"
            raise DataError(f"{found}; clients are all whole numbers, or all text")
    clients = np.asarray([record[CLIENT] for record in content])
    samples_S = np.asarray([record[SAMPLE] for record in content], np.int64)
    return WrittenSplit(file, clients, samples_S, lambda entry: f"entry {entry}")


def _check_sample(sample: Any, at: str) -> None:
    if type(sample) is not int:
        raise DataError(f"{at}: got the sample {sample!r:.40}; samples are whole numbers, their places from 0")
