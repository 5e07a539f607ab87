"""A run that was killed and goes on is the run that was never killed: same tables (times aside), same weights."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import fedchunk
from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.core.records import SCHEMAS

BASE = {
    "dataset_type": "synthetic", "synthetic_samples": 240, "synthetic_test_samples": 60, "synthetic_classes": 4,
    "synthetic_size": 6, "number_of_clients": 5, "federated_learning_rounds": 8, "data_distribution_kind": "dir",
    "dirichlet_beta": 1.0, "train_batch_size": 16, "learning_rate": 0.1, "device": "cpu", "mlflow_enabled": False,
    "chunking": True, "chunking_parts": 20, "sensitivity_percentage": 30.0, "checkpoint_interval": 2,
}  # fmt: skip
PEERS = {
    "federated_learning_schema": "DecentralizedFederatedLearning",
    "federated_learning_topology": "ring",
    "evaluation_interval": 3,
}
KINDS = {
    "contributors": {"metrics": ["top5"], "clients_per_group": 2},
    "forgotten": {"chunk_score": "random", "client_sampling_rate": 0.6, "sensitivity_percentage": 60.0},
    "own_weights": {"chunk_reconstruction": "own_weights", "client_sampling_rate": 0.6},
    "feedback": {
        "chunk_reconstruction": "error_feedback", "downlink_sensitivity_percentage": 30, "withheld_share": 0.5,
        "client_sampling_rate": 0.6, "server_optimizer": "adam", "chunk_encoding": "int4",
        "chunk_score": "accumulated", "initial_model": "seed",
    },
    "consensus": {
        "chunk_agreement": "consensus", "chunk_reconstruction": "error_feedback", "agreement_interval": 3,
        "evaluate_clients": True,
    },
    "tensors": {
        "chunk_layout": "tensors", "chunk_reconstruction": "error_feedback", "chunk_encoding": "drive",
        "client_sampling_rate": 0.6, "chunk_max_age": 3,
    },
    "home": {
        "local_parameters": ["1.*"], "chunk_reconstruction": "error_feedback", "client_sampling_rate": 0.6,
        "evaluate_clients": True,
    },
    "dense_home": {"chunking": False, "local_parameters": ["5.*"], "client_sampling_rate": 0.6},
    "budget": {"sensitivity_policy": "budget", "sensitivity_budget_mb": 0.5, "chunk_max_age": 3},
    "dense": {"chunking": False, "server_optimizer": "yogi", "learning_rate_schedule": "cosine"},
    "relay": {
        **PEERS, "chunk_reconstruction": "relay", "withheld_share": 0.5, "chunk_encoding": "int4",
        "chunk_score": "accumulated",
    },
    "relay_tree": {
        **PEERS, "chunk_reconstruction": "relay_tree", "downlink_sensitivity_percentage": 30, "chunk_encoding": "int4",
        "chunk_score": "accumulated",
    },
    "stale_copies": {**PEERS, "chunk_reconstruction": "stale_copies"},
    "peers": PEERS,
    "peers_home": {**PEERS, "local_parameters": ["1.*"], "final_average": True, "client_test_share": 0.2},
    "momentum": {
        "momentum": 0.9, "momentum_start": "quasi_global", "learning_rate": 0.03, "chunk_score": "accumulated",
        "chunk_reconstruction": "error_feedback", "client_sampling_rate": 0.6, "learning_rate_schedule": [0.05, 0.03],
    },
    "dense_momentum": {"chunking": False, "momentum": 0.9, "momentum_start": "quasi_global"},
    "final_average": {
        **PEERS, "chunk_reconstruction": "stale_copies", "final_average": True, "final_average_encoding": "float16",
    },
    "peers_momentum": {**PEERS, "momentum": 0.9, "momentum_start": "quasi_global", "learning_rate": 0.03},
}  # fmt: skip
TIMES = {"train_s", "aggregate_s", "evaluate_s", "wall_s", "actors_busy"}

KILLED = """
import glob, json, os, sys, time
import fedchunk

settings, folder, at, local = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "local"
going_on = os.path.exists(folder)


def there(pattern):
    return glob.glob(os.path.join(folder, pattern))


def on_round(row):
    if row["round"] == at:
        for _ in range(600):  # until there is something to go on from, and rounds beyond it
            if there("checkpoints/round-*") and there("tables/rounds.parts/part-0000[1-9]*"):
                break
            time.sleep(0.02)
        os.kill(os.getpid(), 9)


if going_on:
    fedchunk.resume(folder, local=local, on_round=on_round, progress=False)
else:
    fedchunk.run(settings, output=folder, local=local, on_round=on_round, progress=False)
