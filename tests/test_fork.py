"""A fork goes on from a checkpoint of another run: with nothing changed as that run did, else with what was changed."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fedchunk
from fedchunk.analysis.grouping import grouped, origin_text
from fedchunk.orchestrator.core.errors import ConfigError, RecordsError
from fedchunk.orchestrator.core.records import ROUND_TABLES
from fedchunk.orchestrator.recording.checkpoints import newest_checkpoint

BASE = {
    "dataset_type": "synthetic", "synthetic_samples": 240, "synthetic_test_samples": 60, "synthetic_classes": 4,
    "synthetic_size": 6, "number_of_clients": 5, "federated_learning_rounds": 6, "data_distribution_kind": "dir",
    "dirichlet_beta": 1.0, "train_batch_size": 16, "learning_rate": 0.1, "device": "cpu", "mlflow_enabled": False,
    "chunking": True, "chunking_parts": 20, "sensitivity_percentage": 30.0, "checkpoint_interval": 4,
}  # fmt: skip
AT = 4
PEERS = {"federated_learning_schema": "DecentralizedFederatedLearning", "federated_learning_topology": "ring"}
FEEDBACK = {
    "chunk_reconstruction": "error_feedback", "downlink_sensitivity_percentage": 30.0, "withheld_share": 0.5,
    "client_sampling_rate": 0.6, "server_optimizer": "adam", "chunk_encoding": "int4", "chunk_score": "accumulated",
    "initial_model": "seed",
}  # fmt: skip
KINDS = {
    "star": {},
    "feedback": FEEDBACK,
    "opened": {**FEEDBACK, "transport": "tcp"},
    "forgotten": {"chunk_score": "random", "client_sampling_rate": 0.6, "sensitivity_percentage": 60.0},
    "own_weights": {"chunk_reconstruction": "own_weights"},
    "consensus": {"chunk_agreement": "consensus", "evaluate_clients": True},
    "home": {"local_parameters": ["5.*"], "evaluate_clients": True, "client_sampling_rate": 0.6},
    "tensors": {"chunk_layout": "tensors", "chunk_reconstruction": "error_feedback", "client_sampling_rate": 0.6},
    "peers": PEERS,
    "stale_copies": {**PEERS, "chunk_reconstruction": "stale_copies"},
    "averaged": {**PEERS, "chunk_reconstruction": "stale_copies", "final_average": True},
    "relay": {**PEERS, "chunk_reconstruction": "relay", "chunk_score": "accumulated"},
    "relay_tree": {**PEERS, "chunk_reconstruction": "relay_tree", "downlink_sensitivity_percentage": 30.0},
}  # fmt: skip
TIMES = {"train_s", "aggregate_s", "evaluate_s", "wall_s", "actors_busy"}


@pytest.fixture(autouse=True)
def without_report(monkeypatch):
    """The report takes longer than these runs."""
    monkeypatch.setattr("fedchunk.orchestrator.run._write_report", lambda folder: folder / "report.html")


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """A finished run of each kind, with a checkpoint of round 4."""
    runs = {}

    def of(kind):
        if kind not in runs:
            folder = tmp_path_factory.mktemp(kind) / "parent"
            runs[kind] = fedchunk.run({**BASE, **KINDS[kind]}, output=folder, local=True, progress=False)
        return runs[kind]

    return of


def fork(run, folder, **changes):
    return fedchunk.fork(run, at=AT, output=folder, local=True, progress=False, **changes)


def rows(run, name, *, to=6):
    table = run.tables[name]
    kept = [column for column in table.column_names if column not in TIMES]
    return [row for row in table.select(kept).to_pylist() if row["round"] <= to]


@pytest.mark.parametrize("kind", KINDS)
def test_with_nothing_changed_it_is_the_run_that_went_on(kind, parent, tmp_path):
    whole = parent(kind)
    before = {path: path.stat().st_mtime_ns for path in sorted(whole.path.rglob("*")) if path.name != ".lock"}
    run = fork(whole, tmp_path / "fork", number_of_actors=2)

    assert run.status == "finished"
    assert run.summary["weights_sha256"] == whole.summary["weights_sha256"]
    for name in ROUND_TABLES:
        assert rows(run, name) == rows(whole, name), name
    origin = run.config["forked_from"]
    assert (origin["run"], origin["round"]) == (str(whole.path.resolve()), AT)
    assert run.summary["forked_from"] == origin
    assert len(grouped([whole, run])) == 1, "it is no other experiment"
    assert {path: path.stat().st_mtime_ns for path in sorted(whole.path.rglob("*")) if path.name != ".lock"} == before


def test_the_digest_is_that_of_the_weights_after_the_round(parent, tmp_path):
    run = fork(parent("star"), tmp_path / "fork")
    short = {**BASE, "federated_learning_rounds": AT}
    until_then = fedchunk.run(short, output=tmp_path / "short", local=True, progress=False)

    assert run.config["forked_from"]["weights_sha256"] == until_then.summary["weights_sha256"]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("star", {"learning_rate": 0.3}),
        ("own_weights", {"chunk_reconstruction": "contributors"}),
        ("star", {"chunk_score": "accumulated", "chunk_encoding": "int8"}),
        ("star", {"server_optimizer": "adam", "federated_learning_rounds": 9}),
        ("star", {"client_sampling_rate": 0.6, "clients_per_group": 2, "sensitivity_policy": "energy"}),
        ("feedback", {"downlink_sensitivity_percentage": 60.0, "withheld_share": 0.0}),
        ("feedback", {"server_optimizer": "none", "chunk_compression": "zstd", "chunk_score": "random"}),
        ("feedback", {"chunk_encoding": "ternary"}),
        ("consensus", {"agreement_scores": "none"}),
        ("peers", {"federated_learning_topology": "complete", "chunk_score": "update"}),
        ("stale_copies", {"withheld_share": 0.5, "chunk_encoding": "int8"}),
        ("relay", {"relay_step": 1.2, "withheld_share": 0.5}),
        ("relay_tree", {"downlink_sensitivity_percentage": 60.0, "chunk_encoding": "int8"}),
    ],
)
def test_what_changes_counts_after_the_round_and_not_before(kind, changes, parent, tmp_path):
    whole = parent(kind)
    run = fork(whole, tmp_path / "fork", **changes)

    assert run.status == "finished"
    assert run.num_rounds == changes.get("federated_learning_rounds", 6)
    for name in ROUND_TABLES:
        assert rows(run, name, to=AT) == rows(whole, name, to=AT), name
    assert run.summary["weights_sha256"] != whole.summary["weights_sha256"]
    for key, value in changes.items():
        assert run.config[key] == value
        assert run.config["forked_from"]["before"][key] == whole.config[key]


def test_a_share_of_the_downlink_counts_from_the_next_round_on(parent, tmp_path):
    """It stands in the coordinator's model, and must not come back with the checkpoint."""
    run = fork(parent("feedback"), tmp_path / "fork", downlink_sensitivity_percentage=100.0)
    down = run.rounds["downlink_bytes"].to_pylist()
    of_parent = parent("feedback").rounds["downlink_bytes"].to_pylist()

    assert down[:AT] == of_parent[:AT]
    assert down[5] > 1.5 * of_parent[5], "what round 5 moved comes down in round 6"


