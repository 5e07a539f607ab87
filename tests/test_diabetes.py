"""The worked example with a table: its script, and its settings as a user gives them."""

import csv
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import fedchunk

PROJECT = Path(__file__).parents[1]
CONFIG = PROJECT / "configs" / "diabetes_by_age.yaml"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    file = tmp_path_factory.mktemp("data") / "diabetes.csv"
    command = [sys.executable, str(PROJECT / "examples" / "diabetes_by_age.py"), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{file}: 442 patients in 13 groups of 3 to 64\n"
    return file


def test_each_row_is_of_the_group_that_its_age_says(table):
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    sizes = Counter(row["group"] for row in rows)
    assert len(sizes) == 13
    assert (sizes["a-10"], sizes["b-50"], sum(sizes.values())) == (3, 64, 442)
    for row in rows:
        sex, decade = row["group"].split("-")
        assert float(row["age"]) // 10 * 10 == int(decade)
        assert (sex == "a") == (float(row["sex"]) == 1)


def test_thirteen_groups_learn_together_and_send_about_one_percent(table, tmp_path):
    changes = {"data_dir": str(table.parent), "federated_learning_rounds": 12, "mlflow_enabled": False}
    run = fedchunk.run(fedchunk.load_settings(CONFIG, **changes), local=True, output=tmp_path / "run")
    rounds = run.tables["rounds"].to_pydict()
    sent = sum(map(sum, (rounds["uplink_bytes"], rounds["downlink_bytes"])))
    whole = sum(map(sum, (rounds["dense_uplink_bytes"], rounds["dense_downlink_bytes"])))
    assert sent < 0.012 * whole
    errors = [one["value"] for one in run.tables["metrics"].to_pylist() if one["name"] == "rmse"]
    assert errors[-1] < 0.6 * errors[0]
    assert set(run.tables["clients"]["client"].to_pylist()) == set(range(13))
