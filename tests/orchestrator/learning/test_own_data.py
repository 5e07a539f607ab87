"""Data sets and partitions of a user's own: what they may be, and what is said of those that they may not be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedchunk.actors.client.experiment_data import prepare
from fedchunk.orchestrator.component_source import find, from_object
from fedchunk.orchestrator.components import Components
from fedchunk.orchestrator.core.errors import ComponentFailed, ConfigError, DataError
from fedchunk.orchestrator.learning.data.dataset import Dataset, LoadedDataset
from fedchunk.orchestrator.learning.data.facts import data_facts
from fedchunk.orchestrator.learning.data.load import load_dataset
from fedchunk.orchestrator.learning.data.samples import Samples
from fedchunk.orchestrator.learning.partition import partition
from fedchunk.orchestrator.registry import KINDS, builtin_names, constants
from fedchunk.orchestrator.settings.sections import DataSettings, FederationSettings
from fedchunk.orchestrator.settings.whole import Settings

FLOATS = np.linspace(-3, 3, 40, dtype=np.float64).reshape(8, 5)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1])
BYTES = np.arange(8 * 3 * 4 * 4, dtype=np.uint8).reshape(8, 3, 4, 4)


def own(make: Callable[..., Any], **data: Any) -> Settings:
    component = from_object(KINDS["dataset"], make)
    return Settings(data=DataSettings(dataset_type=component.name, **data), components=Components((component,)))


def loaded(**changed: Any) -> LoadedDataset:
    arrays = {"train_x": FLOATS, "train_y": LABELS, "test_x": FLOATS[:2], "test_y": LABELS[:2]}
    return load_dataset(own(lambda: Dataset(**arrays | changed)))


def model_eats(data: LoadedDataset) -> torch.Tensor:
    return Samples(data.train_x, data.train_y, data.scale, data.size, torch.device("cpu")).take(slice(0, 8))[0]


def test_floats_of_any_shape_are_taken_as_they_are() -> None:
    data = loaded()
    assert (data.input_shape, data.num_classes, data.scale, data.clients_S) == ((5,), 3, None, None)
    assert (data.train_x.dtype, data.train_y.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(model_eats(data).numpy(), FLOATS.astype(np.float32))


def test_bytes_of_images_are_normalised_by_the_training_images_channels() -> None:
    data = loaded(train_x=BYTES, test_x=BYTES[:2])
    scaled = BYTES / 255
    expected = (scaled - scaled.mean(axis=(0, 2, 3), keepdims=True)) / scaled.std(axis=(0, 2, 3), keepdims=True)
    np.testing.assert_allclose(model_eats(data).numpy(), expected, atol=1e-4)
    assert data.train_x.dtype == np.uint8


@pytest.mark.parametrize("words", [np.arange(40).reshape(8, 5), np.arange(40, dtype=np.uint8).reshape(8, 5)])
def test_other_whole_numbers_reach_the_model_as_they_are(words: Any) -> None:
    eaten = model_eats(loaded(train_x=words, test_x=words[:2]))
    assert eaten.dtype == torch.int64
    np.testing.assert_array_equal(eaten.numpy(), words)


def test_a_mean_and_a_deviation_that_are_given_are_used() -> None:
    mean, std = np.arange(5), np.arange(1, 6)
    np.testing.assert_allclose(model_eats(loaded(mean_c=mean, std_c=std)).numpy(), (FLOATS - mean) / std, rtol=1e-5)


def test_lists_and_tensors_will_do_and_names_and_clients_are_kept() -> None:
    data = loaded(
        train_x=torch.tensor(FLOATS), train_y=LABELS.tolist(), test_y=LABELS[:2].astype(np.uint8), name="mine",
        clients=["a", "a", "b", "b", "c", "c", "c", "d"], num_classes=7,
    )  # fmt: skip
    assert (data.name, data.num_classes) == ("mine", 7)
    assert data.clients_S is not None
    assert data.clients_S.tolist()[-1] == "d"
    assert loaded().name.endswith("_lambda_")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"train_y": LABELS[:7]}, "train_x has 8 samples, train_y 7 labels"),
        ({"test_x": FLOATS[:2, :4]}, r"samples of \(5,\) in float32, test_x of \(4,\)"),
        ({"test_x": BYTES[:2]}, "both must be alike"),
        ({"train_x": FLOATS[:0], "train_y": LABELS[:0]}, "train_x is empty"),
        ({"test_x": FLOATS[:0], "test_y": LABELS[:0]}, "test_x is empty"),
        ({"train_x": FLOATS[:, :0], "test_x": FLOATS[:2, :0]}, "hold nothing"),
        ({"train_x": np.where(FLOATS == -3, np.nan, FLOATS)}, "train_x holds values that are nan"),
        ({"test_x": FLOATS[:2] + np.inf}, "test_x holds values that are nan, infinite"),
        ({"train_x": FLOATS * 1e300}, "beyond float32"),
        ({"train_x": FLOATS.astype(str)}, "train_x is of type <U"),
        ({"train_x": FLOATS.astype(complex)}, "complex128, expected numbers"),
        ({"train_y": LABELS - 1}, "train_y holds the label -1"),
        ({"train_y": LABELS.astype(float)}, "train_y is of type float64, expected whole numbers"),
        ({"train_y": LABELS[:, None]}, r"train_y has shape \(8, 1\)"),
        ({"num_classes": 2}, "a label is 2, but num_classes is 2: allowed are 0 to 1"),
        ({"test_y": LABELS[:2] + 5, "num_classes": 3}, "a label is 6"),
        ({"num_classes": 2.5}, "num_classes is 2.5"),
        ({"clients": [0, 1]}, r"clients has shape \(2,\), expected \(8,\)"),
        ({"mean_c": np.zeros(5)}, "one of mean_c and std_c"),
        ({"mean_c": np.zeros(4), "std_c": np.ones(4)}, r"mean_c is .*expected finite numbers of shape \(5,\)"),
        ({"mean_c": np.zeros(5), "std_c": np.arange(5)}, "expected numbers above 0"),
        ({"train_x": LABELS, "test_x": LABELS[:2], "mean_c": [], "std_c": []}, "whole numbers"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_samples_and_labels_is_said_with_the_place(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        loaded(**changed)
    assert f"({__file__}:" in str(caught.value)


def test_another_type_and_an_exception_are_named_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def one(seed):\n    return seed\n\ndef two(data_dir):\n    return data_dir.nothing\n"
    )
    for name, reason in (("one", r":1\): returned int, expected a fedchunk Dataset"), ("two", r":5\): AttributeError")):
        component = find(KINDS["dataset"], f"./mine.py:{name}", tmp_path)
        settings = Settings(data=DataSettings(dataset_type=component.name), components=Components((component,)))
        with pytest.raises(ComponentFailed, match=reason):
            load_dataset(settings)


def test_seed_folder_and_options_reach_the_data_set(tmp_path: Path) -> None:
    def mine(seed: int, data_dir: Path, rows: int = 3) -> Dataset:
        assert data_dir == Path("somewhere")
        return Dataset(np.full((rows, 2), float(seed)), np.zeros(rows, int), np.ones((1, 2)), np.ones(1, int))

    data = load_dataset(own(mine, data_dir="somewhere", dataset_options={"rows": 4}))
    assert data.train_x.shape == (4, 2)
    assert data.train_x[0, 0] == 42


def test_only_images_are_resized() -> None:
    images = own(lambda: Dataset(BYTES, LABELS, BYTES, LABELS), transform_input_size=6)
    data = load_dataset(images)
    assert data.input_shape == (3, 6, 6)
    assert model_eats(data).shape == (8, 3, 6, 6)
    with pytest.raises(ConfigError, match=r"transform_input_size: got 6, but samples of \(5,\) are no images"):
        load_dataset(own(lambda: Dataset(FLOATS, LABELS, FLOATS, LABELS), transform_input_size=6))


def test_facts_of_a_data_set_of_ones_own_come_from_loading_it() -> None:
    facts = data_facts(own(lambda: Dataset(FLOATS, LABELS, FLOATS[:2], LABELS[:2])))
    assert (facts.input_shape, facts.num_classes, facts.num_bytes) == ((5,), 3, 10 * (5 * 4 + 8))


def test_every_built_in_states_its_facts_but_those_of_the_users_files() -> None:
    kind, facts = KINDS["dataset"], {"SHAPE", "CLASSES", "TRAIN_SAMPLES", "TEST_SAMPLES", "VALUE_BYTES"}
    silent = {name for name in builtin_names(kind) if not facts <= constants(kind, name).keys()}
    assert silent == {"arrays", "huggingface", "imagefolder", "leaf", "table", "text"}


def test_the_facts_of_digits_are_those_of_its_file() -> None:
    data, stated = load_dataset(Settings()), Settings().constants("dataset")
    assert data.train_x.shape == (stated["TRAIN_SAMPLES"], *stated["SHAPE"])
    assert (len(data.test_y), data.num_classes) == (stated["TEST_SAMPLES"], stated["CLASSES"])


def test_more_clients_than_training_samples_are_refused_by_the_settings() -> None:
    Settings(federation=FederationSettings(number_of_clients=1438))
    with pytest.raises(ValueError, match="digits has only 1438 training samples"):
        Settings(federation=FederationSettings(number_of_clients=1439))


def parted(make: Callable[..., Any], clients: int = 2, **data: Any) -> tuple[Any, ...]:
    component = from_object(KINDS["partition"], make)
    settings = Settings(
        data=DataSettings(data_distribution_kind=component.name, **data),
        federation=FederationSettings(number_of_clients=clients),
        components=Components((component,)),
    )
    return partition(LABELS, np.array(list("aabbbccc")), 3, settings)


def by_column(clients_S: Any) -> list[Any]:
    return [np.flatnonzero(clients_S == "c")[::-1], np.flatnonzero(clients_S == "a")]


def test_a_partition_may_use_the_data_s_own_clients_and_leave_samples_out() -> None:
    assert [part.tolist() for part in parted(by_column)] == [[5, 6, 7], [0, 1]]


def test_a_partition_draws_from_the_seed_and_gets_its_options() -> None:
    def mine(rng: np.random.Generator, targets_S: Any, number_of_clients: int, rest: int = 0) -> list[Any]:
        order = rng.permutation(len(targets_S))[rest:]
        return [order[client::number_of_clients] for client in range(number_of_clients)]

    first, again = (parted(mine, partition_options={"rest": 2}) for _ in range(2))
    assert [part.tolist() for part in first] == [part.tolist() for part in again]
    assert sum(map(len, first)) == 6


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([[0, 1]], "returned 1 parts, expected a list of 2 arrays"),
        (np.zeros((2, 2)), "returned ndarray, expected a list"),
        ([[0, 1], []], "leaves client 1 of 2 without a sample"),
        ([[0, 1], [1, 2]], "gives sample 1 out 2 times"),
        ([[0, 0], [1]], "gives sample 0 out 2 times"),
        ([[0], [8]], "gives client 1 sample 8, allowed are 0 to 7"),
        ([[0], [-1]], "gives client 1 sample -1"),
        ([[0.5], [1.0]], "gives client 0 float64"),
        ([[[0]], [1]], r"of shape \(1, 1\), expected one axis"),
        ([np.array([True, False]), [1]], "gives client 0 bool"),
    ],
)
def test_what_is_wrong_with_a_partition_is_said_with_its_place(parts: Any, reason: str) -> None:
    with pytest.raises(ComponentFailed, match=reason) as caught:
        parted(lambda: parts)
    assert f"({__file__}:" in str(caught.value)


def test_the_whole_experiment_is_prepared_from_components_of_ones_own() -> None:
    dataset = from_object(KINDS["dataset"], two_rooms)
    parts = from_object(KINDS["partition"], by_room)
    settings = Settings(
        data=DataSettings(dataset_type=dataset.name, data_distribution_kind=parts.name),
        federation=FederationSettings(number_of_clients=2),
        components=Components((dataset, parts)),
    )
    data = prepare(settings)
    assert data.partition.sizes == (3, 5)
    assert (data.description.name, data.description.train_samples, data.description.num_classes) == ("two_rooms", 8, 3)


def two_rooms() -> Dataset:
    return Dataset(FLOATS, LABELS, FLOATS, LABELS, clients=[0, 0, 0, 1, 1, 1, 1, 1])


def by_room(clients_S: Any, number_of_clients: int) -> list[Any]:
    return [np.flatnonzero(clients_S == client) for client in range(number_of_clients)]
