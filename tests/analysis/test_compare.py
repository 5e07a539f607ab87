import csv
import dataclasses

import numpy as np
import pytest

from fedchunk.analysis import load_run
from fedchunk.analysis.compare import compare, on_front, run_curve
from fedchunk.analysis.comparison_figures import draw_comparison
from fedchunk.analysis.comparison_report import write_comparison
from fedchunk.orchestrator.core.errors import RecordsError

UP, DOWN = 20 + 1000 * 2, 30 + 1000 * 5
"""Bytes of a round: a single client that sends two chunks, and receives all five."""

DENSE = 2 * 5000


@pytest.fixture
def run_of(write_run, small):
    """A run of one client with the given accuracies, one a round."""
    numbers = iter(range(1000))

    def written(accuracy, seed=1, client_accuracy=(), finished=True, **settings):
        keys = [(r, 0) for r in range(1, len(accuracy) + 1)]
        recipe = dataclasses.replace(
            small, scores={key: [1] * 5 for key in keys}, selected={key: [0, 1] for key in keys},
            rejected=frozenset(), ages={}, accuracy=accuracy, client_accuracy=client_accuracy,
            config={"random_seed": seed, **settings},
        )  # fmt: skip
        return write_run(recipe, f"run{next(numbers)}", finished=finished)

    return written


@pytest.fixture
def runs(run_of):
    """Two seeds of full exchange, three of chunks; seven rounds."""
    rising = np.array([0.1, 0.3, 0.5, 0.7, 0.8, 0.8, 0.8])
    return [
        *(run_of((rising + 0.02 * seed).tolist(), seed, chunking=False) for seed in (1, 2)),
        *(run_of((rising - 0.01 * seed).tolist(), seed) for seed in (1, 2, 3)),
    ]


def test_groups_over_seeds_by_hand(runs):
    found = compare(runs)
    assert [group.label for group in found.groups] == ["chunking=false", "chunking=true"]
    full, chunks = found.groups
    assert [run.seed for run in chunks.runs] == [1, 2, 3]
    last_five = (0.5 + 0.7 + 3 * 0.8) / 5
    assert full.value.mean == pytest.approx(last_five + 0.03)
    assert chunks.value.mean == pytest.approx(last_five - 0.02)
    assert chunks.value.half_width == pytest.approx(4.3027 * 0.01 / 3**0.5, rel=1e-4)
    assert chunks.mean_bytes("uplink_bytes") == 7 * UP
    assert chunks.mean_bytes("downlink_bytes") == 7 * DOWN
    assert chunks.share == pytest.approx((UP + DOWN) / DENSE)


def test_after_a_final_average_the_last_round_counts_alone(run_of):
    """It is of one model where those before it are of many; a run that never got to it has none."""
    peers = [0.1, 0.3, 0.5, 0.5, 0.5, 0.5, 0.5, 0.9]
    nobody = [None] * 8
    one, cut, plain = (
        run_of(nobody, 1, peers, finished, final_average=averaged)
        for finished, averaged in ((True, True), (False, True), (True, False))
    )
    assert run_curve(load_run(one)).final_value == pytest.approx(0.9)
    for other in (cut, plain):
        assert run_curve(load_run(other)).final_value == pytest.approx((4 * 0.5 + 0.9) / 5)
    curve = run_curve(load_run(one))
    assert curve.reaches(0.45) == (6, 6 * (UP + DOWN)), "the mean of rounds 2 to 6"
    assert curve.reaches(0.8) == (8, 8 * (UP + DOWN))
    assert curve.reaches(0.95) is None
    short = run_curve(load_run(run_of([None], 1, [0.9], final_average=True)))
    assert (short.final_value, short.reaches(0.8)) == (pytest.approx(0.9), (1, UP + DOWN))


def test_the_target_is_half_a_point_below_the_best_full_exchange(runs):
    found = compare(runs)
    assert found.target == pytest.approx((0.5 + 0.7 + 3 * 0.8) / 5 + 0.03 - 0.005)
    assert found.target_source == "half a point below the best full exchange (chunking=false)"
    alone = compare(runs[2:])
    assert alone.target == pytest.approx((0.5 + 0.7 + 3 * 0.8) / 5 - 0.02 - 0.005)
    assert "for want of full exchange" in alone.target_source


