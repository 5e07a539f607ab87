"""Shared by the tests of records: a small federation's facts, rounds of it, and an MLflow store that is ready."""

import shutil
import sqlite3

import numpy as np
import pytest

from fedchunk.orchestrator.contract.messages import BufferSpec, ModelSpec, ModelState, ParameterSpec, RoundResult
from fedchunk.orchestrator.contract.ports import DataDescription, FederationInfo, RunSummary
from fedchunk.orchestrator.core.records import table_from_columns, table_from_rows
from fedchunk.orchestrator.experiment import weights_sha256
from fedchunk.orchestrator.recording.run_folder import RunFolder
from fedchunk.orchestrator.settings.whole import Settings

CLIENTS, CHUNKS = 3, 4

SPEC = ModelSpec(
    parameters=(ParameterSpec("fc.weight", (2, 3), 0, 6), ParameterSpec("fc.bias", (2,), 6, 8)),
    buffers=(
        BufferSpec("bn.running_mean", (2,), False, 0, 2),
        BufferSpec("bn.num_batches_tracked", (), True, 0, 1),
    ),
)
MODEL = ModelState(np.arange(8, dtype=np.float32), np.array([0.5, 1.5], np.float32), np.array([7], np.int64))


def federation_info() -> FederationInfo:
    layout = [{"chunk": c, "start": 2 * c, "stop": 2 * c + 2, "parameters": ["fc.weight"]} for c in range(CHUNKS)]
    return FederationInfo(
        spec=SPEC,
        layout=table_from_rows("layout", layout),
        data=DataDescription("digits", 1437, 360, 10, "0123456789abcdef"),
        samples_per_client=(400, 500, 537),
        backend="local",
        device="cpu",
        number_of_actors=2,
    )


def round_row(r, **changed):
    return {
        "round": r, "participants": CLIENTS, "failed": 0, "accuracy": 0.5 + r / 1000, "loss": 1.0 / r,
        "client_accuracy_mean": None, "client_accuracy_min": None, "client_accuracy_max": None,
        "train_loss": 2.0 / r, "uplink_bytes": 300, "downlink_bytes": 700, "dense_uplink_bytes": 2000,
        "dense_downlink_bytes": 2000, "dense_bytes": 4000, "coverage": 0.75, "sensitivity_percentage": 25.0,
        "train_s": 0.3, "aggregate_s": 0.1, "evaluate_s": 0.05, "wall_s": 0.5, **changed,
    }  # fmt: skip


def round_result(r, *, chunks=True, **changed) -> RoundResult:
    clients = [
        {
            "round": r, "client": i, "status": "ok", "reason": None, "samples": 400, "train_loss": 1.0,
            "chunks_sent": 1, "sensitivity_percentage": 25.0, "accuracy": None, "uplink_bytes": 100,
            "downlink_bytes": 100, "train_s": 0.1, "attempts": 1,
        }
        for i in range(CLIENTS)
    ]  # fmt: skip
    rows = CLIENTS * CHUNKS if chunks else 0
    chunk_columns = {
        "round": np.full(rows, r, np.int32),
        "client": np.repeat(np.arange(CLIENTS, dtype=np.int32), CHUNKS)[:rows],
        "chunk": np.tile(np.arange(CHUNKS, dtype=np.int32), CLIENTS)[:rows],
        "score": np.full(rows, 0.5, np.float32),
        "distance": np.full(rows, 0.25, np.float32),
        "selected": np.arange(rows) % CHUNKS == 0,
        "age": np.zeros(rows, np.int32),
    }
    summary = [
        {"round": r, "chunk": chunk, "clients": CLIENTS, "sent": chunk, "age_mean": 0.5, "age_max": r}
        for chunk in range(CHUNKS)
    ]
    ledger = [{"round": r, "sender": 0, "receiver": -1, "kind": "values", "bytes": 300}]
    metrics = [
        {"round": r, "client": None, "name": "top5", "value": 0.75 + r / 1000},
        *({"round": r, "client": i, "name": "top5", "value": 0.5 + i / 8} for i in range(CLIENTS)),
    ]
    tables = {
        "rounds": table_from_rows("rounds", [round_row(r, **changed)]),
        "clients": table_from_rows("clients", clients),
        "chunks": table_from_columns("chunks", chunk_columns),
        "ledger": table_from_rows("ledger", ledger),
        "chunk_summary": table_from_rows("chunk_summary", summary),
        "metrics": table_from_rows("metrics", metrics),
    }
    return RoundResult(r, tables, ())


def run_summary(rounds=0, **changed) -> RunSummary:
    values = {
        "status": "finished", "rounds_completed": rounds, "accuracy": 0.9, "loss": 0.5, "client_accuracy_mean": None,
        "uplink_bytes": 300 * rounds, "downlink_bytes": 700 * rounds, "dense_uplink_bytes": 2000 * rounds,
        "dense_downlink_bytes": 2000 * rounds, "wall_s": 1.5, "weights_sha256": weights_sha256(MODEL),
    }  # fmt: skip
    return RunSummary(**{**values, **changed})


@pytest.fixture(scope="session")
def info():
    return federation_info()


@pytest.fixture(scope="session")
def spec():
    return SPEC


@pytest.fixture(scope="session")
def model():
    return MODEL


@pytest.fixture(scope="session")
def make_round():
    return round_result


@pytest.fixture(scope="session")
def make_summary():
    return run_summary


@pytest.fixture
def run_folder(tmp_path):
    """The folder of a run that is about to start."""
    return RunFolder.create(tmp_path / "run", Settings(), "federated_learning_rounds: 8\n")


@pytest.fixture(scope="session")
def migrated_store(tmp_path_factory):
    """An MLflow database with all its tables; making one takes seconds, so that tests copy this one."""
    from fedchunk.orchestrator.tracking.store import open_store

    folder = tmp_path_factory.mktemp("mlflow")
    open_store(f"sqlite:///{folder / 'mlflow.db'}")
    return folder / "mlflow.db"


@pytest.fixture
def store_file(migrated_store, tmp_path):
    """The file of an empty MLflow store of the test's own."""
    (tmp_path / "store").mkdir()
    return shutil.copy(migrated_store, tmp_path / "store" / "mlflow.db")


@pytest.fixture
def query(store_file):
    """Asks the store's database directly."""

    def ask(sql):
        with sqlite3.connect(store_file) as connection:
            rows = connection.execute(sql).fetchall()
        connection.close()
        return rows

    return ask
