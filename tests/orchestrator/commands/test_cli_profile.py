"""``fedchunk run --profile``, in this process."""

import json

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
federated_learning_rounds: 2
chunking: true
chunking_parts: 20
sensitivity_percentage: 25
device: cpu
mlflow_enabled: false
"""


@pytest.fixture
def run(in_folder):
    """Runs the small experiment into the folder ``results``; what was printed."""
    (in_folder / "small.yaml").write_text(SMALL)

    def invoke(*arguments):
        result = CliRunner().invoke(app, ["run", "small.yaml", "--local", "--output", "results", *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    return invoke


@pytest.mark.parametrize("wish", ["--profile", "profile=true"])
def test_a_profiled_run_leaves_a_table_and_a_trace_and_says_where_the_time_went(run, in_folder, wish):
    text = run(wish)

    results = load_run(in_folder / "results")
    assert results.config["profile"] is True
    assert set(results.tables["profile"]["round"].to_pylist()) == {1, 2}
    trace = json.loads((in_folder / "results" / "trace.json").read_text())
    assert {event["name"] for event in trace["traceEvents"]} >= {"round 1", "round 2", "train", "aggregate", "wait"}
    assert "time of 2 rounds: " in text
    assert f"trace    {in_folder / 'results' / 'trace.json'}" in text
    assert any(line.startswith("train ") for line in text.splitlines())


def test_a_run_without_says_only_how_busy_its_actors_were(run, in_folder):
    text = run()

    assert "actors busy " in text.splitlines()[0]
    assert "trace" not in text
    assert not (in_folder / "results" / "trace.json").exists()
    assert load_run(in_folder / "results").tables["profile"].num_rows == 0


def test_how_busy_the_actors_were_is_the_mean_over_the_time_of_the_rounds(run, in_folder):
    answer = json.loads(run("--profile", "--json"))

    rounds = load_run(in_folder / "results").tables["rounds"].to_pylist()
    busy_s = sum(row["actors_busy"] * row["wall_s"] for row in rounds)
    assert answer["actors_busy"] == pytest.approx(busy_s / sum(row["wall_s"] for row in rounds))
    assert 0 < answer["actors_busy"] <= 1
