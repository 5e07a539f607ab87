import json
import os
import time

import pytest
from typer.testing import CliRunner

import fedchunk
from fedchunk.orchestrator.cli import app
from fedchunk.orchestrator.commands.housekeeping import find_runs, removable
from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.recording.run_folder import RunFolder
from fedchunk.orchestrator.settings.whole import Settings

SMALL = {
    "dataset_type": "synthetic", "synthetic_samples": 80, "synthetic_test_samples": 40, "number_of_clients": 2,
    "federated_learning_rounds": 2, "device": "cpu", "local_steps": 1, "mlflow_enabled": False, "chunking": True,
}  # fmt: skip


def invoke(*arguments):
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    return done.exit_code, json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def runs(tmp_path):
    """A run that finished, one that is being recorded, one that was killed, and one that nobody can read."""
    fedchunk.run(SMALL, output=tmp_path / "runs" / "done", local=True, progress=False)
    RunFolder.create(tmp_path / "runs" / "killed", Settings(), "").close()
    RunFolder.create(tmp_path / "runs" / "damaged", Settings(), "").close()
    (tmp_path / "runs" / "damaged" / "summary.json").write_text("{")
    going_on = RunFolder.create(tmp_path / "runs" / "deep" / "running", Settings(), "")
    yield tmp_path / "runs"
    going_on.close()


def test_every_run_below_a_folder_is_listed_with_how_it_ended(runs):
    code, answer = invoke("list", runs)

    found = {os.path.basename(run["folder"]): run for run in answer["runs"]}
    assert code == 0
    assert {name: run["status"] for name, run in found.items()} == {
        "done": "finished", "running": "running", "killed": "killed", "damaged": "damaged",
    }  # fmt: skip
    done = found["done"]
    assert done["rounds"] == 2
    assert done["accuracy"] == fedchunk.load_run(runs / "done").summary["accuracy"]
    assert done["size"] > done["checkpoints"] > 0
    text = CliRunner().invoke(app, ["list", str(runs)]).stdout
    assert "accuracy" in text.splitlines()[0]
    assert len(text.splitlines()) == 5


def test_nothing_is_removed_unless_that_is_said(runs):
    code, answer = invoke("clean", runs)

    assert (code, answer["removed"]) == (0, False)
    assert [one["path"] for one in answer["paths"]] == [str(runs / "done" / "checkpoints")]
    assert (runs / "done" / "checkpoints").is_dir()
    invoke("clean", runs, "--yes")
    assert not (runs / "done" / "checkpoints").exists()
    assert fedchunk.load_run(runs / "done").weights, "results are never removed"
    assert (runs / "killed").is_dir()


def test_unfinished_runs_go_only_when_asked_for_and_never_one_that_goes_on(runs):
    invoke("clean", runs, "--unfinished", "--yes")

    assert sorted(path.name for path in runs.iterdir()) == ["damaged", "deep", "done"]
    assert (runs / "deep" / "running").is_dir()


def test_young_runs_can_be_spared(runs):
    old = time.time() - 5 * 86400
    for file in (runs / "killed").rglob("*"):
        os.utime(file, (old, old), follow_symlinks=False)

    found = removable(find_runs(runs), unfinished=True, older_days=4)

    assert [one.path.name for one in found] == ["killed"]


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ConfigError, match="there is no such folder"):
        find_runs(tmp_path / "nowhere")