def test_with_another_encoding_clients_hear_what_was_told_in_the_old_one(parent, tmp_path):
    """Those who took part in a round hold, bit for bit, what the coordinator knew that they would after the last.

    Messages are opened: else clients are given what they come to, and hold no models.
    """
    everyone = {"client_sampling_rate": 1.0, "checkpoint_interval": 1, "checkpoints_to_keep": 9}
    run = fork(parent("opened"), tmp_path / "fork", chunk_encoding="ternary", **everyone)

    kept = {at: newest_checkpoint(run.path / "checkpoints", at) for at in (AT, 5, 6)}
    for at in (AT, 5):
        shared_P = kept[at].coordinator["model"]["shared"].weights_P
        held = [states for one in kept[at + 1].objects for states in one.load()]
        rows_P = [states.weights_MP[row] for states in held for row in states.model_rows]
        assert len(rows_P) == BASE["number_of_clients"]
        assert all(np.array_equal(row_P, shared_P) for row_P in rows_P)


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("star", {"model_type": "logistic"}, "model_type: got 'logistic', but the checkpoint holds the weights of"),
        ("star", {"local_parameters": ["5.*"]}, "but the checkpoint holds what is shared of the model"),
        ("star", {"chunk_layout": "tensors"}, "chunk_layout: got 'tensors', but the checkpoint knows of each of its"),
        ("star", {"chunking_parts": 10}, "chunking_parts: got 10, but the checkpoint knows of each of its chunks"),
        ("star", {"number_of_clients": 6}, "clients go on with the samples that they have; it was 5"),
        ("star", {"dirichlet_beta": 0.5}, "clients go on with the samples that they have; it was 1.0"),
        ("star", {"random_seed": 7}, "random_seed: got 7, but rounds that are over drew from it"),
        ("star", {"chunk_agreement": "consensus"}, "only where chunks are agreed on"),
        ("star", {"chunk_reconstruction": "error_feedback"}, "the two rules remember other things"),
        ("star", {"chunk_reconstruction": "own_weights"}, "clients keep of their models what contributors needs"),
        ("feedback", {"transport": "tcp"}, "got tcp, but clients have kept no models that messages could be added to"),
        ("feedback", {"catch_up": "approximate"}, "got approximate, but clients have kept no models"),
        ("relay", {"chunk_reconstruction": "relay_tree"}, "the two rules remember other things"),
        ("star", {"federated_learning_rounds": 4}, "got 4, but 4 rounds are over; allowed: more than that"),
        ("feedback", {"server_optimizer": "yogi"}, "the checkpoint holds the state of adam; allowed: that, or none"),
        ("stale_copies", {"federated_learning_topology": "complete"}, "keeps the sum of what it has heard of its"),
        ("stale_copies", {"stale_copy_step": 0.1}, "stale_copy_step: is 0.1 where it was 0.51, but the models"),
        ("stale_copies", {"sensitivity_percentage": 20.0}, "stale_copy_step: is 0.34 where it was 0.51"),
        ("star", {"momentum": 0.9, "momentum_start": "quasi_global"}, "clients remember from round to round"),
    ],
)
def test_what_the_state_does_not_fit_is_refused_by_name(kind, changes, said, parent, tmp_path):
    with pytest.raises(ConfigError) as caught:
        fork(parent(kind), tmp_path / "fork", **changes)

    assert said in str(caught.value)
    assert not (tmp_path / "fork").exists()


