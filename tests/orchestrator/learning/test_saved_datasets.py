"""Folders that Hugging Face's datasets saved: what they become is what the same data are in other forms."""

from __future__ import annotations

import json
import mmap
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fedchunk
from fedchunk.orchestrator.core.errors import ConfigError, DataError, FedchunkError
from fedchunk.orchestrator.learning.data.dataset import LoadedDataset
from fedchunk.orchestrator.learning.data.load import load_dataset
from fedchunk.orchestrator.learning.data.look import labels_alone
from fedchunk.orchestrator.learning.data.pictures import Decoder

datasets = pytest.importorskip("datasets")
datasets.disable_progress_bars()
RNG = np.random.default_rng(3)
SHOPS = [f"shop {row % 3}" for row in range(24)]
LABELS = [row % 2 for row in range(24)]
X: dict[str, Any] = {"feature_columns": ["x"], "test_share": 0.5}
TABLE: dict[str, list[Any]] = {
    "size": [row / 7 for row in range(24)], "kind": ["ab"[row % 5 % 2] for row in range(24)], "shop": SHOPS,
    "label": LABELS,
}  # fmt: skip
PIXELS = RNG.integers(0, 255, (24, 1, 3, 4)).astype(np.uint8)


def loaded(at: Path, kind: str = "huggingface", **options: Any) -> LoadedDataset:
    """The data set; what is known of it without its samples is held to it."""
    settings = fedchunk.load_settings({"dataset_type": kind, "data_dir": str(at), "dataset_options": options})
    data, known = load_dataset(settings), labels_alone(settings)
    assert known is not None
    np.testing.assert_array_equal(known.train_y, data.train_y)
    assert known.num_classes == data.num_classes
    return data


def same(one: LoadedDataset, other: LoadedDataset) -> None:
    for name in ("train_x", "train_y", "test_x", "test_y"):
        here, there = getattr(one, name), getattr(other, name)
        assert here.dtype == there.dtype
        np.testing.assert_array_equal(here, there)
    assert one.num_classes == other.num_classes
    assert (one.clients_S is None) == (other.clients_S is None)
    if one.clients_S is not None and other.clients_S is not None:
        np.testing.assert_array_equal(one.clients_S, other.clients_S)


def is_mapped(x: Any) -> bool:
    while isinstance(x, np.ndarray):
        x = x.base
    return isinstance(x, mmap.mmap)


def as_csv(file: Path, columns: dict[str, list[Any]]) -> None:
    rows = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    file.write_text("\n".join([",".join(columns), *rows]))


def test_columns_are_what_a_table_of_them_is(tmp_path: Path) -> None:
    datasets.Dataset.from_dict(TABLE).save_to_disk(tmp_path / "saved", num_shards=3)
    as_csv(tmp_path / "rows.csv", TABLE)
    options = {"target_column": "label", "client_column": "shop", "test_share": 0.3, "test_seed": 5}
    ours = loaded(tmp_path, folder="saved", **options)
    same(ours, loaded(tmp_path, "table", file="rows.csv", **options))
    assert ours.train_x.shape[1] == 3  # the size, and a value for each of two kinds


def test_splits_are_the_test_set_and_names_of_labels_count(tmp_path: Path) -> None:
    named = datasets.Dataset.from_dict(TABLE).cast_column("label", datasets.ClassLabel(names=["no", "yes", "never"]))
    parts = {"train": named.select(range(16)), "test": named.select(range(16, 20)), "late": named.select(range(20, 24))}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    for part, rows in (("train", slice(16)), ("test", slice(16, 20)), ("late", slice(20, 24))):
        as_csv(tmp_path / f"{part}.csv", {name: values[rows] for name, values in TABLE.items()})
    of_both = {"target_column": "label", "client_column": "shop"}
    for options, train, test in (
        ({}, "train", "test"),
        ({"test_split": "late"}, "train", "late"),
        ({"train_split": "test", "test_split": "train"}, "test", "train"),
    ):
        file = {"file": f"{train}.csv", "test_file": f"{test}.csv", "num_classes": 3}
        same(loaded(tmp_path, folder="saved", **of_both, **options), loaded(tmp_path, "table", **file, **of_both))
    alone = loaded(tmp_path, folder="saved", train_split="late", test_split="test", num_classes=4, **of_both)
    assert alone.num_classes == 4
    by_share = loaded(tmp_path, folder="saved/train", test_share=0.25, **of_both)
    same(by_share, loaded(tmp_path, "table", file="train.csv", test_share=0.25, num_classes=3, **of_both))


