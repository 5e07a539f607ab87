"""The notebooks of examples/ run from the first cell to the last, and show what their words say."""

from pathlib import Path

import nbclient
import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "examples"
LIMIT_S = 200
"""Of a cell, on a busy machine."""


def executed(name, folder):
    """The outputs of a notebook that was run in ``folder``."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "is kept without outputs"
    nbclient.NotebookClient(notebook, timeout=LIMIT_S, resources={"metadata": {"path": str(folder)}}).execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def shown(outputs, kind):
    return [output["data"][kind] for output in outputs if kind in output.get("data", {})]


def printed(outputs):
    return "".join(output["text"] for output in outputs if output.get("name") == "stdout")


def test_all_notebooks_are_here():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == {"first_run", "own_score", "own_data"}


@pytest.mark.slow
def test_the_first_run(in_folder):
    outputs = executed("first_run", in_folder)
    assert len(shown(outputs, "image/png")) == 2
    assert any("finished" in html for html in shown(outputs, "text/html")), "the run shows itself"
    assert len(list((in_folder / "runs").iterdir())) == 2
    assert "Pareto front" in printed(outputs)


@pytest.mark.slow
def test_a_score_of_ones_own(in_folder):
    outputs = executed("own_score", in_folder)
    assert "array([4.24" in shown(outputs, "text/plain")[0]
    first, aged = (text for text in shown(outputs, "text/plain") if "never sent" in text)
    assert [name in first for name in ("agreeing", "update", "random")] == [True] * 3
    never = [int(line.split()[-3]) for line in aged.splitlines()[-2:]]
    assert never[0] > never[1], "age lets chunks go that a score of one round never chooses"
    assert len(shown(outputs, "image/png")) == 2
    assert len(list(in_folder.glob("*/trials/*"))) == 12


@pytest.mark.slow
def test_data_of_ones_own(in_folder):
    outputs = executed("own_data", in_folder)
    said = printed(outputs)
    assert "broken.csv" in said
    assert "row 12" in said
    for fault in ("learning_rate: got -0.1", "did you mean accumulated?"):
        assert fault in said
    assert any("shaken" in text and "sha256" in text for text in shown(outputs, "text/plain"))
    assert any("finished" in html for html in shown(outputs, "text/html"))
