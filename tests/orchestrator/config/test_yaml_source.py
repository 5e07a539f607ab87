import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fedchunk.orchestrator.settings import yaml_source
from fedchunk.orchestrator.settings.yaml_source import (
    MAX_BYTES,
    MAX_NODES,
    plain_value,
    read_document,
    read_override,
    written_value,
)


def values(text):
    entries, faults = read_document(text, "f.yaml")
    assert faults == []
    return {entry.key: entry.value for entry in entries}


def only_fault(text):
    _, faults = read_document(text, "f.yaml")
    assert len(faults) == 1, faults
    return faults[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("NULL", None), ("nULL", "nULL"),
        ("true", True), ("True", True), ("FALSE", False), ("tRUE", "tRUE"),
        ("yes", "yes"), ("on", "on"), ("Off", "Off"), ("n", "n"),
        ("0", 0), ("-12", -12), ("+3", 3), ("010", 10), ("0o17", 15), ("0x1F", 31), ("0b1", "0b1"), ("1_000", "1_000"),
        ("1e-3", 0.001), ("1E3", 1000.0), (".5", 0.5), ("5.", 5.0), ("-1.5e+2", -150.0), ("1e", "1e"), (".", "."),
        ("12:30:45", "12:30:45"), ("2024-01-02", "2024-01-02"), ("0.0.32", "0.0.32"), ("=", "="), ("<<", "<<"),
        (".inf", math.inf), ("-.Inf", -math.inf), ("inf", "inf"), ("nan", "nan"), ("٣", "٣"), ("9" * 200, "9" * 200),
    ],
)  # fmt: skip
def test_plain_scalars_mean_what_yaml_1_2_says(text, value):
    assert plain_value(text) == value
    assert type(plain_value(text)) is type(value)


def test_nan_is_a_number():
    assert math.isnan(plain_value(".nan"))


def test_quotes_and_blocks_make_text():
    assert values("a: '5'\nb: \"true\"\nc: |\n  1\nd: >-\n  2\n") == {"a": "5", "b": "true", "c": "1\n", "d": "2"}


def test_lists_and_mappings_become_plain_values():
    assert values("a: [1, [x, ~]]\nb: {c: 1e1, d: {}}\n") == {"a": [1, ["x", None]], "b": {"c": 10.0, "d": {}}}


def test_keys_are_as_written():
    assert list(values("yes: 1\n5: 2\n~: 3\n'q k': 4\n")) == ["yes", "5", "~", "q k"]


def test_places_count_from_one_and_in_characters():
    entries, _ = read_document("# ü\n\na: 1\n{}".replace("{}", "ü: 2\n"), "f.yaml")
    assert [entry.where for entry in entries] == ["f.yaml:3:1", "f.yaml:4:1"]
    entries, _ = read_document("{üü: 1, b: 2}", "f.yaml")
    assert [entry.where for entry in entries] == ["f.yaml:1:2", "f.yaml:1:9"]


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "---\n...\n", "{}\n", "\ufeff"])
def test_a_document_without_settings_is_empty_and_right(text):
    assert read_document(text, "f.yaml") == ([], [])


def test_a_key_that_stands_twice_names_both_lines():
    entries, faults = read_document("a: 1\nb: 2\na: 3\na: 4\n", "f.yaml")
    assert [(fault.where, fault.key) for fault in faults] == [("f.yaml:3:1", "a"), ("f.yaml:4:1", "a")]
    assert "lines 1 and 3" in faults[0].message
    assert [entry.value for entry in entries] == [1, 2]


