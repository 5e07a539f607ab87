"""fedchunk data: who would hold what; and what validate finds in files that are the user's own."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fedchunk.orchestrator.cli import app


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def only_line(result):
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


@pytest.fixture
def config(in_folder):
    """Settings for twelve samples of three owners, with three labels."""
    y = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2])
    owners = np.array(["ada"] * 6 + ["bob"] * 4 + ["eve"] * 2)
    (in_folder / "data").mkdir()
    np.savez(in_folder / "data" / "all.npz", train_x=np.eye(12), train_y=y, test_x=np.eye(12)[:2], test_y=y[-2:],
             clients=owners)  # fmt: skip
    path = in_folder / "mine.yaml"
    path.write_text(
        "dataset_type: arrays\ndataset_options: {file: all.npz}\n"
        "number_of_clients: 3\ndata_distribution_kind: natural\n"
    )
    return path


def test_samples_and_labels_are_counted_by_client(config):
    answer = only_line(invoke("data", config, "--json"))

    assert answer["clients"] == [
        {"client": 0, "name": "ada", "samples": 6, "labels": [5, 1, 0]},
        {"client": 1, "name": "bob", "samples": 4, "labels": [0, 3, 1]},
        {"client": 2, "name": "eve", "samples": 2, "labels": [0, 0, 2]},
    ]
    assert (answer["train_labels"], answer["test_labels"], answer["unheld_samples"]) == ([5, 4, 3], [0, 0, 2], 0)
    assert (answer["dataset"], answer["input_shape"], len(answer["digest"])) == ("arrays", [12], 32)


def test_the_table_has_a_row_for_each_client_and_for_what_nobody_holds(config):
    result = invoke("data", config, "number_of_clients=2", "partition_options={fewer: largest}")

    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["0", "ada", "6", "2", "5", "1", "-"] in rows
    assert ["all", "clients", "10", "3", "5", "4", "1"] in rows
    assert ["nobody", "2", "1", "-", "-", "2"] in rows
    assert ["test", "2", "1", "-", "-", "2"] in rows
    assert "2 training samples are held by nobody" in result.stdout


def test_of_many_clients_the_smallest_the_middle_and_the_largest_are_shown(config):
    result = invoke(
        "data", config, "dataset_type=synthetic", "dataset_options={}", "synthetic_classes=30", "number_of_clients=41",
        "data_distribution_kind=dir",
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    sizes = {line.split(",")[0]: int(line.split()[2]) for line in result.stdout.splitlines() if ", " in line[:12]}
    whole = invoke(
        "data", config, "dataset_type=synthetic", "dataset_options={}", "synthetic_classes=30", "number_of_clients=41",
        "data_distribution_kind=dir", "--json",
    )  # fmt: skip
    held = sorted(client["samples"] for client in only_line(whole)["clients"])
    assert sizes == {"smallest": held[0], "median": held[20], "largest": held[-1]}


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_the_picture_is_what_its_name_says(config, in_folder, suffix):
    result = invoke("data", config, "--output", f"split.{suffix}", "--json")

    assert only_line(result)["picture"] == f"split.{suffix}"
    if suffix == "png":
        with Image.open(in_folder / "split.png") as picture:
            assert min(picture.size) > 400
            assert len(set(picture.convert("RGB").get_flattened_data())) > 50
    else:
        begins = {"pdf": b"%PDF", "svg": b"<?xml"}[suffix]
        assert (in_folder / f"split.{suffix}").read_bytes().startswith(begins)


def test_a_picture_of_another_kind_or_place_is_refused(config):
    wrong, gone = (invoke("data", config, "--output", name, "--json") for name in ("split.txt", "gone/split.png"))

    assert wrong.exit_code == 2
    assert only_line(wrong)["faults"][0]["where"] == "--output"
    assert gone.exit_code == 1
    assert "gone/split.png: cannot be written" in only_line(gone)["error"]


def test_validate_finds_overlaps_unknown_samples_and_empty_clients_in_one_answer(config, in_folder):
    (in_folder / "data" / "split.csv").write_text("client,sample\n0,1\n0,1\n1,12\n")

    result = invoke(
        "validate", config, "data_distribution_kind=file", "partition_options={partition_file: split.csv}", "--json"
    )

    assert result.exit_code == 2
    messages = [fault["message"] for fault in only_line(result)["faults"]]
    assert [message.partition("split.csv: ")[2] for message in messages] == [
        "unknown sample 12 in row 3; training samples are 0 to 11",
        "overlaps: sample 1 of client 0 (row 1) is also client 0's (row 2); each sample has one client at most",
        "client 2 of 3 without a sample; give each one, or use fewer clients",
    ]


def test_validate_finds_a_wrong_number_of_own_clients_and_a_missing_file(config, in_folder):
    assert invoke("validate", config).exit_code == 0
    wrong = invoke("validate", config, "number_of_clients=4", "--json")
    assert only_line(wrong)["faults"][0]["key"] == "number_of_clients"
    (in_folder / "data" / "all.npz").unlink()
    assert "all.npz: is not there" in only_line(invoke("validate", config, "--json"))["error"]


def test_validate_decodes_no_picture(in_folder):
    for name in ("a/1.png", "a/2.png", "b/3.png", "b/4.png"):
        (in_folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (in_folder / "data" / name).write_text("no picture")
    (in_folder / "mine.yaml").write_text("dataset_type: imagefolder\nnumber_of_clients: 2\n"
                                         "dataset_options: {test_share: 0.5, cache_dir: cache}\n")  # fmt: skip

    assert invoke("validate", "mine.yaml").exit_code == 0
    assert not (in_folder / "cache").exists()
    shown = invoke("data", "mine.yaml", "--json")
    assert shown.exit_code == 1
    assert ".png: cannot be read as a picture" in only_line(shown)["error"]


def test_options_that_are_needed_are_asked_for_by_name(config):
    result = invoke("validate", config, "dataset_type=table", "dataset_options={}", "--json")

    assert result.exit_code == 2
    assert [fault["message"] for fault in only_line(result)["faults"]] == [
        "table needs the option 'file'; give it in dataset_options",
        "table needs the option 'target_column'; give it in dataset_options",
    ]