@pytest.mark.parametrize(
    ("values", "feature"),
    [
        (PIXELS, datasets.Array3D((1, 3, 4), "uint8")),
        (PIXELS[:, 0] / np.float32(7), datasets.Array2D((3, 4), "float32")),
        (PIXELS[:, 0] / 7, datasets.List(datasets.List(datasets.Value("float64")))),
        (PIXELS[:, 0, 0].astype(np.int32), datasets.List(datasets.Value("int32"), length=4)),
        (PIXELS[:, 0, 0] > 99, datasets.List(datasets.Value("bool"))),
    ],
    ids=["images", "floats", "lists of lists", "whole numbers", "flags"],
)
@pytest.mark.parametrize("shards", [1, 3])
def test_one_column_of_lists_is_what_an_array_of_them_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: Any, feature: Any, shards: int
) -> None:
    monkeypatch.setattr(datasets.config, "DEFAULT_MAX_BATCH_SIZE", 5)  # pieces of a file
    features = datasets.Features({"x": feature, "y": datasets.Value("int8"), "who": datasets.Value("string")})
    saved = datasets.Dataset.from_dict({"x": list(values), "y": LABELS, "who": SHOPS}, features=features)
    saved.save_to_disk(tmp_path / "saved", num_shards=shards)
    np.savez(tmp_path / "all.npz", train_x=values, train_y=np.array(LABELS), clients=np.array(SHOPS))
    options = {"target_column": "y", "client_column": "who", "cache_dir": str(tmp_path / "cache")}
    ours = loaded(tmp_path, folder="saved", test_share=0.3, **options)
    same(ours, loaded(tmp_path, "arrays", file="all.npz", test_share=0.3))
    assert is_mapped(ours.train_x)
    assert is_mapped(ours.test_x)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    again = loaded(tmp_path, folder="saved", test_share=0.4, **options)  # other rows in another order: another file
    same(again, loaded(tmp_path, "arrays", file="all.npz", test_share=0.4))
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_the_library_that_saved_it_is_not_needed(tmp_path: Path) -> None:
    features = datasets.Features({"x": datasets.Array3D((1, 3, 4), "uint8"), "y": datasets.Value("int64")})
    saved = datasets.Dataset.from_dict({"x": list(PIXELS), "y": LABELS}, features=features)
    saved.save_to_disk(tmp_path / "saved")
    options = {"folder": "saved", "target_column": "y", "cache_dir": str(tmp_path / "cache")}
    settings = {"dataset_type": "huggingface", "data_dir": str(tmp_path), "dataset_options": options}
    script = (
        "import sys; sys.modules['datasets'] = None; import fedchunk\n"
        "from fedchunk.orchestrator.learning.data.load import load_dataset\n"
        f"data = load_dataset(fedchunk.load_settings({settings!r}))\n"
        "print(int(data.train_x.sum()) + int(data.test_x.sum()), data.train_x.dtype)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout.split() == [str(int(PIXELS.sum())), "uint8"], done.stderr


def with_pictures(folder: Path) -> None:
    """The same pictures as a data set in two splits, and in a folder for each class."""
    rows: dict[str, dict[str, list[Any]]] = {part: {"image": [], "label": []} for part in ("train", "test")}
    for place, pixels in enumerate(PIXELS[:, 0]):
        part, label = ("test" if place % 4 == 0 else "train"), place % 3
        file = folder / "pictures" / part / "abc"[label] / f"{place:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
        rows[part]["image"].append(str(file))
        rows[part]["label"].append(label)
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c"])})
    parts = {part: datasets.Dataset.from_dict(columns, features=features) for part, columns in rows.items()}
    datasets.DatasetDict(parts).save_to_disk(folder / "saved", num_shards={"train": 2, "test": 1})


def test_pictures_are_what_a_folder_of_them_is_and_are_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_pictures(tmp_path)
    cache = {"cache_dir": str(tmp_path / "cache")}
    for options in ({}, {"size": 5, "channels": 3}):
        ours = loaded(tmp_path, folder="saved", target_column="label", **options, **cache)
        same(ours, loaded(tmp_path, "imagefolder", folder="pictures", **options, **cache))
        assert is_mapped(ours.train_x)
        assert is_mapped(ours.test_x)
    monkeypatch.setattr(Decoder, "decoded", lambda self, file: pytest.fail(f"{file} is decoded again"))
    loaded(tmp_path, folder="saved", target_column="label", size=5, channels=3, **cache)


def test_a_picture_that_is_none_is_named_with_its_row(tmp_path: Path) -> None:
    png = next(iter(saved_bytes(tmp_path)))
    cases: list[tuple[Any, str]] = [
        ({"bytes": b"none", "path": None}, r"saved: row 3, column 'image': cannot be read as a picture"),
        (None, r"saved: row 3, column 'image': a picture is missing"),
    ]
    for number, (third, said) in enumerate(cases):
        folder = tmp_path / str(number)
        whole = {"bytes": png, "path": None}
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
        rows = {"image": [whole, whole, third, whole], "label": [0, 1, 0, 1]}
        datasets.Dataset.from_dict(rows, features=features).save_to_disk(folder / "saved")
        with pytest.raises(DataError, match=said):
            loaded(folder, folder="saved", target_column="label", test_share=0.5, cache_dir=str(folder / "cache"))


def saved_bytes(folder: Path) -> list[bytes]:
    Image.fromarray(PIXELS[0, 0]).save(folder / "one.png")
    return [(folder / "one.png").read_bytes()]


LANGUAGE = {"task": "language_model", "model_type": "lstm"}


def language(at: Path, kind: str = "huggingface", **options: Any) -> LoadedDataset:
    values = {**LANGUAGE, "dataset_type": kind, "data_dir": str(at), "dataset_options": options}
    settings = fedchunk.load_settings(values)
    if kind == "huggingface":
        assert labels_alone(settings) is None
    return load_dataset(settings)


def test_text_is_what_lines_of_it_are(tmp_path: Path) -> None:
    said = [(["ann", "bob", "cy"][row % 3], f"row {row} says \u00fc{'.' * (row % 5)}") for row in range(40)]
    for name, rows in (("train", said), ("late", said[:9])):
        columns = {"who": [who for who, _ in rows], "text": [text for _, text in rows], "none": [0] * len(rows)}
        datasets.Dataset.from_dict(columns).save_to_disk(tmp_path / "saved" / name, num_shards=2)
        (tmp_path / f"{name}.tsv").write_text("\n".join(f"{who}\t{text}" for who, text in rows), encoding="utf-8")
    (tmp_path / "saved" / "dataset_dict.json").write_text('{"splits": ["train", "late"]}')
    of_both, ours = {"length": 7}, {"folder": "saved", "text_column": "text", "client_column": "who"}
    lines = {"train": "train.tsv", "document": "line"}
    same(language(tmp_path, **ours, **of_both), language(tmp_path, "text", **lines, **of_both))
    tested = language(tmp_path, **ours, **of_both, test_split="late")
    same(tested, language(tmp_path, "text", **lines, **of_both, test="late.tsv"))
    one = language(tmp_path, folder="saved/late", text_column="text", length=5)
    assert one.clients_S is None
    assert bytes(one.train_x[0].astype(np.uint8)) == said[0][1].encode()[:5]


def test_a_column_says_which_texts_are_tested(tmp_path: Path) -> None:
    columns = {"text": ["abcdefgh", "ijklmnop", "qrstuvwx"], "part": ["train", "test", "train"]}
    datasets.Dataset.from_dict(columns).save_to_disk(tmp_path / "saved")
    found = language(tmp_path, folder="saved", text_column="text", test_column="part", length=4)
    assert [bytes(row.astype(np.uint8)) for row in found.train_x] == [b"abcd", b"efgh", b"\nqrs", b"tuvw"]
    assert [bytes(row.astype(np.uint8)) for row in found.test_x] == [b"ijkl", b"mnop"]


def test_numbers_and_flags_are_targets(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({**TABLE, "price": [row / 3 for row in range(24)]}).save_to_disk(tmp_path / "saved")
    values = {"task": "regression", "dataset_type": "huggingface", "data_dir": str(tmp_path), "model_type": "mlp"}
    options = {"folder": "saved", "target_column": ["price", "label"], "feature_columns": ["size"]}
    data = load_dataset(fedchunk.load_settings({**values, "dataset_options": options}))
    assert (data.train_y.shape[1], data.train_y.dtype, data.train_x.shape[1]) == (2, np.float32, 1)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data sets, most of them with a fault each."""
    at = tmp_path_factory.mktemp("faulty")
    plain = datasets.Dataset.from_dict(TABLE)
    plain.save_to_disk(at / "saved")
    datasets.DatasetDict({"train": plain, "test": plain}).save_to_disk(at / "dict")
    for name in ("broken", "gone", "empty", "garbled"):
        plain.save_to_disk(at / name)
    file = "data-00000-of-00001.arrow"
    (at / "broken" / file).write_bytes((at / "broken" / file).read_bytes()[:50])
    (at / "gone" / file).unlink()
    (at / "empty" / "state.json").write_text(json.dumps({"_data_files": []}))
    (at / "garbled" / "state.json").write_text("{")
    datasets.Dataset.from_dict({**TABLE, "label": [0, -1] * 12}).save_to_disk(at / "wrong")
    lists = {"ragged": [[1, 2], [1, 2, 3]], "words": [["a"]] * 2, "holes": [[1, 2], [3, None]], "infinite": [[1.0]] * 2}
    for name, two in lists.items():
        third = [np.inf] if name == "infinite" else two[0]
        rows = {"x": [*two, third, two[0]], "label": [0, 1, 0, 1]}
        datasets.Dataset.from_dict(rows).save_to_disk(at / name)
    return at


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"folder": "nowhere"}, "nowhere: there is no such folder"),
        ({"folder": "."}, "has no state.json; folder names a folder that save_to_disk wrote"),
        ({"target_column": "lable"}, r"there is no column 'lable' \(did you mean label\?\)"),
        ({"target_column": None}, "target_column: is missing"),
        ({"feature_columns": ["label"]}, "feature_columns: 'label' is the target_column"),
        ({"categorical_columns": ["sise"]}, r"categorical_columns: 'sise' is none of the features \(did you mean size"),
        ({"train_split": "train"}, "train_split: got 'train', but .*saved is one data set; leave it out"),
        ({"folder": "dict", "test_split": "tset"}, r"there is no split 'tset' \(did you mean test\?\) \(test_split\)"),
        ({"folder": "dict", "test_split": "train"}, "test_split: got 'train', which is trained"),
        ({"folder": "dict", "test_share": 0.2}, r"test_share: got 0\.2, but the split test is the test set"),
        ({"folder": "dict", "test_column": "shop"}, "test_column: the split test is the test set"),
        ({"folder": "wrong"}, r"wrong: row 2, column 'label': got the label -1"),
        ({"folder": "wrong", "target_column": "size"}, r"row 2, column 'size': got the label 0\.14"),
        ({"folder": "broken"}, r"broken.data-00000-of-00001\.arrow: cannot be read as Arrow"),
        ({"folder": "gone"}, r"gone.data-00000-of-00001\.arrow: cannot be read as Arrow"),
        ({"folder": "empty"}, r"empty.state\.json: names no file of data"),
        ({"folder": "garbled"}, r"garbled.state\.json: cannot be read"),
        (
            {"folder": "ragged", "feature_columns": ["x"], "test_share": 0.5},
            "row 2, column 'x': holds 3 values where row 1 holds 2",
        ),
        (
            {"folder": "words", "feature_columns": ["x"], "test_share": 0.5},
            "column 'x': has lists of string; lists of numbers are wanted",
        ),
        ({"folder": "holes", **X}, "row 2, column 'x': a value is missing"),
        ({"folder": "infinite", **X}, "row 3, column 'x': got inf"),
    ],
)
def test_what_is_wrong_is_named(faulty: Path, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    given = {"folder": "saved", "target_column": "label", "cache_dir": str(tmp_path / "cache"), **options}
    with pytest.raises(FedchunkError, match=said):
        loaded(faulty, **{name: value for name, value in given.items() if value is not None})


def test_pictures_beside_other_features_are_refused(tmp_path: Path) -> None:
    with_pictures(tmp_path)
    saved = datasets.load_from_disk(tmp_path / "saved" / "test")
    saved.add_column("size", [1.0] * len(saved)).save_to_disk(tmp_path / "more")
    with pytest.raises(ConfigError, match=r"'image' holds pictures.*beside size; give feature_columns: \[image\]"):
        loaded(tmp_path, folder="more", target_column="label")
    ours = loaded(
        tmp_path, folder="more", target_column="label", feature_columns=["image"], test_share=0.5,
        cache_dir=str(tmp_path / "cache"),
    )  # fmt: skip
    assert ours.train_x.shape[1:] == (1, 3, 4)


@pytest.mark.parametrize(
    ("options", "said"),
    [({}, "text_column: is missing"), ({"text_column": "kind", "target_column": "label"}, "the next tokens are the")],
)
def test_a_language_model_learns_a_column_of_text(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    datasets.Dataset.from_dict(TABLE).save_to_disk(tmp_path / "saved")
    with pytest.raises(ConfigError, match=said):
        language(tmp_path, folder="saved", **options)
    with pytest.raises(DataError, match=r"column 'size': has values of type double.*text is wanted"):
        language(tmp_path, folder="saved", text_column="size")
