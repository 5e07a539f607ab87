"""Recorded runs over links: seconds worked out by hand from the tables, in reports and comparisons."""

import dataclasses

import numpy as np
import pytest

from fedchunk.analysis import load_run
from fedchunk.analysis.compare import compare
from fedchunk.analysis.comparison_report import write_comparison
from fedchunk.analysis.report import write_report
from fedchunk.orchestrator.core.links import Fixed, Links

UP, DOWN = 20, 30
"""Bytes beside the chunks in a message of the recipes."""


def links(up_mbit, down_mbit, latency_ms=0.0, compute=1.0, **more):
    values = {"up_mbit": up_mbit, "down_mbit": down_mbit, "latency_ms": latency_ms, "compute_factor": compute}
    return Links("own", {name: Fixed(value) for name, value in values.items()}, **more)


def test_seconds_of_a_star_by_hand(write_run, small):
    """0.8 Mbit/s are 100,000 bytes a second. Three clients take part in round 1, two in round 2 (one in vain)."""
    run = load_run(write_run(small))
    times = run.link_times(links(0.8, 8.0, latency_ms=100, compute=3, of_clients={"up_mbit": {1: 0.08}}))
    down = 5 * 1000 + DOWN
    # the recipe's round trips are two messages, its training 0.1 s, its aggregation 0.1 s
    of_client_1 = 2 * 0.1 + down / 1e6 + 3 * 0.1 + (2 * 1000 + UP) / 1e4
    in_round_2 = 2 * 0.1 + down / 1e6 + 3 * 0.1 + (1 * 1000 + UP) / 1e4
    assert times.seconds_R == pytest.approx([of_client_1 + 0.1, in_round_2 + 0.1])
    assert [one.slowest for one in times.rounds] == [1, 1]
    assert sum(times.shares.values()) == pytest.approx(1)


def test_a_run_that_was_killed_and_one_in_one_file_take_the_same(write_run, realistic_recipe):
    recipe = realistic_recipe(rounds=6, clients=4, chunks=10)
    whole, killed = (write_run(recipe, name, finished=name == "whole") for name in ("whole", "killed"))
    slow = links(1, 1, of_clients={"up_mbit": {2: 0.5}})
    assert load_run(whole).link_times(slow).to_arrow().equals(load_run(killed).link_times(slow).to_arrow())


def test_the_report_says_where_the_time_went(write_run, small, tmp_path):
    run = load_run(write_run(small))
    times = run.link_times(links(0.8, 8.0))
    report = write_report(run, tmp_path / "report", times)
    page = report.html.read_text(encoding="utf-8")
    assert "Time over links" in page
    assert "of it waiting for the slowest" in page
    assert (tmp_path / "report" / "figures" / "data" / "link_times.csv").is_file()
    assert "Time over links" not in write_report(run, tmp_path / "plain").html.read_text(encoding="utf-8")


@pytest.fixture
def two(write_run, small):
    """Chunks and full exchange of one client, seven rounds: full exchange learns faster, and sends more."""

    def written(name, sent, rising, **settings):
        keys = [(r, 0) for r in range(1, 8)]
        recipe = dataclasses.replace(
            small, scores={key: [1] * 5 for key in keys}, selected={key: list(range(sent)) for key in keys},
            rejected=frozenset(), ages={}, accuracy=rising.tolist(), client_accuracy=(), config=settings,
        )  # fmt: skip
        return write_run(recipe, name)

    rising = np.array([0.1, 0.3, 0.5, 0.7, 0.8, 0.8, 0.8])
    return [written("full", 5, rising, chunking=False), written("chunks", 1, rising)]


def test_time_to_accuracy_stands_beside_bytes(two, tmp_path):
    found = compare(two, target=0.5, x="time", links=links(0.08, 1e6))
    full, chunks = (next(g for g in found.groups if g.dense is dense) for dense in (True, False))
    # at 10,000 bytes a second a full upload is 0.502 s and a chunk 0.102 s, beside 0.1 s each of training and adding
    full_s, chunks_s = ((sent * 1000 + UP) / 1e4 + 0.2 for sent in (5, 1))
    assert full.mean_seconds == pytest.approx(7 * full_s, rel=1e-4)
    assert full.seconds_to_target == pytest.approx(6 * full_s, rel=1e-4)
    assert chunks.seconds_to_target == pytest.approx(6 * chunks_s, rel=1e-4)
    assert [group.on_front for group in found.groups] == [not group.dense for group in found.groups]
    assert "time to target" in str(found).splitlines()[0]
    assert "over the links own" in str(found)
    row = found.to_dict()["groups"][0]
    assert row["seconds_to_target"] == found.groups[0].seconds_to_target
    report = write_comparison(found, tmp_path / "out")
    assert [path.stem for path in report.figures] == [
        "accuracy_bytes", "pareto", "bytes_to_target", "accuracy_time", "time_to_target",
    ]  # fmt: skip


def test_without_links_time_is_what_was_measured_and_shown_only_when_asked(two):
    plain, timed = compare(two), compare(two, x="time")
    assert "time to target" not in str(plain)
    assert "as measured where the runs ran" in str(timed)
    assert timed.groups[0].mean_seconds == 7 * 2.0
    with pytest.raises(ValueError, match="x: got 'hours'"):
        compare(two, x="hours")
