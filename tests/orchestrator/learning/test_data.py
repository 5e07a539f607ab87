from __future__ import annotations

import gzip
import hashlib
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data import load
from fedchunk.orchestrator.learning.data.dataset import LoadedDataset, channel_statistics, digest
from fedchunk.orchestrator.learning.data.files import IDX_NAMES
from fedchunk.orchestrator.learning.datasets.fmnist import DEBIAN
from fedchunk.orchestrator.settings.joined import Sections
from fedchunk.orchestrator.settings.sections import DataSettings, FederationSettings

SYNTHETIC = DataSettings(
    dataset_type="synthetic", synthetic_samples=300, synthetic_test_samples=200, synthetic_classes=7,
    synthetic_channels=2, synthetic_size=6,
)  # fmt: skip


def load_dataset(data: DataSettings, seed: int) -> LoadedDataset:
    return load.load_dataset(Sections(data=data, federation=FederationSettings(random_seed=seed)))


def write_idx_dataset(folder: Path, suffix: str = "", side: int = 5) -> dict[str, np.ndarray]:
    """The four files of a tiny MNIST; what was written by name."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    written = {}
    for name in IDX_NAMES:
        count = 8 if name.startswith("train") else 4
        shape = (count, side, side) if "images" in name else (count,)
        written[name] = rng.integers(0, 10, shape, dtype=np.uint8)
        content = bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + written[name].tobytes()
        (folder / (name + suffix)).write_bytes(gzip.compress(content) if suffix else content)
    return written


def same(a: LoadedDataset, b: LoadedDataset) -> bool:
    return all(np.array_equal(vars(a)[key], vars(b)[key]) for key in vars(a))


def test_digits_are_the_same_whatever_the_seed_and_stratified() -> None:
    dataset = load_dataset(DataSettings(), seed=1)
    assert same(dataset, load_dataset(DataSettings(), seed=2))
    assert (dataset.input_shape, dataset.num_classes) == ((1, 8, 8), 10)
    assert len(dataset.train_x) + len(dataset.test_x) == 1797
    tested, trained = (np.bincount(y, minlength=10) for y in (dataset.test_y, dataset.train_y))
    np.testing.assert_allclose(tested / (tested + trained), 0.2, atol=0.005)
    assert dataset.train_x.dtype == np.float32
    assert (dataset.train_x.min(), dataset.train_x.max()) == (0, 1)


def test_digits_train_and_test_share_no_image() -> None:
    dataset = load_dataset(DataSettings(), seed=0)
    trained = {image.tobytes() for image in dataset.train_x}
    assert not any(image.tobytes() in trained for image in dataset.test_x)


@pytest.mark.parametrize("name", ["mnist", "fmnist"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("in_raw_folder", [True, False])
def test_idx_files_are_found_plain_or_zipped(tmp_path: Path, name: str, suffix: str, in_raw_folder: bool) -> None:
    folder = tmp_path / {"mnist": "MNIST", "fmnist": "FashionMNIST"}[name] / "raw" if in_raw_folder else tmp_path
    written = write_idx_dataset(folder, suffix)
    dataset = load_dataset(DataSettings(dataset_type=name, data_dir=str(tmp_path)), seed=0)
    np.testing.assert_array_equal(dataset.train_x[:, 0], written["train-images-idx3-ubyte"])
    np.testing.assert_array_equal(dataset.test_y, written["t10k-labels-idx1-ubyte"])
    assert (dataset.name, dataset.input_shape, dataset.num_classes) == (name, (1, 5, 5), 10)


def test_a_folder_may_be_below_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    written = write_idx_dataset(tmp_path / "data")
    dataset = load_dataset(DataSettings(dataset_type="mnist", data_dir="~/data"), seed=0)
    np.testing.assert_array_equal(dataset.test_y, written["t10k-labels-idx1-ubyte"])


def test_the_home_of_nobody_is_a_place_without_files() -> None:
    with pytest.raises(DataError, match="~nobody-of-this-name/data"):
        load_dataset(DataSettings(dataset_type="mnist", data_dir="~nobody-of-this-name/data"), seed=0)


def test_missing_files_are_named_with_places_and_remedies(tmp_path: Path) -> None:
    write_idx_dataset(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError) as caught:
        load_dataset(DataSettings(dataset_type="mnist", data_dir=str(tmp_path)), seed=0)
    message = str(caught.value)
    assert f"{tmp_path}, which lacks t10k-labels-idx1-ubyte\n" in message
    assert f"{tmp_path / 'MNIST' / 'raw'}, which lacks train-images-idx3-ubyte, " in message
    assert "data_dir" in message
    assert "download: true" in message


def test_train_and_test_images_of_other_sizes_are_refused(tmp_path: Path) -> None:
    write_idx_dataset(tmp_path, side=5)
    write_idx_dataset(tmp_path / "small", side=4)
    (tmp_path / "small" / "t10k-images-idx3-ubyte").replace(tmp_path / "t10k-images-idx3-ubyte")
    with pytest.raises(DataError, match=r"\(5, 5\) pixels, .* of \(4, 4\)"):
        load_dataset(DataSettings(dataset_type="mnist", data_dir=str(tmp_path)), seed=0)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_the_real_fashion_mnist_of_debian(tmp_path: Path) -> None:
    dataset = load_dataset(DataSettings(dataset_type="fmnist", data_dir=str(tmp_path)), seed=0)
    assert (dataset.train_x.shape, dataset.test_x.shape) == ((60_000, 1, 28, 28), (10_000, 1, 28, 28))
    assert np.bincount(dataset.train_y).tolist() == [6000] * 10
    assert np.bincount(dataset.test_y).tolist() == [1000] * 10
    # The published figures of the set: mean 0.2860, deviation 0.3530.
    assert dataset.mean_c[0] == pytest.approx(0.2860, abs=1e-4)
    assert dataset.std_c[0] == pytest.approx(0.3530, abs=1e-4)


def write_cifar(root: Path, name: str, label_key: str, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Two training files and a test file in CIFAR's format, with torchvision told their checksums."""
    datasets = pytest.importorskip("torchvision.datasets")
    cifar = getattr(datasets, name)
    folder = root / cifar.base_folder
    folder.mkdir()
    rng = np.random.default_rng(0)
    pixels = {file: rng.integers(0, 256, (3, 3072), dtype=np.uint8) for file in ("one", "two", "test")}
    sums = {}
    for file, data in pixels.items():
        content = pickle.dumps({"data": data, label_key: [0, 9, 4]})
        (folder / file).write_bytes(content)
        sums[file] = hashlib.md5(content).hexdigest()
    meta_key = cifar.meta["key"]
    meta = pickle.dumps({meta_key: [str(k) for k in range(10)]})
    (folder / cifar.meta["filename"]).write_bytes(meta)
    monkeypatch.setattr(cifar, "train_list", [["one", sums["one"]], ["two", sums["two"]]])
    monkeypatch.setattr(cifar, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(cifar, "meta", {**cifar.meta, "md5": hashlib.md5(meta).hexdigest()})
    return np.concatenate([pixels["one"], pixels["two"]])


@pytest.mark.parametrize(
    ("kind", "name", "label_key", "classes"),
    [("cifar10", "CIFAR10", "labels", 10), ("cifar100", "CIFAR100", "fine_labels", 100)],
)
def test_cifar_files_become_channels_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str, label_key: str, classes: int
) -> None:
    pixels = write_cifar(tmp_path, name, label_key, monkeypatch)
    dataset = load_dataset(DataSettings(dataset_type=kind, data_dir=str(tmp_path)), seed=0)
    np.testing.assert_array_equal(dataset.train_x, pixels.reshape(6, 3, 32, 32))
    assert dataset.train_y.tolist() == [0, 9, 4, 0, 9, 4]
    assert (dataset.test_x.shape, dataset.num_classes) == ((3, 3, 32, 32), classes)


