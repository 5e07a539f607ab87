"""Tokenizers of a user: what data sets get of them, bits of the bytes that there are, and what is refused."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import fedchunk
from fedchunk.orchestrator.core.errors import ComponentFailed
from fedchunk.orchestrator.learning.data.cache import DatasetCache
from fedchunk.orchestrator.learning.data.load import load_dataset
from fedchunk.orchestrator.learning.metrics.bits_per_byte import bits_per_byte
from fedchunk.orchestrator.settings.rules import without_effect

BASE = {"task": "language_model", "model_type": "lstm", "dataset_type": "text"}


class Pairs:
    """Bytes, and the pairs of letters that the training documents have most often."""

    def __init__(self, documents, most=4):
        pairs = [document[place : place + 2] for document in documents for place in range(len(document) - 1)]
        self.pairs = sorted(set(pairs), key=lambda pair: (-pairs.count(pair), pair))[:most]
        self.token_bytes = [1] * 256 + [2] * len(self.pairs)

    def encode(self, document):
        tokens, place = [], 0
        while place < len(document):
            pair = document[place : place + 2]
            tokens.append(256 + self.pairs.index(pair) if pair in self.pairs else document[place])
            place += self.token_bytes[tokens[-1]]
        return tokens


def loaded(folder, tokenizer, length=2, **more):
    options = {"length": length, **more.pop("options", {})}
    settings = {**BASE, "tokenizer": tokenizer, "data_dir": str(folder), "dataset_options": options, **more}
    return load_dataset(fedchunk.load_settings(settings))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_bytes(b"th" * 6 + b"xy")
    return tmp_path


def test_samples_are_tokens_and_the_vocabulary_says_their_bytes(folder):
    data = loaded(folder, Pairs, tokenizer_options={"most": 1}, options={"test_share": 0.4})
    assert data.num_classes == 257
    assert data.train_x.tolist() == [[256, 256], [256, 256]]
    assert data.test_x.tolist() == [[256, 256]]
    assert data.test_y.tolist() == [[256, ord("x")]]
    assert data.token_bytes_V.tolist() == [1] * 256 + [2]


def test_the_vocabulary_is_learned_from_training_documents_alone(folder):
    (folder / "later.txt").write_bytes(b"zz" * 20)
    data = loaded(folder, Pairs, tokenizer_options={"most": 1}, options={"test": "later.txt"})
    assert set(data.test_x.ravel().tolist()) == {ord("z")}


def test_each_document_is_encoded_by_itself(folder):
    class Beginnings:
        def __init__(self, documents, data_dir):
            assert documents == [b"ab\n", b"cd\n", b"efgh\n"]
            self.token_bytes = np.array([0, *[1] * 255], np.uint16)
            self.first = (data_dir / "first").read_bytes()

        def encode(self, document):
            return np.frombuffer(self.first + document, np.uint8)

    (folder / "first").write_bytes(b"\0")
    (folder / "said.tsv").write_bytes(b"ann\tab\nbob\tefgh\nann\tcd\n")
    data = loaded(folder, Beginnings, 3, options={"document": "line", "train": "said.tsv", "test": "said.tsv"})
    assert data.train_x.dtype == np.int64
    assert data.train_x.tolist() == [[0, *b"ab"], [*b"\n\0c"], [0, *b"ef"]]


@given(text=st.binary(min_size=40, max_size=200))
def test_bits_are_those_of_the_bytes_of_the_targets(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("text")
    (folder / "text").mkdir()
    (folder / "text" / "a.txt").write_bytes(text)
    data = loaded(folder, Pairs, options={"test_share": 0.5})
    targets = torch.from_numpy(data.test_y.ravel().copy())
    bits, size = bits_per_byte(torch.zeros(len(targets), data.num_classes), targets, data.token_bytes_V)
    assert size == sum(1 if token < 256 else 2 for token in data.test_y.ravel())
    assert float(bits) == pytest.approx(len(targets) * np.log2(data.num_classes))


def test_another_tokenizer_is_another_data_set_for_whoever_keeps_them(folder):
    def settings(tokenizer, **options):
        common = {**BASE, "data_dir": str(folder), "dataset_options": {"length": 2, "test_share": 0.4}}
        return fedchunk.load_settings({**common, "tokenizer": tokenizer, "tokenizer_options": options})

    cache = DatasetCache()
    one = cache.load(settings(Pairs, most=1))
    assert cache.load(settings(Pairs, most=1)) is one
    assert cache.load(settings(Pairs, most=2)).num_classes == 258
    assert cache.load(settings("byte")).num_classes == 256


def raising(documents):
    raise ValueError("no vocabulary")


def making(token_bytes=(1,) * 256, encode=list):
    """A tokenizer that does wrong."""

    class Wrong:
        def __init__(self):
            self.token_bytes = token_bytes

        def encode(self, document):
            return encode(document)

    return Wrong


def no_encode(document):
    raise RuntimeError("cannot")


@pytest.mark.parametrize(
    ("tokenizer", "said"),
    [
        (raising, "ValueError: no vocabulary"),
        (lambda: 3, "returned int without encode and token_bytes"),
        (making(token_bytes=[0.5] * 256), r"token_bytes is float64 of shape \(256,\), expected whole numbers from 0"),
        (making(token_bytes=[[1], [2]]), r"token_bytes is int64 of shape \(2, 1\)"),
        (making(token_bytes=[-1] * 256), r"token_bytes is int64 of shape \(256,\), expected whole numbers from 0"),
        (making(token_bytes=[]), r"token_bytes is float64 of shape \(0,\)"),
        (making(encode=no_encode), "RuntimeError: cannot"),
        (making(encode=bytes.decode), r"a\.txt: encode returned <U14 of shape \(\), expected whole numbers, tokens"),
        (making(encode=lambda document: [0.5] * len(document)), r"encode returned float64 of shape \(14,\)"),
        (making(encode=lambda document: [*document[:-1], 256]), r"the token 256, but token_bytes has 256: 0 to 255"),
        (making(encode=lambda document: [-1] * 14), "returned the token -1"),
        (
            making(encode=lambda document: list(document.replace(b"x", b""))),
            "stand for 13 bytes, but it has 14;",
        ),
        (making(encode=lambda document: []), r"a\.txt: its tokens stand for 0 bytes, but it has 14"),
    ],
)
def test_what_is_wrong_with_one_is_said_with_its_file_and_line(folder, tokenizer, said):
    with pytest.raises(ComponentFailed, match=said) as caught:
        loaded(folder, tokenizer)
    assert re.search(r"tokenizer \S+ \(\S*test_tokenizers\.py:\d+\)", str(caught.value))


def test_a_data_set_that_asks_for_none_says_so():
    settings = fedchunk.load_settings({"dataset_type": "digits", "tokenizer": Pairs})
    (remark,) = without_effect(settings)
    assert (remark.keys, remark.message) == (("tokenizer",), "has no effect: dataset_type is digits")