def test_a_key_twice_in_a_nested_mapping_is_a_fault():
    assert only_fault("m: {a: 1, a: 2}\n").where == "f.yaml:1:11"


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("- a\n", "1:1", "got a list"),
        ("hello\n", "1:1", "got the text 'hello'"),
        ("a: 1\n---\nb: 2\n", "2:1", "second document"),
        ("a: [1\n", "2:1", "not valid YAML"),
        ("a: 1\n\tb: 2\n", "2:1", "not tabs"),
        ("a: 'x\n", "2:1", "not valid YAML"),
        ("a: &x 1\n", "1:4", "&x"),
        ("a: *x\n", "1:4", "*x"),
        ("a: !!int 5\n", "1:4", "tag:yaml.org,2002:int"),
        ("a: !!python/object/apply:os.system ['true']\n", "1:4", "remove it"),
        ("a: !mine {b: 1}\n", "1:4", "!mine"),
        ("!!map {a: 1}\n", "1:1", "tags are not used"),
        ("a: 1\nb: x\x07y\n", "2:5", "'\\x07'"),
        ("a: \udcff\n", "1:4", "'\\udcff'"),
        ("? [k]\n: 1\n", "1:3", "one word"),
        ("a: " + "[" * 50_000, "1:20", "nested more than"),
        ("a: " + "{b: " * 50_000, None, "nested more than"),
        ("a: [" + "1," * MAX_NODES + "]", None, "more than 5000 keys"),
        ("#" * (MAX_BYTES + 1), "1:1", "more than 1048576 bytes"),
    ],
)
def test_what_is_refused_is_told_with_its_place(text, where, words):
    fault = only_fault(text)
    assert words in fault.message
    assert fault.where.startswith("f.yaml:" + (where or ""))


def test_billion_laughs_is_refused_at_the_first_anchor():
    bomb = "a: &a [x, x]\n" + "".join(f"{c}: &{c} [*{p}, *{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True))
    _, faults = read_document(bomb, "f.yaml")
    assert faults[0].where == "f.yaml:1:4"


def test_reading_goes_on_after_a_fault():
    entries, faults = read_document("a: !x 1\nb: 2\nc: &y 3\nd: 4\n", "f.yaml")
    assert [entry.key for entry in entries] == ["b", "d"]
    assert [fault.where for fault in faults] == ["f.yaml:1:4", "f.yaml:3:4"]


def test_the_python_loader_reads_the_same(monkeypatch):
    text = "# c\na: 'x'\nb: [1e-3, yes, {c: ~}]\nd: |\n  t\na: 2\ne: !t 1\n"
    with_c = read_document(text, "f.yaml")
    monkeypatch.setattr(yaml_source, "_LOADER", yaml.SafeLoader)
    assert read_document(text, "f.yaml") == with_c


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("a=1e-3", "a", 0.001), ("a=", "a", None), ("a=x=y", "a", "x=y"), (" a = 5 ", "a", 5),
        ("a=[1, b]", "a", [1, "b"]),
        ("a='5'", "a", "5"), ("a=sqlite:///m.db", "a", "sqlite:///m.db"),
        ("a={b: 1}", "a", {"b": 1}), ("a=~", "a", None),
    ],
)  # fmt: skip
def test_overrides_read_as_in_a_file(override, key, value):
    entries, faults = read_override(override)
    assert faults == []
    assert [(entry.key, entry.value, entry.where) for entry in entries] == [(key, value, override)]


@pytest.mark.parametrize("override", ["a", "=5", "a=[1", "a=!t 1", "a=*b", "a=1\n---\n2", "a=\udcff", ""])
def test_a_wrong_override_is_its_own_place(override):
    entries, faults = read_override(override)
    assert entries == []
    assert [fault.where for fault in faults] == [override]


def test_a_password_in_an_address_is_not_repeated():
    entries, _ = read_override("uri=http://me:secret@host:1/x")
    assert entries[0].where == "uri=http://***@host:1/x"
    assert entries[0].value == "http://me:secret@host:1/x"


scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)


@given(scalars | st.text(st.characters(exclude_categories=["Cs"])))
def test_written_values_read_back(value):
    read = values(f"k: {written_value(value)}\n")["k"]
    assert (type(read), read) == (type(value), value)


@given(st.text())
def test_any_text_gives_entries_or_faults_with_a_place(text):
    _, faults = read_document(text, "f.yaml")
    assert all(fault.where.startswith("f.yaml:") for fault in faults)
