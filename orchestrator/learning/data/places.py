"""Where the files of a data set are: names in options count from ``data_dir``."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from os.path import expanduser
from pathlib import Path

from fedchunk.orchestrator.core.errors import ConfigError, DataError, Fault
from fedchunk.orchestrator.settings.sections import DataSettings

MOST_NAMED = 5
"""So many things an error names; the others are counted."""


def data_folder(data: DataSettings) -> Path:
    """``data_dir`` as a path; unlike Path.expanduser it lets an unknown ~user be."""
    return Path(expanduser(data.data_dir))


def below(data_dir: Path, name: str) -> Path:
    """The file or folder that an option names."""
    return data_dir / expanduser(name)


def existing_file(data_dir: Path, name: str, option: str) -> Path:
    """The file that an option names. Raises DataError where there is none."""
    path = below(data_dir, name)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "there is no such file"
        raise DataError(f"{path.absolute()}: {what}; {option} names a file, counted from data_dir ({data_dir})")
    return path


def wrong_option(message: str, key: str = "dataset_options") -> ConfigError:
    """An error about the options of a data set or a partition."""
    return ConfigError([Fault("", key, message)])


def some(names: Sequence[object]) -> str:
    """Names for a message, not more than some.

    Example:
        >>> some(["a", "b"]), some(range(100, 108))
        ('a, b', '100, 101, 102, 103, 104 and 3 more')
    """
    named = ", ".join(map(str, names[:MOST_NAMED]))
    return f"{named} and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else named


def near(word: str, names: Sequence[str]) -> str:
    """A hint to the name that may be meant; empty where none is like it."""
    found = difflib.get_close_matches(word, names, n=1)
    return f" (did you mean {found[0]}?)" if found else ""