def test_bytes_to_the_target_are_those_of_the_first_running_mean_that_is_there(runs):
    full, chunks = compare(runs, target=0.5).groups
    # Means of five: rounds 1 to 5 hold 0.48, rounds 2 to 6 hold 0.62, and each seed adds or takes its hundredths.
    assert full.reached == ((5, 5 * (UP + DOWN)), (5, 5 * (UP + DOWN)))
    assert full.bytes_to_target == 5 * (UP + DOWN)
    assert chunks.reached == ((6, 6 * (UP + DOWN)),) * 3


def test_what_was_not_reached_is_said_and_never_a_mean_of_the_lucky(runs):
    full, chunks = compare(runs, target=0.705).groups
    assert full.bytes_to_target == 7 * (UP + DOWN)
    assert (len(chunks.reached), chunks.bytes_to_target) == (1, None)
    assert chunks.to_target_text == "not reached (1 of 3 did)"
    nobody = compare(runs, target=0.99)
    assert "not reached" in str(nobody)
    assert nobody.to_arrow()["bytes_to_target"].null_count == 2
    assert nobody.to_arrow().num_rows == 2


def test_a_lucky_round_reaches_no_target(run_of):
    found = compare([run_of([0.1, 0.1, 0.9, 0.1, 0.1, 0.1])], target=0.5)
    assert found.groups[0].bytes_to_target is None


def test_a_run_of_fewer_rounds_than_the_window_uses_what_it_has(run_of):
    (group,) = compare([run_of([0.4, 0.6])], target=0.5).groups
    assert group.value.mean == pytest.approx(0.5)
    assert group.reached == ((2, 2 * (UP + DOWN)),)


def test_rounds_without_evaluation_cost_bytes_all_the_same(run_of):
    (group,) = compare([run_of([None, 0.4, None, 0.6, None])], target=0.5).groups
    assert group.reached == ((4, 4 * (UP + DOWN)),)
    assert group.mean_bytes("total_bytes") == 5 * (UP + DOWN)


def test_without_a_coordinators_model_the_clients_accuracy_counts(run_of):
    (group,) = compare([run_of([None, None], client_accuracy=[0.3, 0.5])]).groups
    assert group.value.mean == pytest.approx(0.4)


def test_a_seed_counts_once_and_an_unfinished_run_is_named(run_of):
    long, short = run_of([0.5] * 3), run_of([0.9] * 2)
    killed = run_of([0.7] * 3, seed=2, finished=False)
    found = compare([short, long, killed])
    (group,) = found.groups
    assert [run.path for run in group.runs] == [long, killed]
    assert found.notes == (
        f"{killed}: running, counted with the 3 rounds that it finished",
        f"{short}: not counted, repeats random_seed 1 of {long}",
    )
    assert str(short) in str(found)


def test_the_front_is_what_nothing_beats():
    assert on_front([10, 20, 30, 10, 20], [0.5, 0.6, 0.6, 0.4, 0.6]) == [True, True, False, False, True]
    assert on_front([1], [0.1]) == [True]


def test_a_comparison_as_arrow(runs):
    found = compare(runs, target=0.705)
    row = found.to_arrow().to_pylist()[1]
    assert (row["label"], row["seeds"], row["seeds_that_reached"], row["full_exchange"]) == (
        "chunking=true", 3, 1, False,
    )  # fmt: skip
    assert (row["settings"], row["on_front"]) == ('{"chunking": true}', False)  # as dear as the better group
    by_run = found.runs_to_arrow().to_pylist()
    assert [(row["label"], row["random_seed"], row["target_round"]) for row in by_run] == [
        ("chunking=false", 1, 7), ("chunking=false", 2, 7),
        ("chunking=true", 1, 7), ("chunking=true", 2, None), ("chunking=true", 3, None),
    ]  # fmt: skip
    curve = [row for row in found.curves_to_arrow().to_pylist() if row["label"] == "chunking=true"]
    assert [row["round"] for row in curve] == list(range(1, 8))
    assert (curve[0]["accuracy"], curve[0]["accuracy_min"], curve[0]["accuracy_max"]) == pytest.approx(
        (0.08, 0.07, 0.09)
    )
    assert curve[1]["total_mb"] == pytest.approx(2 * (UP + DOWN) / 1e6)


