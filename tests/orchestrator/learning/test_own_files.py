"""Data from the user's own files: what they become, by hand."""

from __future__ import annotations

import json
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.dataset import LoadedDataset
from fedchunk.orchestrator.learning.data.load import load_dataset
from fedchunk.orchestrator.learning.data.look import labels_alone
from fedchunk.orchestrator.learning.data.pictures import Decoder
from fedchunk.orchestrator.learning.data.split import stratified
from fedchunk.orchestrator.run import load_settings
from fedchunk.orchestrator.settings.whole import Settings


def settings_of(folder: Path, kind: str, seed: int = 42, **options: Any) -> Settings:
    return load_settings(
        {"dataset_type": kind, "data_dir": str(folder), "dataset_options": options, "random_seed": seed}
    )


def loaded(folder: Path, kind: str, seed: int = 42, **options: Any) -> LoadedDataset:
    """The data set; what is known of it without its samples is held to it."""
    settings = settings_of(folder, kind, seed, **options)
    data, known = load_dataset(settings), labels_alone(settings)
    assert known is not None
    np.testing.assert_array_equal(known.train_y, data.train_y)
    assert known.num_classes == data.num_classes
    assert (known.clients is None) == (data.clients_S is None)
    if data.clients_S is not None and known.clients is not None:
        np.testing.assert_array_equal(known.clients, data.clients_S)
    return data


def is_mapped(x: NDArray[Any]) -> bool:
    base: Any = x
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap.mmap)


# --- pictures


def picture(file: Path, level: int, side: tuple[int, int] = (4, 4), mode: str = "L") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, side, level if mode == "L" else (level, 0, 9)).save(file)


def folder_of_pictures(folder: Path) -> Path:
    for name, label, level in (("2", "cat", 20), ("1", "dog", 10), ("3", "cat", 30), ("0", "ant", 5)):
        picture(folder / "train" / label / f"{name}.png", level)
    picture(folder / "test" / "dog" / "9.png", 99)
    return folder


def test_pictures_are_in_the_order_of_their_names_and_classes_too(tmp_path: Path) -> None:
    folder_of_pictures(tmp_path)
    (tmp_path / "train" / ".hidden").mkdir()
    (tmp_path / "train" / "cat" / "notes.txt").write_text("no picture")
    data = loaded(tmp_path, "imagefolder", cache_dir=str(tmp_path / "cache"))
    assert data.train_x[:, 0, 0, 0].tolist() == [5, 10, 20, 30]
    assert (data.train_y.tolist(), data.test_y.tolist(), data.num_classes) == ([0, 2, 1, 1], [2], 3)
    assert (data.train_x.dtype, data.train_x.shape, data.test_x[0, 0, 0, 0]) == (np.uint8, (4, 1, 4, 4), 99)
    assert is_mapped(data.train_x)
    assert is_mapped(data.test_x)


def test_pictures_of_several_kinds_become_one_size_and_one_kind(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "1.png", 200, (6, 4), "RGB")
    picture(tmp_path / "a" / "deeper" / "2.bmp", 100)
    picture(tmp_path / "b" / "3.png", 50, (9, 9))
    picture(tmp_path / "b" / "4.PNG", 60, (9, 9))
    options = {"size": 5, "channels": 3, "test_share": 0.5, "cache_dir": str(tmp_path / ".cache")}
    data = loaded(tmp_path, "imagefolder", **options)
    everything = np.concatenate([data.train_x, data.test_x])
    assert everything.shape == (4, 3, 5, 5)
    colours = {tuple(pixels[:, 2, 2].tolist()) for pixels in everything}
    assert colours == {(200, 0, 9), (100, 100, 100), (50, 50, 50), (60, 60, 60)}


