"""A column of text whose rows are samples: tokens of a fixed length, by hand, of a table and of a saved data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fedchunk
from fedchunk.orchestrator.core.errors import FedchunkError
from fedchunk.orchestrator.learning.data.dataset import LoadedDataset
from fedchunk.orchestrator.learning.data.load import load_dataset
from fedchunk.orchestrator.learning.data.look import labels_alone

ROWS = [
    ("ann", "spam", "ab"), ("bob", "ham", "cdefgh"), ("ann", "ham", "i"), ("cy", "spam", "\u00fcber"),
    ("bob", "spam", "xyz"), ("cy", "ham", "w"),
]  # fmt: skip
NONE = -1


def loaded(at: Path, kind: str = "table", more: dict[str, Any] | None = None, **options: Any) -> LoadedDataset:
    options = {"target_column": "label", "text_column": "text", "client_column": "who", "length": 4, **options}
    given = {"dataset_type": kind, "data_dir": str(at), "dataset_options": options, **(more or {})}
    settings = fedchunk.load_settings(given)
    data, known = load_dataset(settings), labels_alone(settings)
    assert known is not None
    np.testing.assert_array_equal(known.train_y, data.train_y)
    return data


def write(file: Path, rows: list[tuple[str, str, str]]) -> None:
    file.write_text("\n".join(["who,label,text", *(",".join(row) for row in rows)]), encoding="utf-8")


def test_texts_are_cut_and_filled_to_one_length(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", ROWS[:4])
    write(tmp_path / "test.csv", ROWS[4:])
    data = loaded(tmp_path, file="train.csv", test_file="test.csv")
    assert data.train_x.tolist() == [
        [97, 98, NONE, NONE], [99, 100, 101, 102], [105, NONE, NONE, NONE], [0xC3, 0xBC, 98, 101],
    ]  # fmt: skip
    assert data.test_x.tolist() == [[120, 121, 122, NONE], [119, NONE, NONE, NONE]]
    assert (data.train_y.tolist(), data.test_y.tolist(), data.num_classes) == ([1, 0, 0, 1], [1, 0], 2)
    assert data.clients_S is not None
    assert data.clients_S.tolist() == ["ann", "bob", "ann", "cy"]
    assert (data.train_x.dtype, data.scale) == (np.int64, None)


@given(
    texts=st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)), min_size=1), min_size=6),
    length=st.integers(1, 6),
)
def test_what_stands_in_a_sample_is_the_beginning_of_its_text(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], length: int
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("texts")
    columns = {
        "text": texts,
        "label": [0] * len(texts),
        "who": [0] * len(texts),
        "part": [0, 1] + [0] * (len(texts) - 2),
    }
    pq.write_table(pa.table(columns), folder / "all.parquet")
    data = loaded(folder, file="all.parquet", length=length, test_column="part")
    trained = [text.encode() for place, text in enumerate(texts) if place != 1]
    for tokens_T, text in zip(data.train_x, trained, strict=True):
        there_T = tokens_T != NONE
        assert bytes(tokens_T[there_T].astype(np.uint8)) == text[:length]
        assert there_T.tolist() == sorted(there_T.tolist(), reverse=True)  # what is filled lies behind


def test_a_saved_data_set_gives_the_same(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = ROWS * 5
    write(tmp_path / "all.csv", rows)
    columns = {name: [row[place] for row in rows] for place, name in enumerate(("who", "label", "text"))}
    datasets.Dataset.from_dict(columns).save_to_disk(tmp_path / "saved")
    one, other = loaded(tmp_path, file="all.csv"), loaded(tmp_path, "huggingface", folder="saved")
    for name in ("train_x", "train_y", "test_x", "test_y", "clients_S"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_a_tokenizer_of_ones_own_need_not_keep_each_byte_where_nothing_counts_them(tmp_path: Path) -> None:
    write(tmp_path / "all.csv", ROWS * 5)
    (tmp_path / "mine.py").write_text(
        "class Short:\n    token_bytes = [1, 1, 1]\n"
        "    def encode(self, document):\n        return [0, min(len(document), 2)]\n"
    )
    data = loaded(tmp_path, file="all.csv", more={"tokenizer": f"{tmp_path / 'mine.py'}:Short"})
    assert {tuple(row) for row in data.train_x.tolist()} == {(0, 1, NONE, NONE), (0, 2, NONE, NONE)}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"file": "empty.csv"}, "empty.csv: row 2, column 'text': the text has no token"),
        ({"file": "missing.csv"}, "missing.csv: row 2, column 'text': a value is missing"),
        ({"file": "numbers.csv"}, r"numbers.csv: column 'text': has values of type int64.*text is wanted"),
        ({"text_column": "txet"}, r"there is no column 'txet' \(did you mean text\?\) \(text_column\)"),
        ({"text_column": "label"}, "text_column: 'label' is the target_column"),
        ({"feature_columns": ["who"]}, r"feature_columns: got \['who'\] beside text_column"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    for name, second in (("all", "cd"), ("empty", '""'), ("missing", ""), ("numbers", "7")):
        text = "7" if name == "numbers" else "ab"
        rows = [("ann", "x", text if place != 1 else second) for place in range(8)]
        write(tmp_path / f"{name}.csv", [(who, "xy"[place % 2], text) for place, (who, _, text) in enumerate(rows)])
    with pytest.raises(FedchunkError, match=said):
        loaded(tmp_path, **{"file": "all.csv", **options})
