"""Texts of clients as samples of next tokens: a client's documents one behind another, cut side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.dataset import Dataset
from fedchunk.orchestrator.learning.data.text_files import ClientText
from fedchunk.orchestrator.learning.data.tokens import Tokenizer, TokenizerInForce, Tokens

TEST_SHARE = 0.1


@dataclass(frozen=True)
class Cut:
    """How texts become samples."""

    length: int
    """T, tokens of a sample."""
    too_short: str
    """What becomes of clients who have not one sample: ``refuse`` or ``drop``."""
    test_share: float | None
    """Of each client, where there is no test set; None: a tenth."""


def next_tokens(
    texts: Sequence[ClientText],
    tested: Sequence[ClientText] | None,
    tokenizer: TokenizerInForce,
    cut: Cut,
    where: Path,
) -> Dataset:
    """Samples (S, T) in int64, and as targets the token behind each of theirs, (S, T).

    Args:
        texts: of the clients; the tokenizer may learn from them.
        tested: the test set; None: the last samples of each client.
        tokenizer: makes tokens of documents.
        cut: how.
        where: the texts are, for a message.

    Raises:
        DataError: a client has not one sample, or nothing would be tested.
    """
    made, length, too_short = (
        tokenizer([one for client in texts for one in client.documents]),
        cut.length,
        cut.too_short,
    )
    streams = [_stream(client, made, length) for client in texts]
    if tested is not None:
        trained = _long_enough(streams, length, made.unit, too_short)
        others = [_stream(client, made, length) for client in tested]
        return _dataset(trained, _long_enough(others, length, made.unit, too_short), length, made)
    share = TEST_SHARE if cut.test_share is None else cut.test_share
    kept = [len(one.starts) - round(share * len(one.starts)) for one in streams]
    trained = _long_enough(
        [replace(one, starts=one.starts[:n]) for one, n in zip(streams, kept, strict=True)],
        length, made.unit, too_short,
    )  # fmt: skip
    last = [replace(one, starts=one.starts[n:]) for one, n in zip(streams, kept, strict=True) if n]
    if not any(len(one.starts) for one in last):
        raise DataError(f"{where}: a test_share of {share:g} is not one sample of any client; give more")
    return _dataset(trained, last, length, made)


@dataclass(frozen=True)
class _Stream:
    """A client's documents, one behind another."""

    client: str | int
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
    names = np.asarray([one.client for one in trained])
    clients = np.repeat(names, [len(one.starts) for one in trained]) if len(trained) > 1 else None
    return Dataset(
        train_ST[:, :-1], train_ST[:, 1:], test_ST[:, :-1], test_ST[:, 1:], len(made.token_bytes_V), clients,
        token_bytes=made.token_bytes_V,
    )  # fmt: skip
