"""Text as tokens, for task language_model: each file of a folder is a client, or each line says whose it is."""

from __future__ import annotations

from pathlib import Path

from fedchunk.orchestrator.learning.data.dataset import Dataset
from fedchunk.orchestrator.learning.data.places import below
from fedchunk.orchestrator.learning.data.split import one_test_set
from fedchunk.orchestrator.learning.data.text_files import client_texts
from fedchunk.orchestrator.learning.data.token_streams import Cut, next_tokens
from fedchunk.orchestrator.learning.data.tokens import TokenizerInForce
from fedchunk.orchestrator.settings.option_types import Count, TestShare, TextDocument, WhenTooShort


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
    texts, tested = client_texts(below(data_dir, train), document), None
    if test is not None:
        one_test_set(test, test_share)
        tested = client_texts(below(data_dir, test), document)
    return next_tokens(texts, tested, tokenizer, Cut(length, too_short, test_share), below(data_dir, train))
