"""One data set in the forms that people have it in: the same samples, the same digest, the same weights."""

import gzip
import struct

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.parquet as pq
import pytest
from PIL import Image
from safetensors.numpy import save_file

from fedchunk.actors.backends.local import LocalFederation
from fedchunk.actors.client.experiment_data import prepare
from fedchunk.orchestrator.experiment import run_experiment
from fedchunk.orchestrator.learning.data.files import IDX_NAMES
from fedchunk.orchestrator.learning.data.idx import read_idx
from fedchunk.orchestrator.learning.datasets.fmnist import DEBIAN
from fedchunk.orchestrator.run import Launch, execute, load_settings

TRAIN, TEST = 300, 100
datasets.disable_progress_bars()


class Silent:
    def stage(self, name):
        pass

    def clients_done(self, round_index, done, cohort):
        pass

    def round_done(self, result):
        pass


def fashion():
    """The first pieces of Fashion-MNIST, where Debian's package has them; else noise with all ten labels."""
    if DEBIAN.is_dir():
        arrays = [read_idx(DEBIAN / f"{name}.gz") for name in IDX_NAMES]
        return arrays[0][:TRAIN], arrays[1][:TRAIN], arrays[2][:TEST], arrays[3][:TEST]
    rng = np.random.default_rng(0)
    labels = [np.arange(count, dtype=np.uint8) % 10 for count in (TRAIN, TEST)]
    x = [(rng.integers(0, 56, (len(y), 28, 28)) + 20 * y[:, None, None]).astype(np.uint8) for y in labels]
    return x[0], labels[0], x[1], labels[1]


def as_built_in(folder, arrays):
    for name, array in zip(IDX_NAMES, arrays, strict=True):
        head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / f"{name}.gz").write_bytes(gzip.compress(head + array.tobytes(), 1))
    return {"dataset_type": "fmnist"}


def as_pictures(folder, arrays):
    for part, x, y in (("train", *arrays[:2]), ("test", *arrays[2:])):
        for place, (image, label) in enumerate(zip(x, y, strict=True)):
            file = folder / "pictures" / part / str(label) / f"{place:05}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(file)
    return {"dataset_type": "imagefolder", "dataset_options": {"folder": "pictures", "cache_dir": str(folder / "c")}}


def tables(arrays):
    for x, y in (arrays[:2], arrays[2:]):
        flat = x.reshape(len(x), -1)
        yield pa.table({**{f"pixel{p}": flat[:, p] for p in range(flat.shape[1])}, "label": y})


def as_parquet(folder, arrays):
    for name, table in zip(("train", "test"), tables(arrays), strict=True):
        pq.write_table(table, folder / f"{name}.parquet")
    options = {"file": "train.parquet", "target_column": "label", "test_file": "test.parquet", "pixels": [1, 28, 28]}
    return {"dataset_type": "table", "dataset_options": options}


def as_one_csv(folder, arrays):
    train, test = tables(arrays)
    both = pa.concat_tables([train, test])
    marks = pa.array(["train"] * len(train) + ["test"] * len(test))
    pv.write_csv(both.append_column("part", marks), folder / "all.csv")
    options = {"file": "all.csv", "target_column": "label", "test_column": "part", "pixels": [1, 28, 28]}
    return {"dataset_type": "table", "dataset_options": options}


def as_lists(folder, arrays):
    for name, x, y in (("train", *arrays[:2]), ("test", *arrays[2:])):
        pixels = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 784)
        pq.write_table(pa.table({"image": pixels, "label": y}), folder / f"{name}.pq")
    options = {"file": "train.pq", "target_column": "label", "test_file": "test.pq", "pixels": [1, 28, 28]}
    return {"dataset_type": "table", "dataset_options": options}


def by_name(arrays):
    train_x, train_y, test_x, test_y = arrays
    return {"train_x": train_x[:, None], "train_y": train_y, "test_x": test_x[:, None], "test_y": test_y}


def as_npz(folder, arrays):
    np.savez_compressed(folder / "all.npz", **by_name(arrays))
    return {"dataset_type": "arrays", "dataset_options": {"file": "all.npz"}}