def test_from_models_that_a_final_average_made_one_no_run_goes_on(parent, tmp_path):
    whole = parent("averaged")
    with pytest.raises(ConfigError, match="final_average: ended round 6, and made the peers' models one"):
        fedchunk.fork(whole, at=6, output=tmp_path / "last", local=True, progress=False, federated_learning_rounds=8)
    longer = fork(whole, tmp_path / "longer", federated_learning_rounds=7)
    assert rows(longer, "ledger", to=5) == rows(whole, "ledger", to=5)
    assert longer.rounds["consensus_distance"].to_pylist()[5] > 0 == longer.rounds["consensus_distance"].to_pylist()[6]


def test_a_round_without_a_checkpoint_is_refused_with_those_that_have_one(parent, tmp_path):
    with pytest.raises(ConfigError, match="got 3; there are checkpoints of rounds 4, 6"):
        fedchunk.fork(parent("star").path, at=3, output=tmp_path / "fork")
    none = {**BASE, "checkpoint_interval": 0, "federated_learning_rounds": 1}
    without = fedchunk.run(none, output=tmp_path / "without", local=True, progress=False)
    with pytest.raises(ConfigError, match="has no checkpoints; a run keeps some with checkpoint_interval"):
        fedchunk.fork(without, output=tmp_path / "fork")


def test_a_damaged_checkpoint_is_not_gone_on_from(parent, tmp_path):
    folder = tmp_path / "copy"
    run = fedchunk.fork(parent("star"), at=AT, output=folder, local=True, progress=False, checkpoint_interval=5)
    file = next(run.path.glob("checkpoints/coordinator-00005.safetensors"))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(RecordsError, match="the checkpoint of round 5 is damaged"):
        fedchunk.fork(run, at=5, output=tmp_path / "fork", local=True, progress=False)
    assert not (tmp_path / "fork").exists()


def test_a_fork_is_a_run_like_any_other_it_is_resumed_and_forked(parent, tmp_path):
    first = fork(parent("star"), tmp_path / "first", learning_rate=0.3, checkpoint_interval=5)
    again = fedchunk.resume(first.path, local=True, progress=False, federated_learning_rounds=7)
    second = fedchunk.fork(first.path, at=6, output=tmp_path / "second", local=True, progress=False, learning_rate=0.2)

    assert again.num_rounds == 7
    assert again.summary["forked_from"] == first.config["forked_from"]
    assert second.config["forked_from"]["forked_from"] == first.config["forked_from"]
    assert origin_text(second.config["forked_from"]) == "round 6 of learning_rate=0.3; round 4 of learning_rate=0.1"
    assert len(grouped([parent("star"), again, second])) == 3


