"""docs/data.md: its examples run, and its options are those that there are."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedchunk.orchestrator.cli import app
from fedchunk.orchestrator.learning.data.load import load_dataset
from fedchunk.orchestrator.registry import KINDS, builtin_names, builtin_signature, has_function
from fedchunk.orchestrator.settings.loading import load

PAGE = Path(__file__).parents[1] / "docs" / "data.md"
TEXT = PAGE.read_text(encoding="utf-8")
OF_TEXT = ("books.yaml", "lines.yaml")
EXAMPLES = dict(re.findall(r"^```yaml\n# (\S+)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE))
(MAKING,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
DATA = KINDS["dataset"]
IN_ORDER = ["imagefolder", "table", "arrays", "leaf", "huggingface"]
OWN = [name for name in builtin_names(DATA) if has_function(DATA, name, "labels")]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(MAKING, "make_data.py", "exec"), {})
    return folder


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in OF_TEXT])
def test_an_example_is_valid_and_shows_its_split(name, made, monkeypatch):
    monkeypatch.chdir(made)
    monkeypatch.setenv("HOME", str(made))  # where decoded pictures are kept
    Path(name).write_text(EXAMPLES[name])
    assert CliRunner().invoke(app, ["validate", name]).exit_code == 0
    result = CliRunner().invoke(app, ["data", name, "--json"])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    total = {"table.yaml": 178, "numbers.yaml": 178, "reviews.yaml": 60}.get(name, 1797)
    assert answer["train_samples"] + answer["test_samples"] == total
    assert answer["unheld_samples"] == (answer["train_samples"] - 500 if name == "split.yaml" else 0)


def test_what_is_shown_of_a_wrong_split_is_what_validate_says(made, monkeypatch):
    monkeypatch.chdir(made)
    Path("split.yaml").write_text(EXAMPLES["split.yaml"])
    (shown,) = re.findall(r"^\$ fedchunk (validate split[^\n]*)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    result = CliRunner().invoke(app, shown[0].split())
    assert (result.exit_code, result.stderr) == (2, shown[1])


def test_the_example_of_text_runs(made, monkeypatch):
    monkeypatch.chdir(made)
    Path("books.yaml").write_text(EXAMPLES["books.yaml"])
    short = ["federated_learning_rounds=1", "local_steps=1", "mlflow_enabled=false", "model_options={width: 8}"]
    result = CliRunner().invoke(app, ["run", "books.yaml", *short, "--local", "--json", "--output", "books"])
    assert result.exit_code == 0, result.output
    assert 0 < json.loads(result.stdout)["target"] < 9


def test_the_example_of_lines_has_the_clients_that_it_says(made, monkeypatch):
    monkeypatch.chdir(made)
    Path("lines.yaml").write_text(EXAMPLES["lines.yaml"])
    settings = load("lines.yaml").settings
    assert set(load_dataset(settings).clients_S.tolist()) == {"load_digits", "load_wine"}
    assert settings.federation.number_of_clients == 2


@pytest.mark.parametrize("name", [*OWN, "text"])
def test_the_page_has_each_option_of_what_reads_files(name):
    (table,) = re.findall(rf"^\| option of `{name}` \| \|\n\| --- \| --- \|\n(.*?)^$", TEXT, re.DOTALL | re.MULTILINE)
    told = [option for line in table.splitlines() for option in re.findall(r"`(\w+)`", line.split(" | ")[0])]
    asked = builtin_signature(DATA, name).names
    assert sorted(told) == sorted(option for option in asked if option not in DATA.on_offer)


def test_the_page_names_each_that_reads_files():
    assert re.findall(r"^\| \[`(\w+)`\]\(#", TEXT, re.MULTILINE) == [*IN_ORDER, "text"]
    assert sorted(OWN) == sorted(IN_ORDER)
