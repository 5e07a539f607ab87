"""Whole experiments through the command line, in this process (``--local``)."""

import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedchunk.analysis import load_run
from fedchunk.orchestrator.cli import app

SMALL = """
dataset_type: synthetic
synthetic_samples: 60
synthetic_test_samples: 20
synthetic_classes: 3
number_of_clients: 3
federated_learning_rounds: 3
evaluate_clients: true
chunking: true
chunking_parts: 20
sensitivity_percentage: 25
chunk_reconstruction: own_weights
device: cpu
mlflow_enabled: false
"""


@pytest.fixture
def config(in_folder) -> Path:
    path = in_folder / "small.yaml"
    path.write_text(SMALL)
    return path


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def answer_of(result) -> dict:
    assert result.stdout.count("\n") == 1, result.output
    return json.loads(result.stdout)


def command_line(*arguments) -> list[str]:
    return [sys.executable, "-c", "from fedchunk.orchestrator.main import main; main()", *map(str, arguments)]


def test_a_run_answers_with_figures_and_leaves_a_readable_folder(config, in_folder):
    result = invoke("run", config, "--local", "--output", "results", "--json")

    answer = answer_of(result)
    assert result.exit_code == 0
    assert (answer["status"], answer["rounds_completed"], answer["error"]) == ("finished", 3, None)
    assert answer["run_id"] is None
    assert answer["output_dir"] == str(in_folder / "results")
    assert 0 <= answer["accuracy"] <= 1
    assert 0 <= answer["client_accuracy_mean"] <= 1
    assert len(answer["weights_sha256"]) == 64
    rounds = load_run(in_folder / "results").tables["rounds"].to_pylist()
    assert sum(row["uplink_bytes"] for row in rounds) == answer["uplink_bytes"]
    assert sum(row["downlink_bytes"] for row in rounds) == answer["downlink_bytes"]
    assert "round 3/3" in result.stderr


def test_a_run_keeps_what_its_plan_said(config):
    """Shares, a client's own evaluation and the first download are all in it."""
    done = answer_of(invoke("run", config, "--local", "--json"))
    planned = answer_of(invoke("plan", config, "--json"))

    assert planned["uplink"]["low"] <= done["uplink_bytes"] <= planned["uplink"]["high"]
    assert planned["downlink"]["low"] <= done["downlink_bytes"] <= planned["downlink"]["high"]
    assert planned["dense"] == done["dense_uplink_bytes"] == done["dense_downlink_bytes"]


def test_full_exchange_costs_what_its_plan_said_to_the_byte(config):
    full = [config, "chunking=false", "evaluate_clients=false"]

    done = answer_of(invoke("run", *full, "--local", "--json"))
    planned = answer_of(invoke("plan", *full, "--json"))

    assert planned["uplink"] == {"low": done["uplink_bytes"], "high": done["uplink_bytes"]}
    assert planned["downlink"] == {"low": done["downlink_bytes"], "high": done["downlink_bytes"]}


PEERS = [
    "federated_learning_schema=DecentralizedFederatedLearning", "federated_learning_topology=ring",
    "chunk_encoding=int8", "evaluate_clients=false",
]  # fmt: skip


def test_peers_cost_what_their_plan_said_and_the_summary_is_of_their_models(config):
    result = invoke("run", config, *PEERS, "--local")
    done = answer_of(invoke("run", config, *PEERS, "--local", "--json"))
    planned = answer_of(invoke("plan", config, *PEERS, "--json"))

    assert planned["edges"] == 3
    assert planned["uplink"]["low"] <= done["uplink_bytes"] == done["downlink_bytes"] <= planned["uplink"]["high"]
    assert planned["dense"] == done["dense_uplink_bytes"]
    assert done["accuracy"] is None
    assert "worst" in result.stdout
    assert "consensus distance" in result.stdout
    assert "coordinator" not in result.stdout
    assert "peers" in result.stderr


def test_people_are_shown_what_was_saved_and_where_it_lies(config, in_folder):
    result = invoke("run", config, "--local")

    (folder,) = (in_folder / "runs").iterdir()
    assert "finished after 3 rounds" in result.stdout
    assert "saved" in result.stdout
    assert str(folder / "report.html") in result.stdout
    assert (folder / "report.html").exists()
    assert "MLflow" not in result.stdout


def test_missing_data_is_exit_1_and_the_folder_says_so(config, in_folder):
    result = invoke("run", config, "dataset_type=cifar10", "--local", "--output", "results", "--json")

    answer = answer_of(result)
    assert (result.exit_code, answer["status"]) == (1, "failed")
    assert str(Path("data")) in answer["error"]
    assert "Traceback" not in result.output
    run = load_run(in_folder / "results")
    assert (run.status, run.num_rounds) == ("failed", 0)
    assert run.summary["error"] == answer["error"]


def test_too_many_chunks_for_the_model_is_a_fault_of_the_configuration(config):
    for command in (["plan", config], ["run", config, "--local"]):
        result = invoke(*command, "chunking_parts=100000000", "--json")

        assert result.exit_code == 2
        assert answer_of(result)["faults"][0]["key"] == "chunking_parts"


def test_analyze_writes_where_it_is_told(config, in_folder):
    invoke("run", config, "--local", "--output", "results")

    result = invoke("analyze", "results", "--output", "elsewhere", "--json")

    answer = answer_of(result)
    assert answer["html"] == str(Path("elsewhere") / "report.html")
    assert all(Path(figure).exists() for figure in answer["figures"])
    assert "Importance" in invoke("analyze", "results").stdout


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupted_run_keeps_what_had_finished(config, in_folder, name):
    arguments = command_line(
        "run", config, "federated_learning_rounds=100000", "--local", "--output", "results", "--json"
    )
    # A shell that starts a command in the background lets it ignore Ctrl-C, and children inherit that.
    hears_ctrl_c = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hears_ctrl_c
    ) as process:
        next(line for line in process.stderr if line.startswith("round 2/"))
        process.send_signal(signal.Signals[name])
        out, _ = process.communicate(timeout=60)

    answer = json.loads(out)
    assert (process.returncode, answer["status"]) == (130, "interrupted")
    run = load_run(in_folder / "results")
    assert (run.status, run.num_rounds) == ("interrupted", answer["rounds_completed"])
    assert run.num_rounds >= 2
    assert (in_folder / "results" / "weights.safetensors").exists()


@pytest.mark.slow
def test_a_run_is_found_again_in_mlflow_by_its_id(config, in_folder):
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{in_folder}/store.db"}

    def answer(*arguments) -> dict:
        done = subprocess.run(
            command_line(*arguments, "--json"), capture_output=True, text=True, env=environment, check=True
        )
        return json.loads(done.stdout)

    run = answer("run", config, "mlflow_enabled=true", "--local")
    found = answer("analyze", run["run_id"], "--output", "report")
    sent = answer("sync", run["output_dir"])

    assert (in_folder / "store.db").exists()
    assert not (in_folder / "mlflow.db").exists()
    assert found["run"] == run["output_dir"]
    assert sent == {"run_id": run["run_id"], "metrics_sent": 0, "artifacts_uploaded": 0, "remaining": 0}
