"""The graph of adjacency_matrix_file_name, a CSV file of 0 and 1 with a row for each client."""

from __future__ import annotations

from os.path import expanduser
from pathlib import Path

from fedchunk.orchestrator.methods.adjacency import read_adjacency


def custom(number_of_clients: int, adjacency_matrix_file_name: str) -> list[tuple[int, int]]:
    """The links of the file. Raises ConfigError with a place for everything that is wrong in it."""
    return read_adjacency(Path(expanduser(adjacency_matrix_file_name)), number_of_clients)
