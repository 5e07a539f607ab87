"""Splits by the data's own clients, and those that a file says: exactly these."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchunk.actors.client.experiment_data import prepare
from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.learning.data.look import look
from fedchunk.orchestrator.learning.partition import partition
from fedchunk.orchestrator.run import load_settings

OWN = np.array([7, 3, 3, 12, 7, 3, 12, 5])


def split(own: Any, clients: int, seed: int = 0, **options: Any) -> list[list[int]]:
    settings = load_settings(
        {"data_distribution_kind": "natural", "partition_options": options, "number_of_clients": clients,
         "random_seed": seed}
    )  # fmt: skip
    targets_S = np.zeros(8 if own is None else len(own), np.int64)
    return [part.tolist() for part in partition(targets_S, own, 1, settings)]


def test_own_clients_are_numbered_in_the_order_of_their_names() -> None:
    assert split(OWN, 4) == [[1, 2, 5], [7], [0, 4], [3, 6]]
    assert split(np.array(["b", "a", "b", "a2"]), 3) == [[1], [3], [0, 2]]


def test_of_fewer_clients_the_largest_stay_in_their_order() -> None:
    assert split(OWN, 2, fewer="largest") == [[1, 2, 5], [0, 4]]


def test_of_fewer_clients_drawn_ones_stay_or_all_are_dealt_out() -> None:
    drawn = [split(OWN, 2, seed, fewer="random") for seed in range(9)]
    whole = split(OWN, 4)
    assert all(part in whole for parts in drawn for part in parts)
    assert len({str(parts) for parts in drawn}) > 1
    merged = split(OWN, 3, fewer="merged")
    assert sorted(sample for part in merged for sample in part) == list(range(8))
    assert all(len({*OWN[part].tolist()} & {*OWN[other].tolist()}) == 0 for part in merged for other in merged
               if part is not other)  # fmt: skip
    assert sorted(len(set(OWN[part].tolist())) for part in merged) == [1, 1, 2]


@pytest.mark.parametrize(
    ("own", "clients", "options", "key", "message"),
    [
        (None, 4, {}, "data_distribution_kind", "does not say whose its samples are"),
        (OWN, 5, {}, "number_of_clients", "got 5, but the data have 4 own clients; set number_of_clients: 4"),
        (OWN, 5, {"fewer": "merged"}, "number_of_clients", "set number_of_clients: 4"),
        (OWN, 3, {}, "number_of_clients", "fewer: largest"),
        (np.array([1.0, np.nan, 2.0]), 3, {}, "data_distribution_kind", "sample 1 has no client: nan"),
        (np.array(["a", None, 2], object), 3, {}, "data_distribution_kind", "several types .NoneType, int, str."),
    ],
)
def test_another_number_of_clients_is_refused(
    own: Any, clients: int, options: dict[str, str], key: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        split(own, clients, **options)
    assert [fault.key for fault in caught.value.faults] == [key]


def test_a_kind_of_rule_that_is_none_is_refused_by_the_settings() -> None:
    with pytest.raises(ConfigError, match="fewer: got 'some'; allowed: refuse, largest, random or merged"):
        split(OWN, 2, fewer="some")


def test_validate_knows_that_built_in_data_have_no_clients_of_their_own() -> None:
    with pytest.raises(ConfigError, match="does not say whose its samples are"):
        look(load_settings({"data_distribution_kind": "natural"}))


WRITTEN = {0: [5, 2, 1400], 1: [0], 2: [1, 3, 4, 6]}
PAIRS = [(client, sample) for client, samples in WRITTEN.items() for sample in samples]


def as_csv(path: Path) -> None:
    lines = [f"{sample},a note,{client}" for client, sample in reversed(PAIRS)]
    path.write_text("\n".join(["sample,note,client", *lines]))


def as_parquet(path: Path) -> None:
    clients, samples = zip(*PAIRS, strict=True)
    pq.write_table(pa.table({"client": pa.array(clients, pa.uint8()), "sample": samples}), path)


def as_lists(path: Path) -> None:
    path.write_text(json.dumps({str(client): samples for client, samples in WRITTEN.items()}))


def as_records(path: Path) -> None:
    path.write_text(json.dumps([{"client": f"client {client}", "sample": sample} for client, sample in PAIRS]))


@pytest.mark.parametrize(
    ("name", "write"),
    [("s.csv", as_csv), ("s.parquet", as_parquet), ("lists.json", as_lists), ("records.json", as_records)],
)
def test_a_written_split_is_what_it_says(tmp_path: Path, name: str, write: Any) -> None:
    write(tmp_path / name)
    settings = load_settings(
        {"data_distribution_kind": "file", "partition_options": {"partition_file": name}, "number_of_clients": 3,
         "data_dir": str(tmp_path)}
    )  # fmt: skip
    look(settings)
    held = prepare(settings).partition
    assert [held.samples_of(client).tolist() for client in range(3)] == [sorted(WRITTEN[client]) for client in range(3)]


@given(owners=st.lists(st.integers(0, 4), min_size=5, max_size=60).filter(lambda owners: len(set(owners)) == 5))
def test_leafs_json_is_a_split_by_its_users_as_data_and_as_a_file(
    owners: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, counts = tmp_path_factory.mktemp("leaf"), np.bincount(owners)
    names = ["eve", "dan", "ben", "amy", "cat"]
    data = {
        name: {"x": [[100 * place + sample] for sample in range(count)], "y": [place] * int(count)}
        for place, (name, count) in enumerate(zip(names, counts, strict=True))
    }
    content = {"users": names, "num_samples": counts.tolist(), "user_data": data}
    (folder / "leaf.json").write_text(json.dumps(content))
    common = {"dataset_type": "leaf", "data_dir": str(folder), "number_of_clients": 5,
              "dataset_options": {"train": "leaf.json", "test": "leaf.json"}}  # fmt: skip
    by_user = prepare(load_settings({**common, "data_distribution_kind": "natural"}))
    by_file = prepare(
        load_settings(
            {**common, "data_distribution_kind": "file", "partition_options": {"partition_file": "leaf.json"}}
        )
    )
    for client, name in enumerate(sorted(names)):
        samples = by_user.partition.samples_of(client)
        assert by_user.dataset.train_x[samples].tolist() == data[name]["x"]
        assert by_file.partition.samples_of(client).tolist() == samples.tolist()
    assert by_user.description.digest == by_file.description.digest