def test_a_curve_has_the_rounds_that_all_seeds_evaluated(run_of):
    found = compare([run_of([0.1, 0.2, 0.3], seed=1), run_of([0.2, None, 0.4, 0.5], seed=2)])
    curve = found.curves_to_arrow().to_pydict()
    assert curve["round"] == [1, 3]
    assert curve["accuracy"] == pytest.approx([0.15, 0.35])


def test_a_comparison_prints_as_a_table(runs):
    text = str(compare(runs))
    assert text.splitlines()[0].split()[:3] == ["settings", "seeds", "accuracy"]
    assert "\u00b1" in text
    assert f"{100 * (UP + DOWN) / DENSE:.3g} %" in text


def test_runs_may_be_given_as_they_are(runs):
    assert str(compare([load_run(path) for path in runs])) == str(compare(runs))


def test_only_the_rounds_are_read(runs):
    (runs[0] / "tables" / "chunks.parquet").write_bytes(b"not a table")
    assert len(compare(runs).groups) == 2


@pytest.mark.parametrize("target", [0, 1.1, -1, float("nan")])
def test_a_target_that_is_no_share_is_refused(runs, target):
    with pytest.raises(ValueError, match="target: got"):
        compare(runs, target)


def test_nothing_to_compare(run_of):
    with pytest.raises(ValueError, match="got none"):
        compare([])
    with pytest.raises(RecordsError, match="no round was evaluated"):
        compare([run_of([None, None])])


def test_the_figures_draw_the_tables(runs):
    found = compare(runs, target=0.705)
    figures = draw_comparison(found)
    both, up, down = figures["accuracy_bytes"].axes
    assert both.get_xscale() == "log"
    chunks = next(line for line in up.get_lines() if line.get_label() == "chunking=true")
    assert chunks.get_xdata()[-1] == pytest.approx(7 * UP)
    assert chunks.get_ydata()[-1] == pytest.approx(0.78)
    assert down.get_lines()[0].get_xdata()[-1] == pytest.approx(7 * DOWN)
    texts = [text.get_text() for text in figures["bytes_to_target"].axes[0].texts]
    assert any(text.startswith("not reached (1 of 3 did) with") for text in texts)
    assert figures["pareto"].axes[0].get_xscale() == "log"


@pytest.mark.parametrize("target", [None, 0.001, 1.0])
def test_a_report_of_one_short_run(run_of, tmp_path, target):
    report = write_comparison(compare([run_of([0.5])], target), tmp_path / "out")
    assert [path.name for path in report.figures] == ["accuracy_bytes.png", "pareto.png", "bytes_to_target.png"]
    assert all(path.is_file() for path in (report.html, *report.tables, *report.figures))


def test_more_groups_than_colours(run_of, tmp_path):
    found = compare([run_of([0.4, 0.5 + i / 100], k_value=i) for i in range(1, 10)])
    lines = draw_comparison(found)["accuracy_bytes"].axes[0].get_lines()
    looks = {(line.get_color(), line.get_linestyle()) for line in lines}
    assert len(looks) == 9 + 1  # and the target's


def test_the_page_holds_table_figures_and_notes(runs, run_of, tmp_path):
    evil = run_of([0.5, 0.6], model_type="<script>alert(1)</script>", finished=False)
    report = write_comparison(compare([*runs, evil]), tmp_path / "deep" / "folder")
    page = report.html.read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3
    assert "<script>" not in page
    assert "counted with the 2 rounds that it finished" in page
    with (tmp_path / "deep" / "folder" / "comparison.csv").open(newline="") as file:
        assert [row["seeds"] for row in csv.DictReader(file)] == ["2", "3", "1"]
