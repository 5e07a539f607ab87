"""Text files as sequences of tokens: what they become, by hand, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fedchunk
from fedchunk.orchestrator.core.errors import ConfigError, DataError
from fedchunk.orchestrator.learning.data.load import load_dataset
from fedchunk.orchestrator.learning.partition import partition

LANGUAGE = {"task": "language_model", "model_type": "lstm", "dataset_type": "text"}


def settings_of(folder, **options):
    return fedchunk.load_settings({**LANGUAGE, "data_dir": str(folder), "dataset_options": options})


def loaded(folder, **options):
    return load_dataset(settings_of(folder, **options))


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.txt").write_bytes(content)


def words(samples_ST):
    return [bytes(sample_T.astype(np.uint8)) for sample_T in samples_ST]


def test_files_are_cut_side_by_side_and_their_last_samples_are_tested(tmp_path):
    write(tmp_path / "text", b=b"ABCDEFGHIJ", a=b"abcdefgh")
    data = loaded(tmp_path, length=3, test_share=0.4)
    assert (words(data.train_x), words(data.train_y)) == ([b"abc", b"ABC", b"DEF"], [b"bcd", b"BCD", b"EFG"])
    assert (words(data.test_x), words(data.test_y)) == ([b"def", b"GHI"], [b"efg", b"HIJ"])
    assert data.clients_S.tolist() == ["a", "b", "b"]
    assert (data.num_classes, data.train_x.dtype) == (256, np.int64)


def test_a_test_set_of_its_own(tmp_path):
    write(tmp_path / "text", a=b"abcdefgh")
    write(tmp_path / "later", c=b"12345")
    data = loaded(tmp_path, length=3, test="later")
    assert (words(data.train_x), words(data.test_x), data.clients_S) == ([b"abc", b"def"], [b"123"], None)
    one = loaded(tmp_path, length=3, train="text/a.txt", test="later/c.txt")
    assert words(one.train_x) == words(data.train_x)


@given(content=st.binary(min_size=30, max_size=300), length=st.integers(1, 9))
def test_each_byte_but_the_last_is_read_once_and_the_one_behind_it_is_its_target(tmp_path_factory, content, length):
    folder = tmp_path_factory.mktemp("text")
    write(folder / "text", a=content)
    data = loaded(folder, length=length, test_share=0.5)
    whole_x, whole_y = b"".join(words([*data.train_x, *data.test_x])), b"".join(words([*data.train_y, *data.test_y]))
    assert len(content) - 1 - length < len(whole_x) <= len(content) - 1
    assert content.startswith(whole_x)
    assert content[1:].startswith(whole_y)


def test_each_file_is_a_client(tmp_path):
    write(tmp_path / "text", **{name: name.encode() * 40 for name in ("ab", "cd", "ef")})
    own = {"data_distribution_kind": "natural", "number_of_clients": 3, "data_dir": str(tmp_path)}
    settings = fedchunk.load_settings({**LANGUAGE, **own, "dataset_options": {"length": 4}})
    data = load_dataset(settings)
    parts = partition(data.train_y, data.clients_S, data.num_classes, settings)
    assert [set(words(data.train_x[part])) for part in parts] == [{b"abab"}, {b"cdcd"}, {b"efef"}]


@pytest.mark.parametrize(
    ("files", "options", "said"),
    [
        ({}, {}, "text: has no .txt file; each is a document"),
        ({"a": b"abc"}, {"length": 3}, "a.txt: has 3 bytes, but a sample is 3 and the one behind them"),
        ({"a": b"abcd" * 9}, {"train": "other"}, r"other: cannot be read \(No such file or directory\)"),
        ({"a": b"abcd" * 9}, {"length": 20, "test_share": 0.9}, "a.txt: all of its samples would be tested"),
        ({"a": b"abcd" * 9}, {"length": 9, "test_share": 0.1}, "text: a test_share of 0.1 is not one sample of any"),
        ({"a": b"abcd" * 9, "b": b"ab"}, {"length": 3}, "b.txt: has 2 bytes, .* a smaller length, or too_short: drop"),
        ({"b": b"ab"}, {"length": 3, "too_short": "drop"}, "b.txt: has 2 bytes, .* a smaller length$"),
        ({"a": b"ann\thow?\n\nbob well\n"}, {"document": "line"}, "a.txt: line 3 has no tab; .* document: file"),
        ({"a": b"ann\twell\n \twho?\n"}, {"document": "line"}, "a.txt: line 2 names no client before its tab"),
        ({"a": b"j\xf6rg\twell\n"}, {"document": "line"}, r"a.txt: line 1 .* not UTF-8: b'j.xf6rg'"),
        ({"a": b"\n  \n"}, {"document": "line"}, "text: has no line; each is a document"),
        ({"a": b"ann\twell\n"}, {"document": "line"}, "text: client 'ann': has 5 bytes, but a sample is 64"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(files, options, said, tmp_path):
    write(tmp_path / "text", **files)
    with pytest.raises(DataError, match=said):
        loaded(tmp_path, **options)


def test_a_line_says_whose_it_is_and_ends_with_its_end(tmp_path):
    lines = b"\xef\xbb\xbfbob\tone\n\nann\tan \t apple\r\nbob\ttwo"
    write(tmp_path / "text", a=lines, b=b"bob\t\ncy\tx\n")
    data = loaded(tmp_path, document="line", length=2, test_share=0.3, too_short="drop")
    # bob: one.two.. (9 bytes), ann: an.tab.apple. (11), cy: x. (no sample)
    assert data.clients_S.tolist() == ["bob"] * 3 + ["ann"] * 3
    assert b"".join(words(data.train_x)) == b"one\ntw" + b"an \t a"
    assert b"".join(words(data.test_x)) == b"o\n" + b"pple"
    assert words(data.test_y) == [b"\n\n", b"pl", b"e\n"]


def test_lines_of_a_test_file_have_clients_of_their_own(tmp_path):
    (tmp_path / "said.tsv").write_bytes(b"ann\tabcdef\nbob\tghijkl\n")
    (tmp_path / "later.tsv").write_bytes(b"zoe\tmnopqr\nyan\t.\n")
    data = loaded(tmp_path, train="said.tsv", test="later.tsv", document="line", length=6, too_short="drop")
    assert (words(data.train_x), words(data.test_x)) == ([b"abcdef", b"ghijkl"], [b"mnopqr"])
    assert data.clients_S.tolist() == ["ann", "bob"]


def test_clients_that_are_too_short_are_left_out_of_the_test_set_too(tmp_path):
    write(tmp_path / "text", a=b"abcdefghijk", b=b"0123")
    data = loaded(tmp_path, length=3, test_share=0.6, too_short="drop")
    assert (words(data.train_x), words(data.test_x)) == ([b"abc"], [b"def", b"ghi"])
    assert data.clients_S is None


def test_a_share_beside_a_test_set_is_refused(tmp_path):
    write(tmp_path / "text", a=b"abcd" * 9)
    with pytest.raises(ConfigError, match=r"test_share: got 0\.3, but text is the test set"):
        loaded(tmp_path, length=3, test="text", test_share=0.3)


def test_it_is_of_no_use_for_another_task(tmp_path):
    write(tmp_path / "text", a=b"abcd" * 99)
    settings = fedchunk.load_settings({"dataset_type": "text", "data_dir": str(tmp_path)})
    with pytest.raises(DataError, match="expected one label for each sample"):
        load_dataset(settings)
