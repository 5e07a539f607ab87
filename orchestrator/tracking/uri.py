"""Addresses of tracking stores. No mlflow here: the command line asks before it is needed."""

from __future__ import annotations

import os
import re
from pathlib import Path

DEFAULT_STORE = "sqlite:///mlflow.db"
"""A file in the current folder: needs no server, and the UI shows it."""

_SQLITE = re.compile(r"(sqlite(?:\+\w+)?):///([^?]+)(\?.*)?")


def environment_uri() -> str | None:
    """The store of the environment."""
    return os.environ.get("MLFLOW_TRACKING_URI")


def resolve_store(uri: str | None) -> str:
    """The store to use: ``uri`` or the default, a SQLite file with its whole path so that every folder finds it.

    Example:
        >>> resolve_store("http://127.0.0.1:5000")
        'http://127.0.0.1:5000'
    """
    store = uri or DEFAULT_STORE
    sqlite = _SQLITE.fullmatch(store)
    if sqlite is None:
        return store
    scheme, path, query = sqlite.groups()
    if "?" in Path(path).absolute().as_posix():
        return store  # such a path cannot stand in an address: from this folder the relative one leads there, too
    return f"{scheme}:///{Path(path).absolute().as_posix()}{query or ''}"


def is_server(uri: str) -> bool:
    """Whether a server of its own stands behind the address, and not a database that we open ourselves."""
    return uri.startswith(("http://", "https://", "databricks"))


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite store; None of any other."""
    sqlite = _SQLITE.fullmatch(uri)
    return Path(sqlite.group(2)).absolute() if sqlite else None


def artifact_folder(uri: str) -> str | None:
    """Where artifacts of a SQLite store go: ``mlartifacts`` beside its file, as an address. None: the store decides."""
    file = sqlite_file(uri)
    return (file.parent / "mlartifacts").as_uri() if file else None
