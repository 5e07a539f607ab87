"""Text as tokens, for task language_model: each file of a folder is a client, or each line says whose it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.dataset import Dataset
from fedchunk.orchestrator.learning.data.places import below
from fedchunk.orchestrator.learning.data.split import one_test_set
from fedchunk.orchestrator.learning.data.text_files import ClientText, client_texts
from fedchunk.orchestrator.learning.data.tokens import Tokenizer, TokenizerInForce, Tokens
from fedchunk.orchestrator.settings.option_types import Count, TestShare, TextDocument, WhenTooShort

TEST_SHARE = 0.1


def text(
    data_dir: Path,
    tokenizer: TokenizerInForce,
    train: str = "text",
    test: str | None = None,
    document: TextDocument = "file",
    length: Count = 64,
    test_share: TestShare | None = None,
    too_short: WhenTooShort = "refuse",
) -> Dataset:
    """Samples of ``length`` tokens in int64, (S, T), and as targets the token behind each of them, (S, T).

    A client's documents stand one behind another. Its n tokens are (n - 1) / length samples, rounded down, side by
    side; what is left at its end is dropped.

    Args:
        data_dir: where files and folders count from.
        tokenizer: makes tokens of documents; it may learn its vocabulary from those of ``train``.
        train: a file, or a folder whose .txt files are read in the order of their names.
        test: the same for the test set; None: the last samples of each client.
        document: a file, which is a client, or a line, ``client<TAB>text``.
        length: T, tokens of a sample.
        test_share: of each client, where test is not given; None: a tenth.
        too_short: what becomes of clients who have not one sample to train on.
    """
    texts = client_texts(below(data_dir, train), document)
    made = tokenizer([one for client in texts for one in client.documents])
    streams = [_stream(client, made, length) for client in texts]
    if test is not None:
        one_test_set(test, test_share)
        trained = _long_enough(streams, length, made.unit, too_short)
        others = [_stream(client, made, length) for client in client_texts(below(data_dir, test), document)]
        return _dataset(trained, _long_enough(others, length, made.unit, too_short), length, made)
    share = TEST_SHARE if test_share is None else test_share
    kept = [len(one.starts) - round(share * len(one.starts)) for one in streams]
    trained = _long_enough(
        [replace(one, starts=one.starts[:n]) for one, n in zip(streams, kept, strict=True)],
        length, made.unit, too_short,
    )  # fmt: skip
    tested = [replace(one, starts=one.starts[n:]) for one, n in zip(streams, kept, strict=True) if n]
    if not any(len(one.starts) for one in tested):
        raise DataError(
            f"{below(data_dir, train)}: a test_share of {share:g} is not one sample of any client; give more"
        )
    return _dataset(trained, tested, length, made)


@dataclass(frozen=True)
class _Stream:
    """A client's documents, one behind another."""

    client: str
    where: str
    tokens: Tokens
    starts: NDArray[np.int64]
    """Of its samples."""


def _stream(text: ClientText, made: Tokenizer, length: int) -> _Stream:
    tokens = np.concatenate([made.tokens(one, text.where) for one in text.documents])
    return _Stream(text.client, text.where, tokens, np.arange(max(0, len(tokens) - 1) // length) * length)


def _long_enough(streams: Sequence[_Stream], length: int, unit: str, too_short: str) -> list[_Stream]:
    """Those that have a sample. Raises DataError for one that has none, or where all are dropped."""
    found = [one for one in streams if len(one.starts)]
    short = next((one for one in streams if not len(one.starts)), None)
    if short is not None and (too_short == "refuse" or not found):
        what = (
            f"has {len(short.tokens):,} {unit}, but a sample is {length} and the one behind them; give a smaller length"
            if len(short.tokens) <= length
            else "all of its samples would be tested; give a smaller length or test_share"
        )
        raise DataError(f"{short.where}: {what}{', or too_short: drop' if found else ''}")
    return found


def _stacked(streams: Sequence[_Stream], length: int) -> NDArray[np.int64]:
    """All samples with the token behind each, (S, T + 1)."""
    places_T = np.arange(length + 1)
    return np.concatenate([one.tokens[one.starts[:, np.newaxis] + places_T] for one in streams]).astype(np.int64)


def _dataset(trained: Sequence[_Stream], tested: Sequence[_Stream], length: int, made: Tokenizer) -> Dataset:
    train_ST, test_ST = _stacked(trained, length), _stacked(tested, length)
    names = np.asarray([one.client for one in trained], np.str_)
    clients = np.repeat(names, [len(one.starts) for one in trained]) if len(trained) > 1 else None
    return Dataset(
        train_ST[:, :-1], train_ST[:, 1:], test_ST[:, :-1], test_ST[:, 1:], len(made.token_bytes_V), clients,
        token_bytes=made.token_bytes_V,
    )  # fmt: skip
