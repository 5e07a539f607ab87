"""One bit of a file is not what was written: whoever reads it notices, names the file, and nothing is a traceback."""

import random
import shutil
from pathlib import Path

import pytest

import fedchunk
from fedchunk.analysis.compare import compare
from fedchunk.orchestrator.core.errors import FedchunkError
from fedchunk.orchestrator.tracking.spool import FOLDER, Spool

FLIPS = 25
SETTINGS = {
    "dataset_type": "synthetic", "synthetic_samples": 120, "synthetic_test_samples": 40, "number_of_clients": 4,
    "federated_learning_rounds": 4, "chunking": True, "chunking_parts": 30, "sensitivity_percentage": 20,
    "device": "cpu", "local_steps": 2, "metrics": ["top5"],
}  # fmt: skip
FILES = [
    "weights.safetensors", "summary.json", "config.json", "manifest.json",
    *(f"tables/{name}.parquet" for name in ("rounds", "clients", "chunks", "layout", "ledger", "metrics")),
]  # fmt: skip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damage")
    tracked = {"mlflow_tracking_uri": f"sqlite:///{folder}/mlflow.db"}
    fedchunk.run({**SETTINGS, **tracked}, output=folder / "run", local=True, progress=False)
    return folder / "run"


@pytest.fixture
def run(recorded, tmp_path):
    return Path(shutil.copytree(recorded, tmp_path / "run"))


def flipped(content, rng):
    """The content with one bit turned round."""
    damaged = bytearray(content)
    damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def read_all(run):
    loaded = fedchunk.load_run(run)
    assert loaded.weights
    assert all(table is not None for table in loaded.tables.values())


@pytest.mark.parametrize("name", FILES)
def test_every_flipped_bit_of_a_file_is_noticed_by_name(run, name):
    content, rng = (run / name).read_bytes(), random.Random(name)
    for _ in range(FLIPS):
        (run / name).write_bytes(flipped(content, rng))
        with pytest.raises(FedchunkError) as caught:
            read_all(run)
        assert Path(name).name in str(caught.value)
    (run / name).write_bytes(content)
    read_all(run)


@pytest.mark.parametrize("name", ["config.json", "summary.json", "tables/rounds.parquet"])
def test_reports_and_comparisons_notice_too(run, recorded, name):
    (run / name).write_bytes(flipped((run / name).read_bytes(), random.Random(7)))

    with pytest.raises(FedchunkError, match="is damaged"):
        fedchunk.load_run(run).report()
    with pytest.raises(FedchunkError, match="is damaged"):
        compare([recorded, run]).to_dict()


def test_a_damaged_line_of_the_spool_is_noticed(run):
    file, rng = run / FOLDER / "spool.jsonl", random.Random(1)
    content = file.read_bytes()
    for _ in range(FLIPS):
        damaged = flipped(content[:-1], rng) + content[-1:]
        if damaged.count(b"\n") != content.count(b"\n"):
            continue  # two lines became one, or one two: the next test's case
        file.write_bytes(damaged)
        with pytest.raises(FedchunkError, match=r"spool\.jsonl: a line is damaged"):
            Spool(run).count(0)


def test_a_settings_file_that_was_changed_is_not_resumed_from(run):
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("random_seed: 42", "random_seed: 43"))

    with pytest.raises(FedchunkError, match=r"config\.yaml: is damaged"):
        fedchunk.resume(run, local=True, progress=False)


@pytest.mark.parametrize("name", ["rounds", "chunks", "layout"])
def test_a_run_with_a_damaged_table_is_not_resumed_and_the_damage_stays_visible(run, name):
    file = run / "tables" / f"{name}.parquet"
    file.write_bytes(flipped(file.read_bytes(), random.Random(3)))

    for _ in range(2):
        with pytest.raises(FedchunkError, match=rf"{name}\.parquet: is damaged"):
            fedchunk.resume(run, local=True, progress=False, federated_learning_rounds=5)
