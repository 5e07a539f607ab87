"""Reads an adjacency matrix from a CSV file, with a place for everything that is wrong in it."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from fedchunk.orchestrator.core.errors import ConfigError, Fault

KEY = "adjacency_matrix_file_name"
SHOWN_FAULTS = 20
"""Faults of one file that are told; a matrix of another meaning would have thousands."""

Row = tuple[int, Sequence[str]]
"""The file's line that a row ends in, from 1, and its cells."""


def read_adjacency(path: Path, num_clients: int) -> list[tuple[int, int]]:
    """The links of a file that has one row and one column per client, 1 where two are neighbours and 0 elsewhere.

    Blank lines and blanks around a number do not matter. The matrix must be square, symmetric (links go both ways) and
    0 on its diagonal.

    Args:
        path: a CSV file, cells separated by commas, in UTF-8.
        num_clients: N, the number of rows and columns that it must have.

    Returns:
        Each link once, as (lower client, higher client), in ascending order.

    Raises:
        ConfigError: the file cannot be read, or is no such matrix; each fault names row and column, from 1.
    """
    rows = _read_rows(path)
    # The shape first: in a matrix of another shape every later fault would be a consequence.
    faults = list(islice(_shape_faults(rows, num_clients), SHOWN_FAULTS))
    faults = faults or list(islice(_cell_faults(rows), SHOWN_FAULTS))
    if faults:
        raise ConfigError([Fault(f"{path}:{line}" if line else str(path), KEY, message) for line, message in faults])
    matrix = [[cell == "1" for cell in cells] for _, cells in rows]
    return [(one, other) for one, cells in enumerate(matrix) for other in range(one + 1, num_clients) if cells[other]]


def _read_rows(path: Path) -> list[Row]:
    try:
        # A byte order mark is what spreadsheets put before a CSV file in UTF-8.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            stripped = ((reader.line_num, [cell.strip() for cell in row]) for row in reader)
            return [(line, cells) for line, cells in stripped if any(cells)]
    except OSError as error:
        looked = f"{error.strerror or error}; looked for {path.resolve()}: write the matrix there, or name another file"
        raise ConfigError([Fault(str(path), KEY, f"cannot be read: {looked}")]) from None
    except (UnicodeDecodeError, csv.Error) as error:
        message = f"is not a CSV file: {error}; write one row per client, 0 or 1 for each client, with commas between"
        raise ConfigError([Fault(str(path), KEY, message)]) from None


def _shape_faults(rows: Sequence[Row], num_clients: int) -> Iterator[tuple[int, str]]:
    if len(rows) != num_clients:
        yield 0, f"has {len(rows)} rows; number_of_clients is {num_clients} and each client needs one"
    for number, (line, cells) in enumerate(rows, 1):
        if len(cells) != num_clients:
            columns = "1 column" if len(cells) == 1 else f"{len(cells)} columns"
            hint = "; cells are separated by commas" if len(cells) == 1 else ""
            yield line, f"row {number} has {columns}; number_of_clients is {num_clients}{hint}"


def _cell_faults(rows: Sequence[Row]) -> Iterator[tuple[int, str]]:
    for one, (line, cells) in enumerate(rows):
        for other, cell in enumerate(cells):
            mirrored = rows[other][1][one]
            problem = ""
            if cell not in ("0", "1"):
                problem = f"got {cell[:20]!r}; allowed: 0 or 1"
            elif one == other and cell == "1":
                problem = "got 1, but nobody is a neighbour of itself; write 0"
            elif one > other and mirrored in ("0", "1") and cell != mirrored:
                there = f"row {other + 1}, column {one + 1}"
                problem = f"got {cell}, but {there} has {mirrored}; links go both ways: write the same in both"
            if problem:
                yield line, f"row {one + 1}, column {other + 1}: {problem}"