"""


def killed(folder, at, where="local", **settings):
    """A run, or one that goes on, that is killed once round ``at`` is over."""
    command = [sys.executable, "-c", KILLED, json.dumps({**BASE, **settings}), str(folder), str(at), where]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder.parent)
    assert ended.returncode == -9, ended.stderr
    return folder


def results(run):
    """Everything that a run recorded but times."""
    tables = {name: run.tables[name] for name in SCHEMAS if name != "profile"}
    dropped = {name: [c for c in table.column_names if c in TIMES] for name, table in tables.items()}
    return {name: table.drop_columns(dropped[name]).to_pylist() for name, table in tables.items()}


def assert_same(run, whole):
    assert run.summary["weights_sha256"] == whole.summary["weights_sha256"]
    assert run.status == whole.status == "finished"
    for name, rows in results(whole).items():
        assert results(run)[name] == rows, name


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that was never killed, of each kind."""
    runs = {}

    def of(kind, **more):
        key = (kind, *more.items())
        if key not in runs:
            folder = tmp_path_factory.mktemp("whole") / "run"
            runs[key] = fedchunk.run({**BASE, **KINDS[kind], **more}, output=folder, local=True, progress=False)
        return runs[key]

    return of


@pytest.mark.parametrize("kind", KINDS)
def test_killed_twice_and_resumed_it_is_the_run_that_was_never_killed(kind, whole, tmp_path):
    folder = killed(tmp_path / "run", 3, **KINDS[kind])
    killed(folder, 6)

    assert_same(fedchunk.resume(folder, local=True, number_of_actors=3, progress=False), whole(kind))


@pytest.mark.ray
def test_it_may_begin_on_ray_and_end_in_process_and_the_other_way_round(whole, tmp_path):
    on_ray = killed(tmp_path / "ray", 5, "ray", number_of_actors=2, **KINDS["feedback"])
    local = killed(tmp_path / "local", 3, **KINDS["feedback"])

    assert_same(fedchunk.resume(on_ray, local=True, progress=False), whole("feedback"))
    assert_same(fedchunk.resume(local, number_of_actors=1, progress=False), whole("feedback"))


def test_without_any_checkpoint_it_begins_again_and_keeps_what_is_recorded(whole, tmp_path):
    kind = KINDS["own_weights"]
    assert (tmp_path / "run").parent.is_dir()
    folder = tmp_path / "run"
    fedchunk.run(
        {**BASE, **kind}, output=folder, local=True, progress=False, checkpoint_interval=0,
        federated_learning_rounds=3,
    )  # fmt: skip
    before = (folder / "tables" / "rounds.parquet").read_bytes()
    run = fedchunk.resume(folder, local=True, progress=False, federated_learning_rounds=8)

    assert not list(folder.glob("checkpoints/*"))
    assert_same(run, whole("own_weights"))
    assert len(before)


def test_a_finished_run_goes_on_and_says_so_in_its_settings(whole, tmp_path):
    folder = tmp_path / "run"
    fedchunk.run({**BASE, **KINDS["feedback"]}, output=folder, local=True, progress=False, federated_learning_rounds=5)
    same = fedchunk.resume(folder, local=True, progress=False)
    more = fedchunk.resume(folder, local=True, progress=False, federated_learning_rounds=8)

    assert (same.num_rounds, more.num_rounds) == (5, 8)
    assert_same(more, whole("feedback"))
    assert json.loads((folder / "config.json").read_text())["federated_learning_rounds"] == 8
    assert fedchunk.load_settings(folder / "config.yaml").federation.federated_learning_rounds == 8


def test_a_damaged_checkpoint_is_said_and_the_one_before_is_used(whole, tmp_path, caplog):
    folder = killed(tmp_path / "run", 6, checkpoints_to_keep=10, **KINDS["feedback"])
    newest = sorted((folder / "checkpoints").glob("round-*.json"))[-1]
    states = json.loads(newest.read_text())["states"]
    file = folder / "checkpoints" / states[-1][0]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)

    assert_same(fedchunk.resume(folder, local=True, progress=False), whole("feedback"))
    assert "is damaged" in caplog.text


def test_clients_without_models_are_not_sent_messages_to_add_to_them(tmp_path):
    folder = killed(tmp_path / "run", 3, **KINDS["feedback"])

    with pytest.raises(ConfigError, match="transport: got tcp, but clients have kept no models that messages could be"):
        fedchunk.resume(folder, local=True, progress=False, transport="tcp")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"learning_rate": 0.2}, "learning_rate: got 0.2, which would change rounds that are over; it was 0.1"),
        ({"number_of_clients": 6}, "which would change rounds that are over; it was 5"),
        ({"chunk_score": "random"}, "which would change rounds that are over"),
    ],
)
def test_what_would_change_the_past_is_refused_by_name(settings, words, tmp_path):
    folder = tmp_path / "run"
    fedchunk.run({**BASE, "federated_learning_rounds": 2}, output=folder, local=True, progress=False)
    before = (folder / "summary.json").read_text()

    with pytest.raises(ConfigError) as caught:
        fedchunk.resume(folder, local=True, progress=False, **settings)

    assert words in str(caught.value)
    assert (folder / "summary.json").read_text() == before, "nothing is touched"