def test_forks_of_two_seeds_are_one_group_and_apart_from_runs_that_began_so(parent, tmp_path):
    seed_7 = fedchunk.run({**BASE, "random_seed": 7}, output=tmp_path / "seven", local=True, progress=False)
    forks = [
        fork(run, tmp_path / f"fork{number}", learning_rate=0.3) for number, run in enumerate((parent("star"), seed_7))
    ]
    began_so = fedchunk.run({**BASE, "learning_rate": 0.3}, output=tmp_path / "so", local=True, progress=False)
    labels = {group.label: len(group.runs) for group in fedchunk.compare([*forks, began_so]).groups}

    assert labels == {"forked_from=round 4 of learning_rat\u2026": 2, "forked_from=null": 1}


def halved(change_C):
    return change_C / 2


def doubled(change_C):
    return change_C * 2


def test_objects_of_python_are_handed_over_again_and_their_source_counts(tmp_path):
    run = fedchunk.run({**BASE, "chunk_score": halved}, output=tmp_path / "run", local=True, progress=False)
    same = fork(run, tmp_path / "same", chunk_score=halved)
    other = fork(run, tmp_path / "other", chunk_score=doubled)

    assert same.summary["weights_sha256"] == run.summary["weights_sha256"]
    assert (same.config["forked_from"]["before"], list(other.config["forked_from"]["before"])) == ({}, ["chunk_score"])
    with pytest.raises(ConfigError, match="random_seed: got 7, but rounds that are over drew from it"):
        fork(run, tmp_path / "refused", chunk_score=halved, random_seed=7)


def test_of_what_no_file_has_the_past_is_known_only_once_it_is_handed_over_again(tmp_path):
    typed = {}
    exec("def third(change_C):\n    return change_C / 3\n", typed)
    run = fedchunk.run({**BASE, "chunk_score": typed["third"]}, output=tmp_path / "run", local=True, progress=False)

    with pytest.raises(ConfigError, match="chunk_score"):
        fork(run, tmp_path / "missing")
    with pytest.raises(ConfigError, match="random_seed: got 7, but rounds that are over drew from it"):
        fork(run, tmp_path / "refused", chunk_score=typed["third"], random_seed=7)


def test_mlflow_has_a_run_of_its_own_with_the_whole_curve_and_where_it_comes_from(tmp_path):
    tracked = {"mlflow_enabled": True, "mlflow_tracking_uri": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    whole = fedchunk.run({**BASE, **tracked}, output=tmp_path / "parent", local=True, progress=False)
    run = fork(whole, tmp_path / "fork", learning_rate=0.3)

    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        runs = dict(database.execute("select name, run_uuid from runs").fetchall())
        tags = dict(database.execute("select key, value from tags where run_uuid = ?", (runs["fork"],)).fetchall())
        steps = database.execute(
            "select count(*) from metrics where key = 'accuracy/global' and run_uuid = ?", (runs["fork"],)
        ).fetchone()
    assert set(runs) == {"parent", "fork"}
    assert tags["fedchunk.forked_from.mlflow_run_id"] == runs["parent"]
    assert tags["fedchunk.forked_from.round"] == "4"
    assert tags["fedchunk.forked_from.weights_sha256"] == run.config["forked_from"]["weights_sha256"]
    assert steps == (6,)


def test_the_command_forks_too(parent, tmp_path):
    whole = parent("peers")
    command = [Path(sys.executable).with_name("fedchunk"), "fork", str(whole.path), "--local", "--json", "--at", "4"]
    done = subprocess.run(
        [*command, "learning_rate=0.1", "--output", "f"], check=True, capture_output=True, text=True, cwd=tmp_path
    )

    answer = json.loads(done.stdout)
    assert answer["weights_sha256"] == whole.summary["weights_sha256"]
    assert answer["forked_from"]["round"] == 4
    refused = subprocess.run([*command, "random_seed=7"], check=False, capture_output=True, text=True, cwd=tmp_path)
    assert refused.returncode == 2
    assert "random_seed: got 7, but rounds that are over drew from it" in refused.stderr
