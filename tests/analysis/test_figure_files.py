"""Figures as PDF and SVG: whole, the same bytes again, and refused where there is no such format."""

import json
import re
from xml.etree import ElementTree

import matplotlib
import pytest
from typer.testing import CliRunner

from fedchunk.analysis import load_run
from fedchunk.analysis.compare import compare
from fedchunk.analysis.comparison_report import write_comparison
from fedchunk.analysis.figure_files import checked_formats, save_all
from fedchunk.analysis.figures import draw
from fedchunk.orchestrator.cli import app

SVG = "{http://www.w3.org/2000/svg}"


def two_figures(numbers):
    """A line and a heat map; all of them would take long."""
    return draw({name: numbers[name] for name in ("accuracy", "chunk_selection", "layers")})


@pytest.fixture
def small_report(monkeypatch):
    monkeypatch.setattr("fedchunk.analysis.report.draw", two_figures)


def check(path):
    """A figure's file is what its name says, with something drawn in it and no date."""
    content = path.read_bytes()
    if path.suffix == ".pdf":
        assert content.startswith(b"%PDF-")
        assert content.rstrip().endswith(b"%%EOF")
        assert len(re.findall(rb"/Type /Page\b", content)) == 1
        assert b"CreationDate" not in content
        assert b"/Type3" not in content
    elif path.suffix == ".svg":
        root = ElementTree.fromstring(content)
        assert root.tag == f"{SVG}svg"
        assert len(list(root.iter(f"{SVG}path"))) > 20
        assert not list(root.iter("{http://purl.org/dc/elements/1.1/}date"))
    else:
        assert content.startswith(b"\x89PNG")


def test_each_figure_is_whole_in_each_format_and_the_same_bytes_again(write_run, small, tmp_path):
    numbers = load_run(write_run(small)).figure_data
    first = save_all(two_figures(numbers), tmp_path / "one", ("svg", "pdf"))
    assert [path.name for path in first] == [
        "accuracy.png", "accuracy.svg", "accuracy.pdf",
        "chunk_selection.png", "chunk_selection.svg", "chunk_selection.pdf",
    ]  # fmt: skip
    with matplotlib.rc_context({"svg.hashsalt": None, "pdf.fonttype": 3}):
        again = save_all(two_figures(numbers), tmp_path / "two", ("svg", "pdf"))
    for path, other in zip(first, again, strict=True):
        check(path)
        assert path.read_bytes() == other.read_bytes(), path.name


@pytest.mark.usefixtures("small_report")
def test_a_report_has_the_formats_and_its_page_stays_as_it_is(write_run, small, tmp_path):
    run = load_run(write_run(small))
    plain, more = run.report(tmp_path / "a"), run.report(tmp_path / "b", figures=["SVG"])
    assert {path.suffix for path in plain.figures} == {".png"}
    assert [path.suffix for path in more.figures] == [".png", ".svg"] * 2
    assert all(path.is_file() for path in more.figures)
    assert plain.html.read_bytes() == more.html.read_bytes()


def test_figures_of_a_comparison(write_run, small, tmp_path):
    report = write_comparison(compare([write_run(small)], 0.5), tmp_path / "out", formats=("pdf",))
    assert {path.suffix for path in report.figures} == {".png", ".pdf"}
    assert "Pareto front" in report.html.read_text(encoding="utf-8")
    for path in report.figures:
        check(path)


@pytest.mark.usefixtures("small_report")
def test_the_command_takes_formats_and_names_a_wrong_one_before_it_writes(write_run, small, tmp_path):
    run, runner = str(write_run(small)), CliRunner()
    done = runner.invoke(app, ["analyze", run, "--output", str(tmp_path / "out"), "--figures", "svg, pdf", "--json"])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout.splitlines()[-1])["figures"]
    assert [name.rpartition(".")[2] for name in figures] == ["png", "svg", "pdf"] * 2
    for command in ("analyze", "compare"):
        wrong = runner.invoke(app, [command, run, "--output", str(tmp_path / "not"), "--figures", "svg,eps"])
        assert wrong.exit_code == 2
        assert "--figures: got 'eps'; allowed: a list of pdf, svg" in " ".join(wrong.output.split())
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize("wrong", ["svg", ["eps"], ["png"], [""]])
def test_what_is_no_format_is_refused(wrong):
    with pytest.raises(ValueError, match=r"figures: got .*pdf, svg; PNG is always"):
        checked_formats(wrong)
