"""Folders that save_to_disk of Hugging Face's ``datasets`` wrote: Arrow files, which are mapped and not read.

    folder/state.json           {"_data_files": [{"filename": "data-00000-of-00001.arrow"}, ...]}
    folder/dataset_info.json    {"features": {column: {"_type": "ClassLabel", "names": [...]}, ...}}
    folder/data-*.arrow         streams of Arrow's IPC format, one behind the other
    folder/dataset_dict.json    of a DatasetDict alone: {"splits": ["train", "test"]}, each a folder of the above

That is all that there is to know, and pyarrow reads it: ``datasets`` itself is not needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.places import below, near, some, wrong_option

STATE, INFO, SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"
TRAIN, TEST = "train", "test"
"""What the splits are called that are taken without being named."""


def existing_dataset(data_dir: Path, name: str, option: str) -> Path:
    """The folder of one data set. Raises DataError where there is none."""
    folder = below(data_dir, name)
    if not folder.is_dir():
        raise DataError(
            f"{folder.absolute()}: there is no such folder; {option} names one, counted from data_dir ({data_dir})"
        )
    if not (folder / STATE).is_file():
        raise DataError(f"{folder.absolute()}: has no {STATE}; {option} names a folder that save_to_disk wrote")
    return folder


def split_folders(data_dir: Path, folder: str, train: str | None, test: str | None) -> tuple[str, str | None]:
    """Where the training and the test set are, from ``data_dir``; None where there is no test set.

    Args:
        data_dir: where ``folder`` counts from.
        folder: what was saved: a data set, or several by their names.
        train: which is trained; None: :data:`TRAIN`.
        test: which is tested; None: :data:`TEST`, if it is there.

    Raises:
        DataError: there is no split of this name, or what says which there are is damaged.
        ConfigError: splits are named of a data set that has none.
    """
    file = below(data_dir, folder) / SPLITS
    if not file.is_file():
        for option, name in (("train_split", train), ("test_split", test)):
            if name is not None:
                raise wrong_option(
                    f"{option}: got {name!r}, but {below(data_dir, folder)} is one data set; leave it out"
                )
        return folder, None
    there = _json(file).get("splits", [])
    wanted = train or TRAIN
    for option, name in (("train_split", wanted), ("test_split", test)):
        if name is not None and name not in there:
            raise DataError(
                f"{file.parent}: there is no split {name!r}{near(name, there)} ({option}); it has {some(there)}"
            )
    if test == wanted:
        raise wrong_option(f"test_split: got {test!r}, which is trained; name another split")
    tested = test or (TEST if TEST in there and wanted != TEST else None)
    return f"{folder}/{wanted}", None if tested is None else f"{folder}/{tested}"


def saved_names(folder: Path) -> tuple[str, ...]:
    """The columns of a data set. Raises DataError as :func:`saved_table`."""
    return tuple(saved_schema(folder).names)


def saved_schema(folder: Path) -> pa.Schema:
    """The columns with their types, of the first file. Raises DataError as :func:`saved_table`."""
    return _opened(data_files(folder)[0]).schema


def saved_table(folder: Path) -> pa.Table:
    """All rows of a data set, mapped from its files.

    Raises:
        DataError: a file is missing or damaged, files have other columns than the first, or there is no row.
    """
    files = data_files(folder)
    parts = [_read(file) for file in files]
    for file, part in zip(files, parts, strict=True):
        if part.schema.names != parts[0].schema.names or part.schema.types != parts[0].schema.types:
            raise DataError(f"{file}: has other columns than {files[0].name}; save the data set again")
    table = pa.concat_tables([part.replace_schema_metadata(None) for part in parts])
    if not table.num_rows:
        raise DataError(f"{folder}: has no row")
    return table


def saved_features(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """What ``datasets`` says of each column, such as the names of its labels. Raises DataError."""
    features: Mapping[str, Mapping[str, Any]] = _json(folder / INFO).get("features") or {}
    return features


def data_files(folder: Path) -> list[Path]:
    """The files of a data set, in their order. Raises DataError."""
    try:
        names = [one["filename"] for one in _json(folder / STATE)["_data_files"]]
    except (KeyError, TypeError):
        names = []
    if not names:
        raise DataError(f"{folder / STATE}: names no file of data; save the data set again")
    return [folder / name for name in names]


def _read(file: Path) -> pa.Table:
    try:
        return _opened(file).read_all()
    except (pa.ArrowException, OSError) as failure:
        raise _unreadable(file, failure) from failure


def _opened(file: Path) -> Any:
    try:
        return pa.ipc.open_stream(pa.memory_map(str(file)))
    except (pa.ArrowException, OSError) as failure:
        raise _unreadable(file, failure) from failure


def _unreadable(file: Path, failure: Exception) -> DataError:
    return DataError(f"{file}: cannot be read as Arrow ({failure}); save the data set again")


def _json(file: Path) -> Any:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as failure:
        raise DataError(f"{file}: cannot be read ({failure}); save the data set again") from failure
    if not isinstance(values, dict):
        raise DataError(f"{file}: is no JSON of names and values; save the data set again")
    return values
