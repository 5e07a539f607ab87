"""Arrays in files travel by their place; all others by their values."""

import pickle
from dataclasses import fields

import numpy as np
import pytest
from safetensors.numpy import save_file

from fedchunk import load_settings
from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.load import load_dataset
from fedchunk.orchestrator.learning.data.mapped import by_place

RNG = np.random.default_rng(4)
ARRAYS = {
    "train_x": RNG.integers(0, 256, (500, 3, 8, 8), dtype=np.uint8), "train_y": np.arange(500) % 4,
    "test_x": RNG.integers(0, 256, (90, 3, 8, 8), dtype=np.uint8), "test_y": np.arange(90) % 4,
}  # fmt: skip


@pytest.fixture(params=["a folder", "a file"])
def mapped(request, tmp_path):
    if request.param == "a folder":
        (tmp_path / "data").mkdir()
        for name, array in ARRAYS.items():
            np.save(tmp_path / "data" / f"{name}.npy", array)
    else:
        save_file(ARRAYS, tmp_path / "data.safetensors")
    file = "data" if request.param == "a folder" else "data.safetensors"
    options = {"dataset_type": "arrays", "data_dir": str(tmp_path), "dataset_options": {"file": file}}
    return load_dataset(load_settings(options))


def test_a_mapped_data_set_travels_in_a_few_bytes_and_is_the_same_there(mapped):
    by_value, travelling = pickle.dumps(mapped), pickle.dumps(by_place(mapped))
    there = pickle.loads(travelling)

    assert len(by_value) > sum(ARRAYS[name].nbytes for name in ("train_x", "test_x"))
    assert len(travelling) < 20_000
    for field in fields(mapped):
        here, got = getattr(mapped, field.name), getattr(there, field.name)
        assert type(got) is type(here), field.name
        np.testing.assert_array_equal(got, here, strict=True)


@pytest.mark.parametrize(
    "part", [slice(3, 9), slice(0, 500, 7), np.array([4, 1])], ids=["some", "every seventh", "two that are copied"]
)
def test_of_a_view_it_is_the_values_of_the_view(mapped, part):
    view = by_place(mapped).train_x[part]
    got = pickle.loads(pickle.dumps(view))
    np.testing.assert_array_equal(got, ARRAYS["train_x"][part], strict=True)


def test_what_is_in_memory_travels_as_it_is():
    data = load_dataset(load_settings({"dataset_type": "digits"}))
    there = pickle.loads(pickle.dumps(by_place(data)))
    np.testing.assert_array_equal(there.train_x, data.train_x, strict=True)


def test_a_file_that_was_cut_meanwhile_is_named(tmp_path):
    file = tmp_path / "x.npy"
    np.save(file, ARRAYS["train_x"])
    data = load_dataset(load_settings({"dataset_type": "digits"}))
    travelling = pickle.dumps(by_place(type(data)(**{**vars(data), "train_x": np.load(file, mmap_mode="r")})))
    file.write_bytes(b"short")
    with pytest.raises(DataError, match=r"x\.npy: cannot be mapped any more .*leave it while a run reads it"):
        pickle.loads(travelling)
