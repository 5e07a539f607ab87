"""Each client holds what a file says: CSV, Parquet or JSON of client and sample, or LEAF's JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fedchunk.orchestrator.learning.data.places import below
from fedchunk.orchestrator.learning.partitions._owners import Parts
from fedchunk.orchestrator.learning.partitions._split_file import read_split

ONLY_COUNTS = True
"""Of the labels it asks for nothing but how many there are."""


def file(targets_S: NDArray[Any], number_of_clients: int, data_dir: Path, partition_file: str) -> Parts:
    """The split that is written down; samples that it does not name are held by nobody.

    Args:
        targets_S: the labels of all samples.
        number_of_clients: N, how many clients the file has.
        data_dir: where ``partition_file`` counts from.
        partition_file: a row for each sample that is held, with its client (0 to N - 1, or a name) and its place among
            the training samples, from 0.
    """
    return read_split(below(data_dir, partition_file)).parts(number_of_clients, len(targets_S))