def test_missing_cifar_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset(DataSettings(dataset_type="cifar10", data_dir=str(tmp_path)), seed=0)
    assert "data_batch_1" in str(caught.value)
    assert str(tmp_path / "cifar-10-batches-py") in str(caught.value)
    assert "download: true" in str(caught.value)


def test_synthetic_has_the_sizes_asked_for_and_follows_the_seed() -> None:
    dataset = load_dataset(SYNTHETIC, seed=3)
    assert (dataset.train_x.shape, dataset.test_x.shape) == ((300, 2, 6, 6), (200, 2, 6, 6))
    assert np.ptp(np.bincount(dataset.train_y, minlength=7)) <= 1
    assert same(dataset, load_dataset(SYNTHETIC, seed=3))
    assert not np.array_equal(dataset.train_x, load_dataset(SYNTHETIC, seed=4).train_x)


def test_synthetic_train_and_test_follow_the_same_patterns() -> None:
    """The nearest class mean of the training set is mostly right on the test set: there is something to learn."""
    dataset = load_dataset(DataSettings(dataset_type="synthetic"), seed=0)
    train, test = (x.reshape(len(x), -1).astype(float) for x in (dataset.train_x, dataset.test_x))
    means = np.stack([train[dataset.train_y == label].mean(axis=0) for label in range(10)])
    nearest = ((test[:, np.newaxis] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == dataset.test_y).mean() > 0.8


def test_statistics_by_hand() -> None:
    x = np.array([[[[0, 255]], [[51, 51]]]], dtype=np.uint8)
    mean_c, std_c = channel_statistics(x)
    np.testing.assert_allclose(mean_c, [0.5, 0.2])
    np.testing.assert_allclose(std_c, [0.5, 1.0])  # a channel without variation must not divide by zero


def test_statistics_of_bytes_and_floats_agree() -> None:
    x = np.random.default_rng(0).integers(0, 256, (2000, 3, 2, 2), dtype=np.uint8)
    for of_bytes, of_floats in zip(
        channel_statistics(x), channel_statistics((x / 255).astype(np.float32)), strict=True
    ):
        np.testing.assert_allclose(of_bytes, of_floats, rtol=1e-5)


def test_digest_tells_samples_labels_and_partitions_apart() -> None:
    dataset = load_dataset(SYNTHETIC, seed=0)
    halves = (np.arange(150), np.arange(150, 300))
    digests = {
        digest(dataset, halves),
        digest(dataset, (np.arange(300),)),
        digest(dataset, halves[::-1]),
        digest(load_dataset(SYNTHETIC, seed=1), halves),
    }
    assert len(digests) == 4
    assert digest(load_dataset(SYNTHETIC, seed=0), halves) in digests
    assert all(len(each) <= 36 for each in digests)


def test_data_needs_no_torch() -> None:
    code = (
        "import sys, fedchunk.orchestrator.learning.data.dataset;"
        "import fedchunk.orchestrator.learning.partition;"
        " sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
