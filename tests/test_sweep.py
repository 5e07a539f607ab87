"""Sweeps: each trial has the bits of its single run; what is there is not run again; what fails stops nobody."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import fedchunk
from fedchunk.orchestrator.core.errors import ConfigError

BASE = {
    "dataset_type": "synthetic", "synthetic_samples": 160, "synthetic_test_samples": 40, "number_of_clients": 4,
    "federated_learning_rounds": 3, "chunking": True, "chunking_parts": 20, "sensitivity_percentage": 30,
    "device": "cpu", "local_steps": 2, "mlflow_enabled": False,
}  # fmt: skip
AXES = {"random_seed": (1, 2), "sensitivity_percentage": (20, 60)}


def digests(sweep):
    return {name: run.summary["weights_sha256"] for name, run in sweep.runs.items()}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The digests of the trials, each run by itself."""
    folder = tmp_path_factory.mktemp("alone")
    return {
        f"random_seed-{seed}_sensitivity_percentage-{share}": fedchunk.run(
            BASE, output=folder / f"{seed}-{share}", local=True, progress=False, random_seed=seed,
            sensitivity_percentage=share,
        ).summary["weights_sha256"]
        for seed in AXES["random_seed"]
        for share in AXES["sensitivity_percentage"]
    }  # fmt: skip


def test_each_trial_has_the_bits_of_its_single_run(alone, tmp_path):
    done = fedchunk.sweep(BASE, AXES, output=tmp_path / "sweep", local=True)

    assert digests(done) == alone
    assert {standing.status for standing in done.standings.values()} == {"finished"}
    assert {group.settings["sensitivity_percentage"] for group in done.compare().groups} == {20, 60}


@pytest.mark.ray
def test_workers_on_ray_play_the_same_trials(alone, tmp_path):
    done = fedchunk.sweep(BASE, AXES, output=tmp_path / "sweep", parallel=2)

    assert digests(done) == alone


def test_begun_again_it_runs_only_what_is_missing(alone, tmp_path):
    folder = tmp_path / "sweep"
    fedchunk.sweep(BASE, {**AXES, "random_seed": (1,)}, output=folder, local=True)
    first = folder / "trials" / "random_seed-1_sensitivity_percentage-20"
    (folder / "trials" / "random_seed-1_sensitivity_percentage-60" / "summary.json").write_text(
        json.dumps({"status": "running"})  # as if it had been killed
    )
    before = (first / "summary.json").stat().st_mtime_ns

    done = fedchunk.sweep(BASE, AXES, output=folder, local=True)

    assert digests(done) == alone
    assert (first / "summary.json").stat().st_mtime_ns == before
    assert done.standings[first.name].status == "there"


def good(change_C):
    return change_C.astype("float32")


def bad(change_C):
    raise RuntimeError("no score today")


def test_a_trial_that_fails_does_not_stop_the_others(tmp_path):
    done = fedchunk.sweep(BASE, {"chunk_score": (bad, good)}, output=tmp_path / "sweep", local=True)

    failed, finished = done.standings["chunk_score-bad"], done.standings["chunk_score-good"]
    assert (failed.status, finished.status) == ("failed", "finished")
    assert "no score today" in failed.error
    assert list(done.runs) == ["chunk_score-good"]


def test_faults_of_all_trials_are_told_before_any_begins(tmp_path):
    with pytest.raises(ConfigError) as caught:
        fedchunk.sweep(
            BASE, {"sensitivity_percentage": (5, 500), "k_value": (0,)}, output=tmp_path / "sweep", local=True
        )

    assert {fault.key for fault in caught.value.faults} == {"sensitivity_percentage", "k_value"}
    assert not (tmp_path / "sweep").exists()


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds something that is no sweep"):
        fedchunk.sweep(BASE, AXES, output=tmp_path, local=True)
    fedchunk.sweep(BASE, {"random_seed": (1,)}, output=tmp_path / "s", local=True)
    with pytest.raises(ConfigError, match=r"is recorded with 2, now it is 3; use another --output"):
        fedchunk.sweep({**BASE, "local_steps": 3}, {"random_seed": (1,)}, output=tmp_path / "s", local=True)


def test_mlflow_shows_trials_below_the_sweep(tmp_path):
    store = tmp_path / "mlflow.db"
    tracked = {"mlflow_enabled": True, "mlflow_tracking_uri": f"sqlite:///{store}"}
    fedchunk.sweep({**BASE, **tracked}, {"random_seed": (1, 2)}, output=tmp_path / "sweep", local=True)

    with sqlite3.connect(store) as database:
        runs = dict(database.execute("select run_uuid, name from runs").fetchall())
        parents = database.execute("select run_uuid, value from tags where key = 'mlflow.parentRunId'").fetchall()
        assert database.execute("select distinct status from runs").fetchall() == [("FINISHED",)]
    assert len(runs) == 3
    assert {runs[child] for child, _ in parents} == {"random_seed-1", "random_seed-2"}
    assert {runs[parent] for _, parent in parents} == {"sweep"}


def test_the_command_says_what_became_of_each_and_compares(tmp_path):
    (tmp_path / "base.yaml").write_text(json.dumps(BASE))
    (tmp_path / "s.yaml").write_text("base: base.yaml\naxes:\n  random_seed: 1..2\n")
    command = [Path(sys.executable).with_name("fedchunk"), "sweep", "s.yaml", "chunk_score=gradient,random", "--local"]
    done = subprocess.run([*command, "--json"], cwd=tmp_path, capture_output=True, text=True, check=True)

    answer = json.loads(done.stdout)
    assert {trial["status"] for trial in answer["trials"].values()} == {"finished"}
    assert len(answer["trials"]) == 4
    assert Path(tmp_path / answer["comparison"]).is_file()
    assert done.stderr.count("finished ") == 4
