"""Files that are not what they should be, of every source and of splits: each is named, with row, column or place."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from safetensors.numpy import save_file

from fedchunk.orchestrator.core.errors import ConfigError, DataError
from fedchunk.orchestrator.learning.data.load import load_dataset
from fedchunk.orchestrator.learning.data.look import look
from fedchunk.orchestrator.learning.partition import partition
from fedchunk.orchestrator.run import load_settings

X = np.arange(24, dtype=np.float32).reshape(12, 2)
Y = np.arange(12) % 2
GOOD = {"train_x": X, "train_y": Y, "test_x": X[:4], "test_y": Y[:4]}


def png(side: int = 4, mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (side, side), 7).save(file, "png")
    return file.getvalue()


def rows(*changed: tuple[int, str], head: str = "a,b,y") -> str:
    """Twelve rows of CSV, some of them replaced (counted from 1)."""
    lines = [f"{row},{row / 3:.2f},{row % 2}" for row in range(12)]
    for row, line in changed:
        lines[row - 1] = line
    return "\n".join([head, *lines, ""])


def leaf(**changed: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "users": ["u0", "u1"],
        "num_samples": [2, 2],
        "user_data": {user: {"x": [[1, 2], [3, 4]], "y": [0, 1]} for user in ("u0", "u1")},
    }
    return content | changed


def user_data(**u1: Any) -> dict[str, Any]:
    good = leaf()["user_data"]
    return good | {"u1": good["u1"] | u1}


def write(folder: Path, name: str, content: Any) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        path.mkdir(exist_ok=True)
    elif isinstance(content, pa.Table):
        pq.write_table(content, path)
    elif isinstance(content, np.ndarray):
        np.save(path, content)
    elif name.endswith(".npz") and isinstance(content, dict):
        np.savez(path, **content)
    elif name.endswith(".safetensors") and isinstance(content, dict):
        save_file(content, path)
    elif isinstance(content, dict | list):
        path.write_text(json.dumps(content))
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


PICTURES = {"train/a/1.png": png(), "train/a/2.png": png(), "train/b/3.png": png(), "test/a/1.png": png()}
A_TABLE = {"file": "t.csv", "target_column": "y"}
NPZ = {"file": "x.npz"}
FOLDER_CASES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("a folder that is not there", {}, {"folder": "gone"}, r"/gone: there is no such folder"),
    ("no class at all", {"train": None, "test": None}, {}, r"train: has no folder for each class"),
    ("an empty class", {**PICTURES, "train/c": None}, {}, r"train/c: the class has no picture"),
    ("no picture in a class", {**PICTURES, "train/c/notes.txt": "x"}, {}, r"train/c: the class has no picture"),
    ("an empty class of the test", {**PICTURES, "test/b": None}, {}, r"test/b: the class has no picture"),
    ("a class that is only tested", {**PICTURES, "test/c/1.png": png()}, {}, r"test/c: there is no class 'c' to train"),
    ("test without train", {"test/a/1.png": png()}, {}, r"has a folder test, but no folder train"),
    ("a picture in no class", {**PICTURES, "train/9.png": png()}, {}, r"train/9\.png: lies in no class"),
    ("a truncated picture", {**PICTURES, "train/b/4.png": png(60)[:-40]}, {}, r"train/b/4\.png: cannot be read as a"),
    ("no picture inside", {**PICTURES, "train/b/4.png": "hello"}, {}, r"train/b/4\.png: cannot be read as a picture"),
    ("an empty picture", {**PICTURES, "train/b/4.jpg": b""}, {}, r"train/b/4\.jpg: cannot be read as a picture"),
    ("another size", {**PICTURES, "train/b/4.png": png(5)}, {},
     r"train/a/1\.png: 4 x 4 pixels, grey; .*train/b/4\.png: 5 x 5 pixels, grey; set size \(such as size: 4\)"),
    ("another size in the test", {**PICTURES, "test/a/2.png": png(5)}, {}, r"test/a/2\.png: 5 x 5 pixels"),
    ("colour among grey", {**PICTURES, "train/b/4.png": png(4, "RGB")}, {},
     r"1\.png: 4 x 4 pixels, grey; .*4\.png: 4 x 4 pixels, colour; set channels \(such as channels: 3\)"),
    ("sixteen bits", {**PICTURES, "train/b/4.png": png(4, "I;16")}, {}, r"train/b/4\.png: has pixels of kind I;16"),
    ("a share beside a test set", PICTURES, {"test_share": 0.5}, r"test_share: got 0\.5, but the folder .*test is the"),
    ("too few for a share", {"a/1.png": png(), "b/1.png": png()}, {}, r"2 samples are too few for a test set"),
    ("a cache that cannot be written", {**PICTURES, "file": "x"}, {"cache_dir": "{folder}/file/in"},
     r"file/in: decoded pictures cannot be written"),
]  # fmt: skip
TABLE_CASES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("a file that is not there", {}, {}, r"/t\.csv: there is no such file; file names a file"),
    ("another kind of file", {"t.xlsx": "x"}, {"file": "t.xlsx"}, r"t\.xlsx: is no table that can be read"),
    ("an empty file", {"t.csv": ""}, {}, r"t\.csv: cannot be read as CSV: Empty CSV file"),
    ("no row", {"t.csv": "a,b,y\n"}, {}, r"t\.csv: has no row"),
    ("a wrong target column", {"t.csv": rows()}, {"target_column": "why"},
     r"t\.csv: there is no column 'why'.*a, b, y"),
    ("a wrong feature column", {"t.csv": rows()}, {"feature_columns": ["a", "bb"]}, r"no column 'bb' \(did you mean b"),
    ("a wrong client column", {"t.csv": rows()}, {"client_column": "who"}, r"there is no column 'who'"),
    ("the target among the features", {"t.csv": rows()}, {"feature_columns": ["a", "y"]}, r"'y' is the target_column"),
    ("a column twice", {"t.csv": rows(head="a,a,y")}, {}, r"t\.csv: has the column 'a' twice"),
    ("a short row", {"t.csv": rows((3, "1,2"))}, {}, r"t\.csv: cannot be read as CSV: .*Row #4.*Expected 3 columns"),
    ("a long row", {"t.csv": rows((3, "1,2,0,9"))}, {}, r"t\.csv: .*Row #4.*got 4"),
    ("a value that is missing", {"t.csv": rows((3, "1,,0"))}, {}, r"t\.csv: row 3, column 'b': a value is missing"),
    ("a label that is missing", {"t.csv": rows((12, "1,2,"))}, {}, r"t\.csv: row 12, column 'y': a value is missing"),
    ("nan", {"t.parquet": pa.table({"a": [1.0, float("nan"), 3.0] * 4, "y": Y})}, {"file": "t.parquet"},
     r"t\.parquet: row 2, column 'a': got nan"),
    ("infinite", {"t.csv": rows((5, "1,-inf,0"))}, {}, r"t\.csv: row 5, column 'b': got -inf"),
    ("beyond float32", {"t.csv": rows((5, "1,1e300,0"))}, {}, r"t\.csv: row 5, column 'b': got 1e\+300"),
    ("text where a number was expected", {"t.csv": rows((7, "seven,1,0"))}, {},
     r"t\.csv: row 7, column 'a': got 'seven' where most values are numbers"),
    ("numbers as text", {"t.pq": pa.table({"a": list("12") * 6, "y": Y})}, {"file": "t.pq"},
     r"t\.pq: column 'a': holds numbers as text, such as '1'"),
    ("mixed types far down", {"t.csv": "a,y\n" + "1,0\n2,1\n" * 300_000 + "x,1\n"}, {},
     r"t\.csv: row 600,001, column 'a': got 'x' where most values are numbers"),
    ("another encoding", {"t.csv": rows((4, "1,grün,0")).encode("latin-1")}, {},
     r"t\.csv: row 4, column 'b': the byte 0xfc is not UTF-8"),
    ("another encoding of the names", {"t.csv": rows(head="ä,b,y").encode("latin-1")}, {},
     r"t\.csv: the names of the columns are not UTF-8"),
    ("a label with a fraction", {"t.csv": rows((2, "1,2,0.5"))}, {},
     r"row 2, column 'y': got the label 0\.5; labels are"),
    ("a negative label", {"t.csv": rows((2, "1,2,-1"))}, {}, r"row 2, column 'y': got the label -1"),
    ("a label beyond num_classes", {"t.csv": rows((2, "1,2,5"))}, {"num_classes": 2}, r"row 2, column 'y': .*0 to 1"),
    ("labels that are times", {"t.csv": "a,y\n1,2020-01-01\n2,2020-01-02\n"}, {},
     r"column 'y': has values of type date"),
    ("features that are times", {"t.csv": "a,y\n" + "2020-01-01,0\n" * 6}, {}, r"column 'a': has values of type date"),
    ("a class that is only tested", {"t.csv": "a,y\n1,u\n2,v\n3,u\n", "e.csv": "a,y\n1,u\n2,w\n"},
     {"test_file": "e.csv"},
     r"e\.csv: row 2, column 'y': got 'w', which no training row has; they have u, v"),
    ("a test file without a column", {"t.csv": rows(), "e.csv": "a,y\n1,0\n"}, {"test_file": "e.csv"},
     r"e\.csv: there is no column 'b'"),
    ("a test file of other types", {"t.csv": rows(), "e.csv": "a,b,y\n1,u,0\n"}, {"test_file": "e.csv"},
     r"e\.csv: column 'b' has text, in .*t\.csv it has numbers"),
    ("a test column with other words", {"t.csv": rows()}, {"test_column": "a"},
     r"row 3, column 'a': got 2; allowed: train"),
    ("a test column of train alone", {"t.csv": "a,s,y\n1,0,0\n2,0,1\n"}, {"test_column": "s"},
     r"'s': says train of all"),
    ("two test sets", {"t.csv": rows()}, {"test_column": "a", "test_share": 0.3}, r"got test_share and test_column"),
    ("a client that is missing", {"t.csv": "a,c,y\n" + "1,u,0\n" * 3 + "2,,1\n"}, {"client_column": "c"},
     r"row 4, column 'c': a value is missing"),
    ("clients with fractions", {"t.csv": rows()}, {"client_column": "b"}, r"column 'b': has values of type double"),
    ("a name for each row", {"t.csv": "a,y\n" + "".join(f"name {row},0\n" for row in range(1500))}, {},
     r"column 'a': has 1,\d+ different texts"),
    ("lists of several lengths", {"t.pq": pa.table({"a": [[1, 2], [3]] * 6, "y": Y})}, {"file": "t.pq"},
     r"t\.pq: row 2, column 'a': holds 1 values, row 1 2"),
    ("pixels out of range", {"t.csv": rows((9, "300,2,0"))}, {"pixels": [1, 1, 2], "feature_columns": ["a", "b"]},
     r"row 9, column 'a': got 300; pixels are whole numbers from 0 to 255"),
    ("pixels of another shape", {"t.csv": "a,b,y\n" + "1,2,0\n2,3,1\n" * 6}, {"pixels": [1, 2, 2]},
     r"t\.csv: a row has 2 pixels, but images of \[1, 2, 2\] have 4"),
    ("damaged Parquet", {"t.parquet": "PAR1 and no more"}, {"file": "t.parquet"},
     r"t\.parquet: cannot be read as Parquet"),
]  # fmt: skip
ARRAY_CASES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("a file that is not there", {}, NPZ, r"/x\.npz: is not there"),
    ("another kind of file", {"x.bin": "x"}, {"file": "x.bin"}, r"x\.bin: is no file of arrays"),
    ("no zip", {"x.npz": b"PK no"}, NPZ, r"x\.npz: cannot be read as \.npz"),
    ("an array that is missing", {"x.npz": {"train_x": X, "test_x": X}}, NPZ, r"x\.npz: has no train_y; it has test_x"),
    ("objects", {"x.npz": GOOD | {"train_y": np.array([0, None] * 6, object)}}, NPZ,
     r"x\.npz: train_y: cannot be read"),
    ("an empty array", {"x.npz": GOOD | {"test_x": X[:0]}}, NPZ, r"x\.npz: test_x: is empty"),
    ("unequal lengths", {"x.npz": GOOD | {"train_y": Y[:5]}}, NPZ, r"train_x has 12 samples, train_y 5"),
    ("unequal samples", {"x.npz": GOOD | {"test_x": X[:4, :1]}}, NPZ, r"shape \(2,\) in float32, test_x of \(1,\)"),
    ("nan", {"x.npz": GOOD | {"train_x": np.where(X == 13, np.nan, X)}}, NPZ, r"x\.npz: train_x\[6, 1\]: is nan"),
    ("text", {"x.npz": GOOD | {"train_x": X.astype(str)}}, NPZ, r"x\.npz: train_x: is of type <U"),
    ("a negative label", {"x.npz": GOOD | {"test_y": Y[:4] - 1}}, NPZ, r"x\.npz: test_y\[0\]: got the label -1"),
    ("labels in a table", {"x.npz": GOOD | {"train_y": X}}, NPZ, r"train_y: has shape \(12, 2\)"),
    ("clients for others", {"x.npz": GOOD | {"clients": Y[:3]}}, NPZ, r"clients has 3 samples, train_y 12"),
    ("clients with fractions", {"x.npz": GOOD | {"clients": Y / 2}}, NPZ, r"x\.npz: clients: is float64"),
    ("no array in the folder", {"d": None}, {"file": "d"}, r"d: has no \.npy file"),
    ("a damaged array", {"d/train_x.npy": X, "d/train_y.npy": b"\x93NUMPY"}, {"file": "d"},
     r"train_y\.npy: train_y: can"),
    ("infinite, in a folder", {"d/train_x.npy": np.full((12, 2), np.inf),
                               "d/train_y.npy": Y}, {"file": "d"}, r"train_x\.npy: train_x\[0, 0\]: is inf"),
    ("damaged safetensors", {"x.safetensors": b"\x09" + bytes(20)}, {"file": "x.safetensors"}, r"read as safetensors"),
    ("unknown labels, in safetensors", {"x.safetensors": {"train_x": X, "train_y": Y.astype(np.int8) - 3}},
     {"file": "x.safetensors"}, r"x\.safetensors: train_y\[0\]: got the label -3"),
]  # fmt: skip
A_LEAF = {"train": "l.json"}
TESTED = {"train": "l.json", "test": "l.json"}
LEAF_CASES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("a file that is not there", {}, A_LEAF, r"/l\.json: cannot be read: No such file"),
    ("no JSON", {"l.json": '{"users": [\n,'}, A_LEAF, r"l\.json: line 2, column 1: is no JSON"),
    ("another encoding", {"l.json": '{"ü": 1}'.encode("latin-1")}, A_LEAF, r"l\.json: the byte 0xfc is not UTF-8"),
    ("another JSON", {"l.json": {"a": 1}}, A_LEAF, r"l\.json: is not LEAF's JSON.*it has a"),
    ("no file in the folder", {"train": None}, {}, r"train: has no \.json file"),
    ("a user without data", {"l.json": leaf(users=["u0", "u1", "u2"], num_samples=[2, 2, 2])}, A_LEAF,
     r"l\.json: user 'u2': user_data has no lists x and y"),
    ("an unknown user", {"l.json": leaf(users=["u0"], num_samples=[2])}, A_LEAF,
     r"has the user 'u1', who is not in users"),
    ("an empty user", {"l.json": leaf(user_data=user_data(x=[], y=[]))}, A_LEAF, r"user 'u1': has no sample"),
    ("a wrong number", {"l.json": leaf(num_samples=[2, 3])}, A_LEAF, r"user 'u1': num_samples says 3, user_data has 2"),
    ("more samples than labels", {"l.json": leaf(user_data=user_data(y=[0]))}, A_LEAF, r"'u1': x has 2 samples, y 1"),
    ("text", {"l.json": leaf(user_data=user_data(x=["to be", "or not"]))}, TESTED, r"user 'u1', x\[0\]: got 'to be'"),
    ("a short sample", {"l.json": leaf(user_data=user_data(x=[[1, 2], [3]]))}, TESTED,
     r"user 'u1', x\[1\]: got 1 values"),
    ("nan", {"l.json": leaf(user_data=user_data(x=[[1, 2], [3, float("nan")]]))}, TESTED, r"'u1', x\[1\]: holds nan"),
    ("a label that is none", {"l.json": leaf(user_data=user_data(y=[0, "one"]))}, A_LEAF, r"'u1', y\[1\]: got 'one'"),
    ("a user twice", {"train/a.json": leaf(), "train/b.json": leaf()}, {},
     r"b\.json: user 'u0': is in .*a\.json as well"),
    ("another shape", {"l.json": leaf()}, {**A_LEAF, "shape": [1, 2, 2]},
     r"'u0', x\[0\]: has 2 numbers, but .* have 4"),
]  # fmt: skip
CASES = [
    pytest.param(kind, *case[1:], id=f"{kind}: {case[0]}")
    for kind, cases in (
        ("imagefolder", FOLDER_CASES), ("table", TABLE_CASES), ("arrays", ARRAY_CASES), ("leaf", LEAF_CASES),
    )
    for case in cases
]  # fmt: skip


@pytest.mark.parametrize(("kind", "files", "options", "message"), CASES)
def test_a_bad_file_is_named_with_its_place(
    tmp_path: Path, kind: str, files: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    for name, content in files.items():
        write(tmp_path, name, content)
    defaults = {"imagefolder": {"cache_dir": str(tmp_path / "cache")}, "table": A_TABLE}.get(kind, {})
    given = {key: value.format(folder=tmp_path) if isinstance(value, str) else value for key, value in options.items()}
    settings = load_settings({"dataset_type": kind, "data_dir": str(tmp_path), "dataset_options": defaults | given})
    with pytest.raises((DataError, ConfigError), match=message):
        load_dataset(settings)


CSV = "client,sample\n0,0\n0,1\n1,2\n1,3\n"
SPLIT_CASES: list[tuple[str, str, Any, str]] = [
    ("not there", "gone.csv", None, r"/gone\.csv: (there is no such file|is a folder)"),
    ("a column is missing", "s.csv", "who,sample\n0,1\n", r"s\.csv: there is no column 'client'.*it has who, sample"),
    ("an overlap", "s.csv", CSV + "1,1\n", r"overlaps: sample 1 of client 0 \(row 2\) is also client 1's \(row 5\)"),
    ("a sample twice for one", "s.csv", CSV + "1,3\n", r"overlaps: sample 3 of client 1 \(row 4\) is also client 1's"),
    ("an unknown sample", "s.csv", CSV + "1,1438\n", r"unknown sample 1438 in row 5; training samples are 0 to 1437"),
    ("a negative sample", "s.csv", CSV + "1,-1\n", r"unknown sample -1 in row 5"),
    ("an unknown client", "s.csv", CSV + "2,9\n", r"unknown client 2 in row 5; clients are 0 to 1"),
    ("an empty client", "s.csv", "client,sample\n0,1\n", r"client 1 of 2 without a sample"),
    ("a sample that is text", "s.csv", CSV + "1,x\n", r"s\.csv: row 5, column 'sample': got 'x'; samples are whole"),
    ("a sample with a fraction", "s.csv", CSV + "1,0.5\n", r"column 'sample': has values of type double"),
    ("a sample that is missing", "s.csv", CSV + "1,\n", r"s\.csv: row 5, column 'sample': a value is missing"),
    ("too many names", "s.csv", "client,sample\na,0\nb,1\nc,2\n",
     r"names 3 clients \(a, b, c\), but number_of_clients is 2"),
    ("too few names", "s.csv", "client,sample\na,0\na,1\n", r"names 1 clients, but number_of_clients is 2"),
    ("damaged", "s.parquet", "no", r"s\.parquet: cannot be read as Parquet"),
    ("another kind", "s.txt", CSV, r"s\.txt: is no table that can be read"),
    ("no JSON", "s.json", "{", r"s\.json: line 1, column 2: is no JSON"),
    ("JSON that says nothing", "s.json", [], r"s\.json: says nothing"),
    ("no list", "s.json", {"0": 1}, r"s\.json: client '0': got 1; a list of samples"),
    ("no number", "s.json", {"0": [0], "1": [1, "x"]}, r"s\.json: client '1', entry 1: got the sample 'x'"),
    ("an overlap in JSON", "s.json", {"0": [0, 1], "1": [1]},
     r"sample 1 of client 0 \(the list of 0\) is also client 1"),
    ("an empty list", "s.json", {"0": [0], "1": []}, r"client 1 of 2 without a sample"),
    ("a record without client", "s.json", [{"client": 0, "sample": 0}, {"sample": 1}], r"entry 1: got {'sample': 1}"),
    ("records of several kinds", "s.json", [{"client": 0, "sample": 0}, {"client": "1", "sample": 1}],
     r"client '1'; cl"),
    ("LEAF with a wrong number", "s.json", leaf(num_samples=[1, 2]), r"s\.json: user 'u0': num_samples says 1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), [pytest.param(*c[1:], id=c[0]) for c in SPLIT_CASES])
def test_a_bad_split_is_found_without_loading_anything(tmp_path: Path, name: str, content: Any, message: str) -> None:
    write(tmp_path, name, content)
    settings = load_settings(
        {"data_distribution_kind": "file", "partition_options": {"partition_file": name}, "number_of_clients": 2,
         "data_dir": str(tmp_path)}
    )  # fmt: skip
    with pytest.raises((DataError, ConfigError), match=message):
        look(settings)


def test_all_that_is_wrong_with_a_split_is_said_at_once(tmp_path: Path) -> None:
    write(tmp_path, "s.csv", "client,sample\n0,0\n0,0\n7,1\n0,5000\n")
    settings = load_settings(
        {"data_distribution_kind": "file", "partition_options": {"partition_file": "s.csv"}, "number_of_clients": 2,
         "data_dir": str(tmp_path)}
    )  # fmt: skip
    data = load_dataset(settings)
    with pytest.raises(ConfigError) as caught:
        partition(data.train_y, data.clients_S, data.num_classes, settings)
    said = [fault.message.partition(": ")[2] for fault in caught.value.faults]
    assert [text.split(" ")[0] for text in said] == ["unknown", "unknown", "overlaps:", "client"]