def as_npy(folder, arrays):
    (folder / "arrays").mkdir()
    for name, array in by_name(arrays).items():
        np.save(folder / "arrays" / f"{name}.npy", array)
    return {"dataset_type": "arrays", "dataset_options": {"file": "arrays"}}


def as_safetensors(folder, arrays):
    save_file(by_name(arrays), folder / "all.safetensors")
    return {"dataset_type": "arrays", "dataset_options": {"file": "all.safetensors"}}


def as_saved_arrays(folder, arrays):
    features = datasets.Features({"x": datasets.Array3D((1, 28, 28), "uint8"), "label": datasets.Value("int64")})
    save_splits(folder, [{"x": list(x[:, None]), "label": y.tolist()} for x, y in (arrays[:2], arrays[2:])], features)
    options = {"folder": "saved", "target_column": "label", "cache_dir": str(folder / "c")}
    return {"dataset_type": "huggingface", "dataset_options": options}


def as_saved_pictures(folder, arrays):
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list("abcdefghij"))})
    parts = [[Image.fromarray(image) for image in x] for x in arrays[::2]]
    rows = [{"image": images, "label": y.tolist()} for images, y in zip(parts, arrays[1::2], strict=True)]
    save_splits(folder, rows, features)
    options = {"folder": "saved", "target_column": "label", "cache_dir": str(folder / "c")}
    return {"dataset_type": "huggingface", "dataset_options": options}


def save_splits(folder, rows, features):
    parts = (datasets.Dataset.from_dict(part, features=features) for part in rows)
    saved = datasets.DatasetDict(dict(zip(("train", "test"), parts, strict=True)))
    saved.save_to_disk(folder / "saved", num_shards={"train": 2, "test": 1})


FORMS = (
    as_built_in, as_pictures, as_parquet, as_one_csv, as_lists, as_npz, as_npy, as_safetensors, as_saved_arrays,
    as_saved_pictures,
)  # fmt: skip


@pytest.fixture(scope="module")
def built_in(tmp_path_factory):
    return outcome(as_built_in, tmp_path_factory.mktemp("built in"))


def outcome(form, folder):
    """Digest, and SHA-256 of the weights after two rounds."""
    settings = load_settings(
        {
            "data_dir": str(folder), "number_of_clients": 5, "data_distribution_kind": "dir", "dirichlet_beta": 1.0,
            "model_type": "lenet", "federated_learning_rounds": 2, "local_steps": 2, "train_batch_size": 16,
            "learning_rate": 0.05, "device": "cpu", "mlflow_enabled": False, **form(folder, fashion()),
        }
    )  # fmt: skip
    with LocalFederation(settings, Silent()) as federation:
        summary = run_experiment(federation, settings.federation, [], Silent())
    assert summary.status == "finished", summary.error
    return prepare(settings).description.digest, summary.weights_sha256


@pytest.mark.parametrize("form", FORMS[1:])
def test_every_form_gives_the_bits_of_the_built_in_one(form, tmp_path, built_in):
    assert outcome(form, tmp_path) == built_in


@pytest.mark.ray
def test_mapped_arrays_with_clients_of_their_own_give_the_same_bits_on_ray(tmp_path, ray_here):
    train_x, train_y, test_x, test_y = (array[:100] for array in fashion())
    arrays = {"train_x": train_x[:, None], "train_y": train_y, "test_x": test_x[:, None], "test_y": test_y}
    save_file({**arrays, "clients": np.arange(100) % 4}, tmp_path / "all.safetensors")
    settings = load_settings(
        {
            "dataset_type": "arrays", "dataset_options": {"file": "all.safetensors", "num_classes": 10},
            "data_dir": str(tmp_path), "data_distribution_kind": "natural", "number_of_clients": 4,
            "federated_learning_rounds": 2, "device": "cpu", "mlflow_enabled": False, "number_of_actors": 2,
        }
    )  # fmt: skip
    here, there = (
        execute(settings, Launch(tmp_path / name, local=name == "here", report=False), Silent()).summary
        for name in ("here", "there")
    )
    assert here.status == there.status == "finished"
    assert here.weights_sha256 == there.weights_sha256
