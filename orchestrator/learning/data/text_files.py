"""Files of text by client: each file is a client's, or each line names its own. Cuts nothing."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedchunk.orchestrator.core.errors import DataError

SUFFIX = ".txt"
BETWEEN = b"\t"
"""What stands between the client of a line and its text."""
LINE_END = b"\n"
"""Behind each document that is a line: so a model learns where one ends."""


@dataclass(frozen=True)
class ClientText:
    """What a client wrote."""

    client: str | int
    where: str
    """For messages: the file, or the file and the client."""
    documents: tuple[bytes, ...]
    """In the order of files and lines."""


def client_texts(path: Path, document: Literal["file", "line"]) -> list[ClientText]:
    """The clients of a file, or of a folder's .txt files in the order of their names.

    Args:
        path: the file or folder.
        document: what a document is; of lines, ``client<TAB>text``, blank ones do not count.

    Raises:
        DataError: there is no such file, it is empty, or a line names no client; with the file, and the line.
    """
    files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path.absolute()}: has no {SUFFIX} file; each is a document")
    if document == "file":
        return [ClientText(file.stem, str(file.absolute()), (_content(file),)) for file in files]
    lines: dict[str, list[bytes]] = {}
    for file in files:
        for client, text in _lines(file):
            lines.setdefault(client, []).append(text)
    if not lines:
        raise DataError(f"{path.absolute()}: has no line; each is a document, client<TAB>text")
    where = path.absolute()
    return [ClientText(client, f"{where}: client {client!r}", tuple(texts)) for client, texts in lines.items()]


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as failure:
        raise DataError(
            f"{file.absolute()}: cannot be read ({failure.strerror}); it should be a file of text"
        ) from None


def _lines(file: Path) -> Iterator[tuple[str, bytes]]:
    for number, line in enumerate(_content(file).removeprefix(codecs.BOM_UTF8).splitlines(), 1):
        if not line.strip():
            continue
        name, between, text = line.partition(BETWEEN)
        where = f"{file.absolute()}: line {number:,}"
        if not between:
            raise DataError(f"{where} has no tab; a line is client<TAB>text. Is each file a client, use document: file")
        if not name.strip():
            raise DataError(f"{where} names no client before its tab; a line is client<TAB>text")
        try:
            yield name.decode(), text + LINE_END
        except UnicodeDecodeError:
            raise DataError(f"{where} names a client that is not UTF-8: {name!r}") from None
