import csv
import html.parser
import json
import re

import pytest

from fedchunk.analysis import load_run
from fedchunk.analysis.figures import figure_data
from fedchunk.analysis.report import last_rows, write_report
from fedchunk.analysis.text import bytes_text, list_text, table_text


class Page(html.parser.HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.links, self.text, self.open = [], [], [], []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def page_of(write_run, tmp_path):
    def page(recipe, **how):
        report = write_report(write_run(recipe, **how), tmp_path / "report")
        return Page(report.html.read_text(encoding="utf-8"))

    return page


def test_a_report_goes_into_the_runs_folder_and_names_its_parts(write_run, small):
    path = write_run(small)
    report = write_report(path)
    assert report.html == path / "report.html"
    names = [figure.name for figure in report.figures]
    assert names == [
        "accuracy.png", "bytes.png", "chunk_selection.png", "layers.png", "importance.png", "overlap.png",
        "client_overlap.png", "age.png", "sensitivity.png",
    ]  # fmt: skip
    assert {path.stem for path in report.data} == set(figure_data(load_run(path)))
    assert all(
        part.is_file() for part in (report.html, report.rounds_csv, report.clients_csv, *report.figures, *report.data)
    )
    assert json.loads(json.dumps(report.to_dict()))["html"] == str(report.html)
    assert str(report.html) in str(report)
    assert load_run(path).num_rounds == 2  # still a run
    assert write_report(path) == report  # and again


def test_csv_files_hold_the_tables(write_run, small, tmp_path):
    report = write_report(write_run(small), tmp_path / "elsewhere" / "deep")
    with report.rounds_csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["round"], row["accuracy"], row["uplink_bytes"]) for row in rows] == [
        ("1", "0.5", "5060"), ("2", "0.75", "3040"),
    ]  # fmt: skip
    with report.clients_csv.open(newline="") as file:
        clients = list(csv.DictReader(file))
    assert [(row["round"], row["client"], row["status"]) for row in clients][-1] == ("2", "1", "rejected")


def test_last_rows_are_whole_rounds(write_run, realistic_recipe):
    clients = load_run(write_run(realistic_recipe(5, 4, 2))).tables["clients"]
    assert last_rows(clients, 20).num_rows == 20
    assert sorted(set(last_rows(clients, 11)["round"].to_pylist())) == [4, 5]
    assert last_rows(clients, 3)["client"].to_pylist() == [0, 1, 2]
    assert set(last_rows(clients, 3)["round"].to_pylist()) == {5}


def test_the_page_needs_nothing_else_and_is_well_formed(page_of, small):
    page = page_of(small)
    assert page.open == []
    assert len(page.links) == 9
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not {"script", "link", "iframe", "a"} & set(page.tags)


def test_names_are_escaped(page_of, small):
    evil = "<script>alert(1)</script>"
    small.config = {"federation_id": evil, f"key{evil}": "\"'&"}
    small.parameters = [[f"{evil}.weight"]] * 5
    page = page_of(small)
    assert "script" not in page.tags
    assert f"fedchunk run {evil}" in page.text
    assert "a value is not finite <script>" in page.text


def test_the_page_shows_bytes_beside_full_exchange(page_of, small):
    text = " ".join(page_of(small).text)
    uplink, dense = 5060 + 3040, 25_000
    assert re.search(rf"uplink\s+8.1 kB\s+25 kB\s+{100 * (1 - uplink / dense):.1f} %", text)
    assert re.search(r"accuracy of the coordinator's model\s+75.00 % \(round 2\)", text)
    assert re.search(r"updates that did not count\s+1", text)
    assert "rounds a chunk had waited at a client: mean 0.15" in text


def test_the_report_of_a_killed_run(page_of, small):
    text = " ".join(page_of(small, finished=False).text)
    assert "still running, or killed" in text
    assert re.search(r"finished rounds\s+2", text)


def test_the_report_says_what_it_cannot_show(page_of, small):
    small.accuracy, small.client_accuracy, small.config = (), (), {"record_chunks": False}
    page = page_of(small)
    assert len(page.links) == 2
    assert {
        "no round was evaluated",
        "no chunk was recorded; set record_chunks: full",
        "chunk_reconstruction is contributors: nothing is kept back",
        "clients do not exchange peer to peer, or no round was evaluated",
        "not measured",
    } <= set(page.text)


def test_where_everything_is_sent_there_is_nothing_to_say_of_choices(page_of, small):
    small.selected = {key: range(5) for key in small.selected}
    page = page_of(small)
    assert len(page.links) == 5
    assert page.text.count("every client sent every chunk in every round") == 4


def test_the_report_says_why_so_many_chunks_were_sent(page_of, small):
    small.reasons = {(1, 0): "warm-up", (1, 1): "warm-up", (1, 2): "energy", (2, 0): "energy", (2, 1): "energy"}
    text = " ".join(page_of(small).text)
    assert re.search(r"energy\s+2\s+warm-up\s+2", text)  # the rejected one does not count
    assert "share of the energy in the chunks sent: mean" in text
    # Client 0 is the only one with two choices: {0, 1}, then {3, 4}. Chance: overlap 2, 1, 0 with 1, 6, 3 of 10.
    assert "Jaccard of a client with its own last choice 0.000, by chance 0.300" in text


def test_a_run_without_a_round(write_run, small, tmp_path):
    path = write_run(small, finished=False)
    for part in (path / "tables").glob("*.parts/part-0000[12].parquet"):
        part.unlink()
    report = write_report(path, tmp_path / "report")
    assert report.figures == ()
    assert "no round has finished" in report.html.read_text()
    assert len(report.rounds_csv.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1234567, "1.23 MB"),
        (999_900, "1 MB"),
        (5e11, "500 GB"),
        (4e18, "4e+03 PB"),
    ],
)
def test_bytes_in_words(count, text):
    assert bytes_text(count) == text


def test_text_tables_align():
    assert table_text(("a", "bb"), [("long", 1.23456), ("x", None)]) == "a        bb\nlong  1.235\nx         -"
    assert list_text([1, 2, 3], limit=2) == "1, 2, ... (3 in all)"
    assert list_text([1, 2], limit=2) == "1, 2"
