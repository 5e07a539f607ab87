"""``fedchunk compare`` on experiments that the command line ran, in this process."""

import json

import pytest
from typer.testing import CliRunner

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


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def runs(in_folder):
    """Two seeds of chunks and one of full exchange."""
    (in_folder / "small.yaml").write_text(SMALL)
    for name, *settings in (("a", "random_seed=1"), ("b", "random_seed=2"), ("full", "chunking=false")):
        done = invoke("run", "small.yaml", *settings, "--local", "--output", name)
        assert done.exit_code == 0, done.output
    return ["a", "b", "full"]


def test_compare_answers_with_groups_and_leaves_a_report(runs, in_folder):
    result = invoke("compare", *runs, "--output", "side by side", "--json")

    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    groups = {group["label"]: group for group in answer["groups"]}
    assert {label: group["seeds"] for label, group in groups.items()} == {"chunking=true": 2, "chunking=false": 1}
    assert groups["chunking=false"]["total_bytes"] > groups["chunking=true"]["total_bytes"]
    assert answer["target"] == pytest.approx(groups["chunking=false"]["accuracy"] - 0.005)
    assert (in_folder / answer["html"]).is_file()
    assert (in_folder / "side by side" / "figures" / "pareto.png").is_file()

    shown = invoke("compare", *runs, "--target", "0.99").stdout
    assert "of full exchange" in shown
    assert "target 99.00 %: as given" in shown
    assert "comparison/comparison.html" in shown


def test_over_links_time_stands_beside_bytes(runs, in_folder):
    (in_folder / "mine.yaml").write_text("up_mbit: 0.5\ndown_mbit: {uniform: [1, 2]}\nlatency_ms: 20\n")
    answer = json.loads(invoke("compare", *runs, "--links", "mine.yaml", "--x", "time", "--json").stdout)
    analyzed = json.loads(invoke("analyze", "a", "--links", "mine.yaml", "--output", "report", "--json").stdout)

    seconds = {group["label"]: group["seconds"] for group in answer["groups"]}
    assert (answer["axis"], answer["links"]) == ("time", "mine.yaml")
    assert 0 < seconds["chunking=true"] < seconds["chunking=false"]
    assert sum(analyzed["link_times"]["shares"].values()) == pytest.approx(1)
    assert "Time over links" in (in_folder / "report" / "report.html").read_text()
    wrong = invoke("compare", *runs, "--links", "5g", "--json")
    assert wrong.exit_code == 2
    assert "4g, datacenter, dsl, fibre, wan" in json.loads(wrong.stdout)["error"]


def test_a_target_that_is_no_share_is_exit_2(runs, in_folder):
    result = invoke("compare", *runs, "--target", "83", "--json")

    assert result.exit_code == 2
    assert json.loads(result.stdout)["faults"][0]["where"] == "--target"


def test_a_folder_that_holds_no_run_is_exit_1(in_folder):
    result = invoke("compare", "nowhere", "--json")

    assert result.exit_code == 1
    assert "nowhere" in json.loads(result.stdout)["error"]
    assert list(in_folder.iterdir()) == []
