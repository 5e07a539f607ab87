"""LEAF's JSON: samples and labels by user.

    {"users": [...], "num_samples": [...], "user_data": {user: {"x": [...], "y": [...]}}}

Source of the format: Caldas et al., "LEAF: A Benchmark for Federated Settings" (arXiv 1812.01097).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.labels import whole_labels
from fedchunk.orchestrator.learning.data.places import near, some


@dataclass(frozen=True)
class LeafUser:
    """A user of a file."""

    file: Path
    name: str
    data: Mapping[str, Any]

    @property
    def at(self) -> str:
        """A place for a message."""
        return f"{self.file}: user {self.name!r}"

    def labels(self, num_classes: int | None) -> NDArray[np.int64]:
        """Labels (S,). Raises DataError of the first that is none."""
        values = self.data["y"]
        for place, value in enumerate(values):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise DataError(f"{self._label_at(place)}: got {value!r:.40}; labels are whole numbers from 0")
        return whole_labels(np.asarray(values), self._label_at, num_classes)

    def _label_at(self, place: int) -> str:
        return f"{self.at}, y[{place}]"

    def samples(self, num_values: int) -> NDArray[np.float32]:
        """Samples (S, k), each of ``num_values`` numbers. Raises DataError of the first that is not."""
        rows = np.empty((len(self.data["x"]), num_values), np.float32)
        for place, sample in enumerate(self.data["x"]):
            values = _flat(sample)
            if values is None or len(values) != num_values:
                found = f"{sample!r:.40}" if values is None else f"{len(values)} values"
                raise DataError(f"{self.at}, x[{place}]: got {found}; each sample is a list of {num_values} numbers")
            with np.errstate(over="ignore"):
                rows[place] = values
            if not np.isfinite(rows[place]).all():
                raise DataError(f"{self.at}, x[{place}]: holds nan or infinite values; numbers are finite")
        return rows


def read_leaf(path: Path) -> tuple[LeafUser, ...]:
    """The users of a file, or of all ``.json`` files of a folder in the order of their names.

    Raises:
        DataError: a file is not LEAF's JSON, or a user is unknown, empty, or there twice.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: has no .json file")
    users = [user for file in files for user in users_of(file, read_json(file))]
    seen: dict[str, Path] = {}
    for user in users:
        if user.name in seen:
            raise DataError(f"{user.at}: is in {seen[user.name]} as well; each user is in one place")
        seen[user.name] = user.file
    return tuple(users)


def read_json(file: Path) -> Any:
    """What a JSON file holds. Raises DataError with line and column where it is none."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{file.absolute()}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: the byte 0x{error.object[error.start]:02x} is not UTF-8; save it as UTF-8") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{file}: line {error.lineno}, column {error.colno}: is no JSON: {error.msg}") from None


def is_leaf(content: Any) -> bool:
    """Whether the content of a JSON file is meant to be LEAF's."""
    return isinstance(content, dict) and {"users", "user_data"} <= content.keys()


def users_of(file: Path, content: Any) -> list[LeafUser]:
    """The users of a file's content. Raises DataError as :func:`read_leaf`."""
    if not is_leaf(content):
        has = some(sorted(content)) if isinstance(content, dict) else type(content).__name__
        raise DataError(f"{file}: is not LEAF's JSON, which has users, num_samples and user_data; it has {has}")
    names, data = content["users"], content["user_data"]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError(f"{file}: users is no list of names")
    if not isinstance(data, dict):
        raise DataError(f"{file}: user_data is no object with an entry for each user")
    if unknown := sorted(data.keys() - set(names)):
        raise DataError(f"{file}: user_data has the user {unknown[0]!r}, who is not in users{near(unknown[0], names)}")
    counts = content.get("num_samples")
    if counts is not None and (not isinstance(counts, list) or len(counts) != len(names)):
        raise DataError(f"{file}: num_samples is no list of {len(names)} counts, one for each user")
    return [_user(file, name, data, counts[place] if counts else None) for place, name in enumerate(names)]


def _user(file: Path, name: str, data: Mapping[str, Any], count: Any) -> LeafUser:
    at = f"{file}: user {name!r}"
    own = data.get(name)
    if not isinstance(own, dict) or not all(isinstance(own.get(key), list) for key in ("x", "y")):
        raise DataError(f"{at}: user_data has no lists x and y of this user")
    if len(own["x"]) != len(own["y"]):
        raise DataError(f"{at}: x has {len(own['x'])} samples, y {len(own['y'])} labels")
    if not own["x"]:
        raise DataError(f"{at}: has no sample; remove the user")
    if count is not None and count != len(own["x"]):
        raise DataError(f"{at}: num_samples says {count!r:.20}, user_data has {len(own['x'])} samples")
    return LeafUser(file, name, own)


def joined(users: Sequence[LeafUser], num_values: int) -> NDArray[np.float32]:
    """Samples of all users, one after the other, (S, k)."""
    return np.concatenate([user.samples(num_values) for user in users])


def joined_labels(users: Sequence[LeafUser], num_classes: int | None) -> NDArray[np.int64]:
    """Labels of all users, in the order of :func:`joined`."""
    return np.concatenate([user.labels(num_classes) for user in users])


def values_in_a_sample(users: Sequence[LeafUser]) -> int:
    """How many numbers the first sample has. Raises DataError where it is text, or anything else."""
    first = users[0]
    values = _flat(first.data["x"][0])
    if not values:
        found = f"{first.data['x'][0]!r:.40}"
        raise DataError(f"{first.at}, x[0]: got {found}; samples are lists of numbers (text is not read here)")
    return len(values)


def _flat(sample: Any) -> list[float] | None:
    """The numbers of nested lists; None where it is no list, or holds anything else."""
    if not isinstance(sample, list):
        return None
    if all(type(value) in (int, float) for value in sample):
        return sample
    inner = [_flat(part) for part in sample]
    if any(part is None for part in inner):
        return None
    return [value for part in inner if part is not None for value in part]
