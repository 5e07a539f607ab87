"""A column of text: the documents of clients, or a sample for each row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedchunk.orchestrator.learning.data.places import wrong_option
from fedchunk.orchestrator.learning.data.table_file import Table
from fedchunk.orchestrator.learning.data.table_rows import Rows
from fedchunk.orchestrator.learning.data.text_files import LINE_END, ClientText
from fedchunk.orchestrator.learning.data.tokens import NO_TOKEN, Tokenizer, TokenizerInForce


def text_alone(**others: object) -> None:
    """Raises ConfigError where one of these options is given beside ``text_column``."""
    for option, given in others.items():
        if given is not None:
            raise wrong_option(
                f"{option}: got {given!r} beside text_column, whose tokens are the samples; leave one out"
            )


def client_rows(
    table: Table, text_column: str, client_column: str | None, wanted: NDArray[np.bool_] | None = None
) -> list[ClientText]:
    """The rows of each client, in the order of the table; each is a document with an end of line behind it.

    Args:
        table: has the columns.
        text_column: of text.
        client_column: whole numbers or text; None: all are one client's.
        wanted: which rows; None: all.

    Raises:
        DataError: of the first value that is missing, or a column of another type.
    """
    documents = row_texts(table, text_column)
    names: Sequence[str | int] = [""] * len(documents)
    if client_column is not None:
        names = table.column(client_column, "client_column").whole().tolist()
    own: dict[str | int, list[bytes]] = {}
    for row, (name, text) in enumerate(zip(names, documents, strict=True)):
        if wanted is None or wanted[row]:
            own.setdefault(name, []).append(text + LINE_END)
    where = {name: f"{table.file}" + (f": client {name!r}" if client_column else "") for name in own}
    return [ClientText(name, where[name], tuple(texts)) for name, texts in own.items()]


def row_texts(table: Table, text_column: str) -> list[bytes]:
    """The text of each row in UTF-8. Raises DataError as :func:`client_rows`."""
    column = table.column(text_column, "text_column")
    values = column.present()
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        raise column.refused(f"has values of type {values.type}, such as {values[0]}; text is wanted")
    kind = pa.large_binary() if pa.types.is_large_string(values.type) else pa.binary()
    found: list[bytes] = values.cast(kind).to_pylist()
    return found


def text_samples(
    rows: Rows, text_column: str, tokenizer: TokenizerInForce, length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Training and test rows, (S, T) in int64: the first T tokens of each text, :data:`NO_TOKEN` behind a shorter one.

    Args:
        rows: read with the column.
        text_column: of text.
        tokenizer: may learn its vocabulary from the training rows.
        length: T.

    Raises:
        DataError: a value is missing, or has no token; or the column is of another type.
    """
    texts, train_S = row_texts(rows.table, text_column), np.flatnonzero(~rows.is_test)
    made = tokenizer([texts[row] for row in train_S])
    train_x = _padded(made, rows.table, text_column, texts, train_S, length)
    if rows.tested is None:
        return train_x, _padded(made, rows.table, text_column, texts, np.flatnonzero(rows.is_test), length)
    others = row_texts(rows.tested, text_column)
    return train_x, _padded(made, rows.tested, text_column, others, np.arange(len(others)), length)


def _padded(
    made: Tokenizer, table: Table, name: str, texts: Sequence[bytes], rows_S: NDArray[np.int64], length: int
) -> NDArray[np.int64]:
    column = table.column(name, "text_column")
    tokens_ST = np.full((len(rows_S), length), NO_TOKEN, np.int64)
    for place, row in enumerate(rows_S.tolist()):
        tokens_T = made.tokens(texts[row], column.at(row), exact=False)[:length]
        if not len(tokens_T):
            raise column.wrong(row, "the text has no token; fill it in, or remove the row")
        tokens_ST[place, : len(tokens_T)] = tokens_T
    return tokens_ST
