"""The site's own parts: links that work in two places, the reference of settings, the API's page, figures, citation."""

import importlib.util
import re
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import fedchunk
from fedchunk.orchestrator.cli import app
from fedchunk.orchestrator.settings import fedpilot_keys
from fedchunk.orchestrator.settings.schema import allowed_values, field_schemas

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def script(name):
    """A file of ``docs/``, which is in no package."""
    spec = importlib.util.spec_from_file_location(Path(name).stem, DOCS / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


repository, navigation = script("hooks/repository.py"), script("hooks/navigation.py")


@pytest.mark.parametrize(
    ("path", "link", "changed"),
    [
        ("docs/tasks.md", "../examples/task.py", "examples/task.py.md"),
        ("docs/python.md", "../examples/first_run.ipynb", "examples/first_run.ipynb.md"),
        ("docs/cluster.md", "../README.md#speed", "README.md#speed"),
        ("docs/tasks.md", "extending.md#kinds", "extending.md#kinds"),
        ("README.md", "docs/data.md", "data.md"),
        ("README.md", "docs/images/mlflow-run.png", "images/mlflow-run.png"),
        ("examples/README.md", "score.py", "score.py.md"),
        ("examples/README.md", "../docs/extending.md", "../extending.md"),
        ("benchmarks/results/links.md", "../../docs/links.md", "../../links.md"),
        ("README.md", "no/such.file", "no/such.file"),
        ("README.md", "https://example.org/docs/data.md", "https://example.org/docs/data.md"),
        ("docs/tasks.md", "#metrics", "#metrics"),
        ("docs/tasks.md", "../../outside.md", "../../outside.md"),
    ],
)
def test_a_link_leads_to_the_same_place_on_the_site(path, link, changed):
    text = f"see [this]({link}), and\n```console\n[not]({link})\n```\n"
    assert repository.with_site_links(text, path) == f"see [this]({changed}), and\n```console\n[not]({link})\n```\n"


def test_what_pages_reach_belongs_to_the_site_and_code_is_shown():
    found = repository.reached({"docs/tasks.md": (DOCS / "tasks.md").read_text(encoding="utf-8")})
    assert found["benchmarks/results/accuracy_per_byte.png"] is None
    assert "class " in found["examples/task.py"]
    assert found["examples/task.py"].startswith("# examples/task.py\n\n````python\n")
    assert not [path for path in found if path.startswith("docs/")]


def test_a_notebook_becomes_a_page_with_its_words_and_its_code():
    page = repository.notebook_page(
        {"cells": [{"cell_type": "markdown", "source": ["# A\n", "b"]}, {"cell_type": "code", "source": ["x = 1"]}]}
    )
    assert page == "# A\nb\n\n````python\nx = 1\n````\n"


@pytest.mark.parametrize("page", sorted([*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "examples" / "README.md"]))
def test_links_of_a_page_are_good_where_its_source_is_read(page):
    text = repository._FENCED.sub("", page.read_text(encoding="utf-8"))
    links = re.findall(r"\]\(([^()\s#:]+)(?:#[^()\s]*)?\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_menu_names_pages_that_are_there_and_no_page_is_left_out():
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    pages = sorted(path.name for path in DOCS.glob("*.md"))
    own = {f"docs/{name}": (DOCS / name).read_text(encoding="utf-8") for name in pages}
    there = {*pages, *(repository.place_in_site(path) for path in repository.reached(own))}
    named = list(navigation.named(navigation.with_all_pages(nav, pages)))
    assert len(named) == len(set(named))
    assert set(pages) <= set(named) <= there


def test_the_reference_has_every_setting_as_it_is_checked():
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert page == script("settings_page.py").settings_page(), "run: python docs/settings_page.py"
    entries = dict(re.findall(r"^### (\w+)\n\n(.*?)(?=^##)", page, re.DOTALL | re.MULTILINE))
    assert entries.keys() == field_schemas().keys()
    for key, entry in entries.items():
        assert f" | {allowed_values(key)} |\n" in entry.replace("\\|", "|"), key
    assert "0.95" in entries["sensitivity_energy"]
    assert "| `gradient` | L2 norm" in entries["chunk_score"]
    assert all(f"`{alias}`" in entries[key] for alias, key in fedpilot_keys.ALIASES.items())


def test_the_page_of_the_api_has_each_public_name_once():
    names = re.findall(r"^::: fedchunk\.(\w+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(names) == sorted(fedchunk.__all__)


@pytest.fixture(scope="module")
def figures():
    return script("concept_figures.py")


def test_each_figure_of_the_concepts_is_on_their_page_and_is_what_its_script_draws(figures, tmp_path):
    shown = re.findall(r"!\[[^\]]+\]\(images/concepts/(\w+)\.svg\)", (DOCS / "concepts.md").read_text(encoding="utf-8"))
    assert shown == list(figures.FIGURES)
    kept = {name: (figures.IMAGES / f"{name}.svg").read_bytes() for name in shown}
    for name, content in kept.items():
        assert ElementTree.fromstring(content).tag.endswith("svg"), name
    if f"Matplotlib v{matplotlib.__version__}".encode() not in kept["chunks"]:
        pytest.skip("drawn by another version of matplotlib")
    figures.main(tmp_path)
    assert [name for name in shown if (tmp_path / f"{name}.svg").read_bytes() != kept[name]] == []


def test_the_bytes_that_the_concepts_name_are_those_of_messages(figures):
    values_P = np.random.default_rng(0).standard_normal(62_000).astype(np.float32)
    small, full = (figures.message_sizes(values_P, share, name) for share, name in ((0.3, "int4"), (100, "float32")))
    page = " ".join((DOCS / "concepts.md").read_text(encoding="utf-8").split())
    assert f"is {sum(small.values())} bytes instead of {sum(full.values()):,}, and" in page
    assert 1 - small["values"] / sum(small.values()) == pytest.approx(1 / 6, abs=0.02)


def test_the_citation_is_of_this_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["cff-version"], citation["title"]) == ("1.2.0", project["name"])
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert all(citation[name] for name in ("message", "authors"))


@pytest.mark.slow
def test_the_commands_of_the_first_steps_work_in_their_order(in_folder, monkeypatch):
    monkeypatch.setattr("fedchunk.orchestrator.run._write_report", lambda folder: folder / "report.html")
    text = (DOCS / "first_steps.md").read_text(encoding="utf-8")
    ((name, settings),) = re.findall(r"^```yaml\n# (\S+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    Path(name).write_text(settings, encoding="utf-8")
    commands = re.findall(r"^\$ fedchunk (.+)$", text, re.MULTILINE)
    assert [command.split()[0] for command in commands] == [
        "validate",
        "data",
        "plan",
        "run",
        "analyze",
        "run",
        "run",
        "compare",
    ]
    for command in commands:
        short = ["federated_learning_rounds=2"] if command.startswith("run") else []
        result = CliRunner().invoke(app, [*command.split(), *short])
        assert result.exit_code == 0, f"{command}: {result.output}"
    for made in ("split.png", "runs/fifth/figures/chunk_selection.svg", "comparison/comparison.html"):
        assert (in_folder / made).is_file()


def test_docstrings_are_shown_without_signs_of_another_tool():
    pytest.importorskip("griffe")
    text = "As :func:`~fedchunk.run.run` and :class:`Run` say.\n\nExample:\n    >>> 1\n    1"
    assert script("hooks/roles.py").plain(text) == "As `run` and `Run` say.\n\nExamples:\n    >>> 1\n    1"
