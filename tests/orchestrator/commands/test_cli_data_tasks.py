"""fedchunk data of samples without one label each, and of samples that are kept: by hand."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fedchunk.orchestrator.cli import app

OWNERS = np.array(["ada"] * 5 + ["bob"] * 3)
NUMBERS = np.array([0.0, 1.0, 2.0, 3.0, 4.0, -8.0, 10.0, 0.5])
FLAGS = np.array([[1, 0], [1, 1], [0, 0], [0, 1], [1, 0], [0, 0], [0, 1], [1, 1]])
TOKENS = np.array([[0, 1, 1, 3]] * 5 + [[2, 2, 2, 2]] * 3)


def shown(in_folder, task, y, *more, x=None):
    x = np.eye(8) if x is None else x
    (in_folder / "data").mkdir(exist_ok=True)
    np.savez(in_folder / "data" / "all.npz", train_x=x, train_y=y, test_x=x[:2], test_y=y[-2:], clients=OWNERS)
    model = "model_type: lstm\n" if task == "language_model" else ""
    (in_folder / "mine.yaml").write_text(
        f"task: {task}\n{model}dataset_type: arrays\ndataset_options: {{file: all.npz}}\n"
        "number_of_clients: 2\ndata_distribution_kind: natural\n"
    )
    result = CliRunner().invoke(app, ["data", "mine.yaml", *more])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if "--json" in more else [line.split() for line in result.stdout.splitlines()]


def test_numbers_are_shown_by_their_quantiles(in_folder):
    answer = shown(in_folder, "regression", NUMBERS, "--json")
    rows = shown(in_folder, "regression", NUMBERS)

    assert answer["quantiles"] == [0, 25, 50, 75, 100]
    assert answer["clients"] == [
        {"client": 0, "name": "ada", "samples": 5, "targets": [[0, 1, 2, 3, 4]]},
        {"client": 1, "name": "bob", "samples": 3, "targets": [[-8, -3.75, 0.5, 5.25, 10]]},
    ]
    assert (answer["train_samples"], answer["test_targets"]) == (8, [[0.5, 2.875, 5.25, 7.625, 10]])
    assert ["client", "name", "samples", "least", "25", "%", "median", "75", "%", "most"] in rows
    assert ["1", "bob", "3", "-8", "-3.75", "0.5", "5.25", "10"] in rows
    assert ["all", "clients", "8", "-8", "0.375", "1.5", "3.25", "10"] in rows


def test_of_several_numbers_the_medians_are_shown(in_folder):
    rows = shown(in_folder, "regression", np.stack([NUMBERS, -NUMBERS], axis=1))

    assert ["client", "name", "samples", "median", "of", "0", "median", "of", "1"] in rows
    assert ["0", "ada", "5", "2", "-2"] in rows


def test_flags_are_counted_and_do_not_add_up_to_samples(in_folder):
    answer = shown(in_folder, "multilabel", FLAGS, "--json")
    rows = shown(in_folder, "multilabel", FLAGS)

    assert [client["labels"] for client in answer["clients"]] == [[3, 2], [1, 2]]
    assert (answer["task"], answer["num_classes"], answer["train_labels"]) == ("multilabel", 2, [4, 4])
    assert ["0", "ada", "5", "2", "3", "2"] in rows
    assert ["all", "clients", "8", "2", "4", "4"] in rows


def test_tokens_are_counted_over_all_places(in_folder):
    answer = shown(in_folder, "language_model", TOKENS, "--json", x=TOKENS)
    rows = shown(in_folder, "language_model", TOKENS, x=TOKENS)

    assert [client["tokens"] for client in answer["clients"]] == [[5, 10, 0, 5], [0, 0, 12, 0]]
    assert [client["samples"] for client in answer["clients"]] == [5, 3]
    assert ["0", "ada", "5", "3", "5", "10", "-", "5"] in rows


def test_what_is_kept_is_no_sample_of_a_client_and_has_a_column_and_a_row(in_folder):
    kept = ("client_test_share=0.4", "evaluate_clients=true")
    answer = shown(in_folder, "regression", NUMBERS, *kept, "--json")
    plain = shown(in_folder, "regression", NUMBERS, "--json")
    rows = shown(in_folder, "regression", NUMBERS, *kept)

    assert [(one["samples"], one["own_test_samples"]) for one in answer["clients"]] == [(3, 2), (2, 1)]
    assert answer["unheld_samples"] == 0
    assert answer["digest"] != plain["digest"]
    assert "own_test_samples" not in plain["clients"][0]
    assert ["3", "more", "are", "kept", "to", "measure", "the", "clients'", "own", "models", "on"] in rows
    assert [row[2:4] for row in rows if row[:2] == ["all", "clients"]] == [["5", "3"]]
    assert [row[2] for row in rows if row[:2] == ["own", "test"]] == ["3"]


@pytest.mark.parametrize(("task", "y"), [("regression", NUMBERS), ("multilabel", FLAGS), ("language_model", TOKENS)])
def test_there_is_a_picture_of_each(in_folder, task, y):
    x = TOKENS if task == "language_model" else None
    assert shown(in_folder, task, y, "--output", "split.png", "--json", x=x)["picture"] == "split.png"
    with Image.open(in_folder / "split.png") as picture:
        assert len(set(picture.convert("RGB").get_flattened_data())) > 50