def test_pictures_are_decoded_once_and_again_when_one_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, cache = folder_of_pictures(tmp_path / "pictures"), tmp_path / "cache"
    decoded, decode = [], Decoder.decoded
    monkeypatch.setattr(Decoder, "decoded", lambda self, file: decoded.append(file) or decode(self, file))
    first = loaded(folder, "imagefolder", cache_dir=str(cache))
    once = len(decoded)
    again = loaded(folder, "imagefolder", cache_dir=str(cache))
    assert len(decoded) == once > 0
    np.testing.assert_array_equal(first.train_x, again.train_x)
    picture(folder / "train" / "cat" / "2.png", 77)
    os.utime(folder / "train" / "cat" / "2.png", ns=(1, 1))  # also where the clock is coarse
    changed = loaded(folder, "imagefolder", cache_dir=str(cache))
    assert len(decoded) == 2 * once
    assert changed.train_x[2, 0, 0, 0] == 77
    assert first.train_x[2, 0, 0, 0] == 20  # whoever has mapped the old file keeps it
    right = changed.train_x.copy()
    (kept,) = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    np.testing.assert_array_equal(loaded(folder, "imagefolder", cache_dir=str(cache)).train_x, right)


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    folder = folder_of_pictures(tmp_path / "pictures")
    (folder / "train" / "cat" / "8.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(DataError, match=r"cat/8\.png: cannot be read .No such file"):
        load_dataset(settings_of(folder, "imagefolder", cache_dir=str(tmp_path / "cache")))


def test_a_picture_that_cannot_be_read_leaves_nothing_behind(tmp_path: Path) -> None:
    folder, cache = folder_of_pictures(tmp_path / "pictures"), tmp_path / "cache"
    (folder / "train" / "cat" / "8.png").write_text("no picture")
    with pytest.raises(DataError, match=r"8\.png"):
        load_dataset(settings_of(folder, "imagefolder", cache_dir=str(cache)))
    assert list(cache.iterdir()) == []


# --- tables

ROWS = """city,age,member,note,who,part,kind
Bonn,10,true,x,ada,train,no
Rome,20,false,y,bob,train,yes
Oslo,99,true,z,ada,test,no
Bonn,30,false,x,bob,train,yes
"""


def test_a_table_by_hand(tmp_path: Path) -> None:
    """Ages of the training rows: mean 20, deviation sqrt(200 / 3); members: mean 1/3, deviation sqrt(2) / 3."""
    (tmp_path / "t.csv").write_text(ROWS)
    data = loaded(
        tmp_path, "table", file="t.csv", target_column="kind", test_column="part", client_column="who",
        feature_columns=["age", "city", "member"],
    )  # fmt: skip
    age, member = np.sqrt(200 / 3), np.sqrt(2) / 3
    train = [
        [-10 / age, 1, 0, (2 / 3) / member],  # age, Bonn, Rome, member
        [0, 0, 1, (-1 / 3) / member],
        [10 / age, 1, 0, (-1 / 3) / member],
    ]
    np.testing.assert_allclose(data.train_x, train, rtol=1e-6)
    np.testing.assert_allclose(data.test_x, [[79 / age, 0, 0, (2 / 3) / member]], rtol=1e-6)  # Oslo: none that is known
    assert (data.train_y.tolist(), data.test_y.tolist()) == ([0, 1, 1], [0])
    assert data.clients_S is not None
    assert data.clients_S.tolist() == ["ada", "bob", "bob"]
    assert (data.train_x.dtype, data.scale, data.name) == (np.float32, None, "table")


def test_all_other_columns_are_features_and_numbers_may_be_categories(tmp_path: Path) -> None:
    table = pa.table(
        {"code": [7, 9, 7, 8] * 5, "same": [3.0] * 20, "pair": [[1, 2], [3, 6]] * 10, "y": [0, 1] * 10,
         "__index_level_0__": list(range(20))}
    )  # fmt: skip
    pq.write_table(table, tmp_path / "t.parquet")
    options = {"file": "t.parquet", "target_column": "y", "num_classes": 5}
    data = loaded(tmp_path, "table", categorical_columns=["code"], **options)
    assert (data.input_shape, data.num_classes) == ((3 + 1 + 2,), 5)
    assert not data.train_x[:, 3].any()  # nothing varies: not divided by zero
    np.testing.assert_array_equal(data.train_x[:, :3].sum(axis=1), 1)
    np.testing.assert_allclose(data.train_x[:, 4], data.train_x[:, 5], rtol=1e-5)  # both halves of pair, standardised
    assert loaded(tmp_path, "table", **options).input_shape == (1 + 1 + 2,)


def test_text_in_quotes_is_text_also_where_it_looks_missing(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("land,y\n" + '"NA",0\nDE,1\n' * 10)  # Namibia, and no missing value
    data = loaded(tmp_path, "table", file="t.csv", target_column="y")
    np.testing.assert_array_equal(data.train_x, np.eye(2)[1 - data.train_y])


def test_a_share_is_tested_whatever_the_experiments_seed(tmp_path: Path) -> None:
    lines = [f"{row},{row % 3}" for row in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["a,y", *lines]))
    options = {"file": "t.csv", "target_column": "y", "test_share": 0.25}
    one, two = (loaded(tmp_path, "table", seed=seed, **options) for seed in (1, 2))
    np.testing.assert_array_equal(one.test_x, two.test_x)
    assert np.bincount(one.test_y).tolist() == [5, 5, 5]
    assert np.bincount(one.train_y).tolist() == [15, 15, 15]
    other = loaded(tmp_path, "table", **options, test_seed=1)
    assert not np.array_equal(one.test_x, other.test_x)
    assert np.bincount(loaded(tmp_path, "table", file="t.csv", target_column="y").test_y).tolist() == [4, 4, 4]


@given(
    labels=st.lists(st.integers(0, 6), min_size=1, max_size=80), share=st.floats(0.01, 0.99), seed=st.integers(0, 99)
)
def test_each_label_gives_its_share_and_never_all(labels: list[int], share: float, seed: int) -> None:
    labels_S = np.array(labels)
    is_test = stratified(labels_S, share, np.random.default_rng(seed))
    for label in np.unique(labels_S):
        members = is_test[labels_S == label]
        assert members.sum() == min(round(share * len(members)), len(members) - 1)


# --- arrays

X = np.arange(60, dtype=np.float32).reshape(20, 3)
Y = (np.arange(20) % 4).astype(np.int16)
CLIENTS = np.array(list("abcd") * 5)


@pytest.mark.parametrize("form", ["npz", "npy", "safetensors"])
def test_arrays_are_what_they_are_and_mapped_where_that_can_be(tmp_path: Path, form: str) -> None:
    arrays = {"train_x": X, "train_y": Y, "test_x": X[:6], "test_y": Y[:6], "clients": np.arange(20) % 3}
    if form == "npz":
        np.savez(tmp_path / "all.npz", **arrays)
    elif form == "safetensors":
        save_file({"odd": np.zeros(3, np.int8), **arrays}, tmp_path / "all.safetensors")
    else:
        (tmp_path / "all").mkdir()
        for name, array in arrays.items():
            np.save(tmp_path / "all" / f"{name}.npy", array)
    data = loaded(tmp_path, "arrays", file="all" if form == "npy" else f"all.{form}")
    np.testing.assert_array_equal(data.train_x, X)
    np.testing.assert_array_equal(data.train_y, Y)
    np.testing.assert_array_equal(data.test_x, X[:6])
    np.testing.assert_array_equal(data.clients_S, np.arange(20) % 3)
    assert is_mapped(data.train_x) == is_mapped(data.test_x) == (form != "npz")


def test_arrays_without_a_test_set_give_a_share_of_themselves(tmp_path: Path) -> None:
    np.savez(tmp_path / "all.npz", train_x=X, train_y=Y, clients=CLIENTS)
    data = loaded(tmp_path, "arrays", file="all.npz", num_classes=9)
    assert (len(data.train_y), len(data.test_y), data.num_classes) == (16, 4, 9)
    everything = np.concatenate([data.train_x, data.test_x])
    np.testing.assert_array_equal(everything[np.argsort(everything[:, 0])], X)
    assert data.clients_S is not None
    assert (data.clients_S == CLIENTS[(data.train_x[:, 0] / 3).astype(int)]).all()


# --- LEAF


def leaf(users: dict[str, tuple[list[Any], list[int]]]) -> str:
    data = {user: {"x": x, "y": y} for user, (x, y) in users.items()}
    return json.dumps({"users": list(data), "num_samples": [len(y) for _, y in users.values()], "user_data": data})


def test_leaf_files_are_read_user_after_user(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "b.json").write_text(leaf({"zoe": ([[9, 9, 9, 9]], [3])}))
    (tmp_path / "train" / "a.json").write_text(leaf({"max": ([[1, 2, 3, 4], [5, 6, 7, 8]], [0, 1])}))
    (tmp_path / "held.json").write_text(leaf({"zoe": ([[[0, 0], [0, 1]]], [2])}))
    data = loaded(tmp_path, "leaf", test="held.json", shape=[1, 2, 2])
    np.testing.assert_array_equal(data.train_x[1], [[[5, 6], [7, 8]]])
    np.testing.assert_array_equal(data.test_x, [[[[0, 0], [0, 1]]]])
    assert (data.train_y.tolist(), data.num_classes, data.train_x.dtype) == ([0, 1, 3], 4, np.float32)
    assert data.clients_S is not None
    assert data.clients_S.tolist() == ["max", "max", "zoe"]
