"""Targets of the user's own files that are no labels: what they become, by hand, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedchunk.orchestrator.core.errors import ConfigError, DataError
from fedchunk.orchestrator.learning.data.dataset import LoadedDataset
from fedchunk.orchestrator.learning.data.load import load_dataset
from fedchunk.orchestrator.learning.data.look import labels_alone, look
from fedchunk.orchestrator.run import load_settings
from fedchunk.orchestrator.settings.whole import Settings

X = np.arange(24, dtype=np.float32).reshape(12, 2)
NUMBERS = np.linspace(-1, 4, 12)
FLAGS = (np.arange(36).reshape(12, 3) % 5 == 0).astype(np.uint8)
TOKENS = np.arange(48).reshape(12, 4) % 7
COLUMNS = {"a": X[:, 0], "b": NUMBERS, "c": NUMBERS * 2, "d": FLAGS[:, 0] == 1, "e": FLAGS[:, 1], "f": FLAGS[:, 2]}


def settings_of(folder: Path, kind: str, task: str, **options: Any) -> Settings:
    model = {"model_type": "lstm"} if task == "language_model" else {}
    given = {"dataset_type": kind, "task": task, "data_dir": str(folder), "dataset_options": options}
    return load_settings({**given, **model, "number_of_clients": 2})


def loaded(folder: Path, kind: str, task: str, **options: Any) -> LoadedDataset:
    """The data set; what is known of it without its samples is held to it."""
    settings = settings_of(folder, kind, task, **options)
    data, known = load_dataset(settings), labels_alone(settings)
    assert known is not None
    np.testing.assert_array_equal(np.asarray(known.train_y, data.train_y.dtype), data.train_y)
    return data


def test_a_column_of_numbers_is_taken_as_it_is_and_is_no_feature(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": COLUMNS["a"], "b": NUMBERS}), tmp_path / "t.parquet")
    data = loaded(tmp_path, "table", "regression", file="t.parquet", target_column="b", test_share=0.25)

    assert (data.train_y.dtype, data.train_y.shape, data.test_y.shape) == (np.float32, (9,), (3,))
    both = np.sort(np.concatenate([data.train_y, data.test_y]))
    np.testing.assert_array_equal(both, NUMBERS.astype(np.float32))
    assert (data.input_shape, data.num_classes) == ((1,), 1)


def test_columns_are_in_the_order_in_which_they_are_named_and_a_list_is_several(tmp_path: Path) -> None:
    pq.write_table(pa.table({**COLUMNS, "l": np.stack([NUMBERS, X[:, 1]], axis=1).tolist()}), tmp_path / "t.pq")
    pq.write_table(pa.table({**COLUMNS, "l": [[7.0, 8.0]] * 12}), tmp_path / "e.pq")
    files = {"file": "t.pq", "test_file": "e.pq", "feature_columns": ["a"]}
    data = loaded(tmp_path, "table", "regression", **files, target_column=["c", "l", "b"])

    expected = np.stack([NUMBERS * 2, NUMBERS, X[:, 1], NUMBERS], axis=1).astype(np.float32)
    np.testing.assert_array_equal(data.train_y, expected)
    np.testing.assert_array_equal(data.test_y[:, 1:3], np.full((12, 2), [7, 8], np.float32))
    assert data.num_classes == 4


@pytest.mark.parametrize("names", [["d", "e", "f"], ["d"]])
def test_flags_are_true_and_false_or_0_and_1_also_of_one_column(tmp_path: Path, names: list[str]) -> None:
    pq.write_table(pa.table({**COLUMNS, "s": ["train", "test"] * 6}), tmp_path / "t.pq")
    options = {"file": "t.pq", "test_column": "s", "feature_columns": ["a"]}
    data = loaded(tmp_path, "table", "multilabel", **options, target_column=names)

    np.testing.assert_array_equal(data.train_y, FLAGS[::2, : len(names)])
    np.testing.assert_array_equal(data.test_y, FLAGS[1::2, : len(names)])
    assert data.num_classes == len(names)


@pytest.mark.parametrize(
    ("task", "y", "outputs"),
    [("regression", NUMBERS, 1), ("regression", X, 2), ("multilabel", FLAGS, 3), ("language_model", TOKENS, 7)],
    ids=["numbers", "several", "flags", "tokens"],
)
def test_arrays_have_the_shapes_that_the_task_takes(tmp_path: Path, task: str, y: np.ndarray, outputs: int) -> None:
    x = TOKENS if task == "language_model" else X
    np.savez(tmp_path / "own.npz", train_x=x, train_y=y, test_x=x[:4], test_y=y[:4], clients=np.arange(12) % 2)
    np.savez(tmp_path / "share.npz", train_x=x, train_y=y)
    own = loaded(tmp_path, "arrays", task, file="own.npz")
    share = loaded(tmp_path, "arrays", task, file="share.npz", test_share=0.25, test_seed=1)

    np.testing.assert_array_equal(own.train_y, y.astype(own.train_y.dtype))
    np.testing.assert_array_equal(own.test_y, own.train_y[:4])
    assert own.num_classes == outputs
    assert (len(share.train_y), len(share.test_y)) == (9, 3)
    rows = {tuple(np.ravel(one)) for part in (share.train_y, share.test_y) for one in part}
    assert rows == {tuple(np.ravel(one)) for one in own.train_y}


def test_the_split_is_looked_at_without_samples(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n" + "text,0.5\n" * 12)
    (tmp_path / "s.csv").write_text("client,sample\n0,1\n1,99\n")
    settings = settings_of(tmp_path, "table", "regression", file="t.csv", target_column="y")
    look(settings)
    split = {"data_distribution_kind": "file", "partition_options": {"partition_file": "s.csv"}}
    with pytest.raises(ConfigError, match="unknown sample 99 in row 2"):
        look(settings.model_copy(update={"data": settings.data.model_copy(update=split)}))


def rows(line: str = "") -> str:
    return "a,y,z\n" + "".join(f"{row},{row / 4},{row % 2}\n" for row in range(1, 12)) + line


ONE, TWO = {"target_column": "y"}, {"target_column": ["y", "z"]}
WRONG: list[tuple[str, str, str, Any, dict[str, Any], str]] = [
    ("missing", "table", "regression", rows("3,,0\n"), ONE, r"t\.csv: row 12, column 'y': a value is missing"),
    ("text among numbers", "table", "regression", rows("3,x,0\n"), ONE, r"t\.csv: row 12, column 'y': got 'x'; target"),
    ("text", "table", "regression", rows().replace("y", "q").replace("a,", "y,").replace("1,", "one,", 1), ONE,
     r"t\.csv: row 1, column 'y': got 'one'; targets of this task are numbers"),
    ("infinite", "table", "regression", rows("3,-inf,0\n"), TWO, r"t\.csv: row 12, column 'y': got -inf"),
    ("times", "table", "regression", "a,y\n" + "1,2024-01-01\n" * 12, ONE, r"column 'y': has values of type date32"),
    ("quoted numbers", "table", "regression", pa.table({"a": X[:, 0], "y": list("12") * 6}), ONE,
     r"column 'y': holds numbers as text, such as '1'"),
    ("no flag", "table", "multilabel", rows("3,0,2\n").replace(".", "0"), {"target_column": ["z"]},
     r"t\.csv: row 12, column 'z': got 2; each is 0 or 1"),
    ("no column", "table", "regression", rows(), {"target_column": ["y", "zz"]}, r"there is no column 'zz' \(did you"),
    ("a target among features", "table", "regression", rows(), {**TWO, "feature_columns": ["a", "z"]},
     r"'z' is the target_column"),
    ("twice", "table", "regression", rows(), {"target_column": ["y", "y"]}, r"target_column: got y, y; name each"),
    ("several labels", "table", "classification", rows(), TWO, r"target_column: got y, z, but the task takes one"),
    ("tokens in a table", "table", "language_model", rows(), ONE, r"got a table with a task of tokens"),
    ("labels beside numbers", "table", "regression", rows(), {**ONE, "num_classes": 3}, r"a sample has 1 targets"),
    ("too few for a share", "table", "regression", "a,y\n1,2\n2,3\n", ONE, r"t\.csv: 2 samples are too few"),
    ("nan", "arrays", "regression", {"train_y": np.where(NUMBERS > 3, np.nan, NUMBERS)}, {},
     r"x\.npz: train_y\[9\]: is nan"),
    ("three axes", "arrays", "regression", {"train_y": np.zeros((12, 2, 2))}, {}, r"train_y: has shape \(12, 2, 2\)"),
    ("words", "arrays", "regression", {"train_y": np.array(["a", "b"] * 6)}, {}, r"train_y: is of type <U1"),
    ("no flag in an array", "arrays", "multilabel", {"train_y": np.where(TOKENS == 6, 2, 1)}, {},
     r"x\.npz: train_y\[1, 2\]: is 2; each is 0 or 1"),
    ("flags of one axis", "arrays", "multilabel", {"train_y": FLAGS[:, 0]}, {}, r"train_y: has shape \(12,\); wanted"),
    ("a negative token", "arrays", "language_model", {"train_x": TOKENS, "train_y": TOKENS - 1}, {},
     r"x\.npz: train_y\[0, 0\]: is -1; tokens are whole numbers"),
    ("tokens with fractions", "arrays", "language_model", {"train_x": TOKENS, "train_y": TOKENS / 2}, {},
     r"x\.npz: train_y: is of type float64; tokens"),
    ("unequal lengths", "arrays", "regression", {"train_y": NUMBERS[:5]}, {}, r"train_x has 12 samples, train_y 5"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "task", "content", "options", "message"), [one[1:] for one in WRONG],
                         ids=[one[0] for one in WRONG])  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(
    tmp_path: Path, kind: str, task: str, content: Any, options: dict[str, Any], message: str
) -> None:
    if isinstance(content, str):
        (tmp_path / "t.csv").write_text(content)
    elif isinstance(content, pa.Table):
        pq.write_table(content, tmp_path / "t.pq")
    else:
        np.savez(tmp_path / "x.npz", **{"train_x": X, **content})
    name = {str: "t.csv", dict: "x.npz"}.get(type(content), "t.pq")
    with pytest.raises((DataError, ConfigError), match=message):
        load_dataset(settings_of(tmp_path, kind, task, file=name, **options))
