"""Text as tokens, by the tokenizer of the settings: ours and the user's alike are checked here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.components import Bound
from fedchunk.orchestrator.core.errors import ComponentFailed
from fedchunk.orchestrator.learning.data.places import data_folder
from fedchunk.orchestrator.settings.joined import Sections

NO_TOKEN = -1
"""What stands in a sample of a fixed length behind the last token of a shorter text: in no vocabulary, so that it is
taken for no token of any model."""

Tokens = NDArray[np.integer[Any]]
"""Places in a vocabulary, (n,): uint8 where they are bytes, which is an eighth of the memory, else int64."""


@dataclass(frozen=True)
class TokenizerInForce:
    """What a data set gets that asks for ``tokenizer``: call it with the training documents."""

    bound: Bound
    data_dir: Path

    @classmethod
    def of(cls, settings: Sections) -> TokenizerInForce:
        """The tokenizer that the settings name; not called yet."""
        return cls(settings.bound("tokenizer"), data_folder(settings.data))

    def __call__(self, documents: Sequence[bytes]) -> Tokenizer:
        """The tokenizer, which may learn its vocabulary from ``documents``.

        Raises:
            ComponentFailed: a user's raised, has no ``encode``, or ``token_bytes`` that are no whole numbers from 0.
        """
        made = self.bound(documents=documents, data_dir=self.data_dir)
        missing = [name for name in ("encode", "token_bytes") if not hasattr(made, name)]
        if missing:
            raise self.bound.failed(f"returned {type(made).__name__} without {' and '.join(missing)}")
        with self.bound.named():
            sizes_V = np.asarray(made.token_bytes)
        if sizes_V.ndim != 1 or len(sizes_V) == 0 or sizes_V.dtype.kind not in "ui" or sizes_V.min() < 0:
            found = f"{sizes_V.dtype} of shape {sizes_V.shape}"
            raise self.bound.failed(f"token_bytes is {found}, expected whole numbers from 0, one a token: (V,)")
        return Tokenizer(self.bound, made, sizes_V.astype(np.int64))


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer with its vocabulary of V tokens."""

    bound: Bound
    made: Any
    token_bytes_V: NDArray[np.int64]

    @property
    def unit(self) -> str:
        """What it counts, for messages."""
        return "tokens" if self.bound.is_own else "bytes"

    def tokens(self, document: bytes, where: str, *, exact: bool = True) -> Tokens:
        """The tokens of a document, (n,).

        Args:
            document: its bytes.
            where: where it is, for messages.
            exact: whether its tokens must stand for all of its bytes.

        Raises:
            ComponentFailed: a user's raised, or gave what are no tokens, or tokens that stand for another number of
                bytes than there are: bits for each byte would be wrong.
        """
        if not self.bound.is_own:
            plain: Tokens = self.made.encode(document)
            return plain
        with self.bound.named():
            tokens = np.asarray(self.made.encode(document))
        if tokens.size == 0:  # as a list, it would be one of floats
            tokens = np.zeros(0, np.int64)
        if tokens.ndim != 1 or tokens.dtype.kind not in "ui":
            found = f"{tokens.dtype} of shape {tokens.shape}"
            raise self._failed(where, f"encode returned {found}, expected whole numbers, tokens: (n,)")
        size = len(self.token_bytes_V)
        if len(tokens) and not 0 <= int(tokens.min()) <= int(tokens.max()) < size:
            wrong = next(int(token) for token in tokens if not 0 <= token < size)
            raise self._failed(
                where, f"encode returned the token {wrong}, but token_bytes has {size:,}: 0 to {size - 1:,}"
            )
        told = int(self.token_bytes_V[tokens].sum())
        if exact and told != len(document):
            message = f"its tokens stand for {told:,} bytes, but it has {len(document):,}; bits_per_byte would be wrong"
            raise self._failed(where, f"{message}: each byte must be in one token")
        return tokens.astype(np.int64, copy=False)

    def _failed(self, where: str, reason: str) -> ComponentFailed:
        return self.bound.failed(f"{where}: {reason}")