def test_more_rounds_are_refused_where_the_first_ones_knew_how_many_there_were(tmp_path):
    folder = tmp_path / "run"
    fedchunk.run({**BASE, **KINDS["dense"]}, output=folder, local=True, progress=False)

    with pytest.raises(ConfigError, match="learning_rate_schedule spreads over all rounds"):
        fedchunk.resume(folder, local=True, progress=False, federated_learning_rounds=9)


def test_more_rounds_are_refused_where_the_last_one_made_all_models_one(tmp_path):
    folder = tmp_path / "run"
    run = fedchunk.run(
        {**BASE, **KINDS["final_average"]}, output=folder, local=True, progress=False, federated_learning_rounds=3
    )
    before = run.summary["weights_sha256"]

    assert fedchunk.resume(folder, local=True, progress=False).summary["weights_sha256"] == before
    for rounds in (2, 4):
        words = f"_rounds: got {rounds}, but final_average belongs to the last round, .*; allowed: 3, or a new run"
        with pytest.raises(ConfigError, match=words):
            fedchunk.resume(folder, local=True, progress=False, federated_learning_rounds=rounds)


SCORE = "import numpy as np\n\n\ndef mine(change_C):\n    return {value}\n"


def test_a_component_whose_source_changed_is_refused_unless_that_is_accepted(tmp_path):
    file, folder = tmp_path / "mine.py", tmp_path / "run"
    file.write_text(SCORE.format(value="change_C.astype(np.float32)"))
    settings = {**BASE, "chunk_score": f"{file}:mine"}
    fedchunk.run(settings, output=folder, local=True, progress=False, federated_learning_rounds=4)
    file.write_text(SCORE.format(value="-change_C.astype(np.float32)"))

    with pytest.raises(ConfigError, match=r"mine\.py has changed since the run began; --accept-changes"):
        fedchunk.resume(folder, local=True, progress=False, federated_learning_rounds=6)
    run = fedchunk.resume(folder, local=True, progress=False, federated_learning_rounds=6, accept_changes=True)
    file.unlink()
    again = fedchunk.resume(folder, local=True, progress=False, federated_learning_rounds=7)

    assert (run.num_rounds, again.num_rounds) == (6, 7)


def test_two_processes_do_not_resume_the_same_run(tmp_path):
    folder = tmp_path / "run"
    fedchunk.run({**BASE, "federated_learning_rounds": 2}, output=folder, local=True, progress=False)
    script = (
        "import sys; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]): print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match="another process is recording into this folder"):
            fedchunk.resume(folder, local=True, progress=False, federated_learning_rounds=3)
        other.stdin.close()


def test_mlflow_shows_one_run_with_each_round_once(tmp_path):
    store = tmp_path / "mlflow.db"
    tracked = {"mlflow_enabled": True, "mlflow_tracking_uri": f"sqlite:///{store}"}
    folder = killed(tmp_path / "run", 5, **tracked)
    run = fedchunk.resume(folder, local=True, progress=False)

    with sqlite3.connect(store) as database:
        assert database.execute("select status from runs").fetchall() == [("FINISHED",)]
        key = "select count(*), count(distinct step) from metrics where key = 'accuracy/global'"
        assert database.execute(key).fetchall() == [(8, 8)]
        total = "select value from metrics where key = 'bytes/uplink_total' and step = 8"
        assert database.execute(total).fetchall() == [(sum(run.rounds["uplink_bytes"].to_pylist()),)]


def test_the_command_resumes_too(whole, tmp_path):
    folder = killed(tmp_path / "run", 3, **KINDS["own_weights"])
    command = [Path(sys.executable).with_name("fedchunk"), "run", "--resume", str(folder), "--local", "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)

    answer = json.loads(done.stdout)
    assert (answer["status"], answer["rounds_completed"]) == ("finished", 8)
    assert answer["weights_sha256"] == whole("own_weights").summary["weights_sha256"]
    assert os.path.samefile(answer["output_dir"], folder)
    refused = subprocess.run([*command, "random_seed=7"], check=False, capture_output=True, text=True, cwd=tmp_path)
    assert refused.returncode == 2
    assert "random_seed: got 7, which would change rounds that are over" in refused.stderr


def test_a_run_that_had_got_where_it_was_to_get_goes_no_further_and_keeps_its_weights(tmp_path):
    enough = {**BASE, **KINDS["own_weights"], "stop_avg_accuracy": 0.3, "federated_learning_rounds": 30}
    run = fedchunk.run(enough, output=tmp_path / "run", local=True, progress=False)
    again = fedchunk.resume(tmp_path / "run", local=True, progress=False)
    further = fedchunk.resume(tmp_path / "run", local=True, progress=False, stop_avg_accuracy=0.999)

    assert 1 <= run.num_rounds < 30
    assert (again.num_rounds, again.summary["weights_sha256"]) == (run.num_rounds, run.summary["weights_sha256"])
    assert further.num_rounds > run.num_rounds
