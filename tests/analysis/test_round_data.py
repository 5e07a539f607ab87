import dataclasses

import numpy as np
import pytest

from fedchunk.analysis import load_run
from fedchunk.analysis.figures import draw_all, figure_data
from fedchunk.analysis.likeness import MATRIX_CLIENTS
from fedchunk.analysis.overlap import expected_jaccard
from fedchunk.analysis.overlap_data import by_similarity


@pytest.fixture
def data(write_run, small):
    return figure_data(load_run(write_run(small)))


def rows(table):
    return {row["round"]: row for row in table.to_pylist()}


def test_coverage_in_the_round_and_so_far(data):
    assert data["coverage"].to_pylist() == [
        {"round": 1, "coverage": 0.6, "coverage_so_far": 0.6, "one_client": pytest.approx(5 / 15)},
        {"round": 2, "coverage": 0.4, "coverage_so_far": 0.8, "one_client": pytest.approx(3 / 10)},
    ]


def test_overlap_with_the_own_last_choice_and_with_the_others(data):
    first, second = rows(data["overlap"]).values()
    assert (first["self_jaccard"], first["self_corrected"]) == (None, None)
    # Pairs of round 1: {0, 1} twice is 1, each with {4} is 0; one and two of five chunks meet in two of five cases.
    by_chance = (expected_jaccard(2, 2, 5) + 2 * expected_jaccard(2, 1, 5)) / 3
    assert first["pair_jaccard"] == pytest.approx(1 / 3)
    assert first["pair_expected"] == pytest.approx(by_chance)
    assert first["pair_corrected"] == pytest.approx((1 / 3 - by_chance) / (1 - by_chance))
    chance = expected_jaccard(2, 2, 5)
    assert (second["self_jaccard"], second["self_expected"]) == (0, pytest.approx(chance))
    assert second["self_corrected"] == pytest.approx(-chance / (1 - chance))
    assert second["pair_jaccard"] is None


def test_the_matrix_of_clients_has_a_row_for_each_pair(data):
    pairs = {(row["client"], row["other"]): row for row in data["client_overlap"].to_pylist()}
    assert set(pairs) == {(a, b) for a in range(3) for b in range(3)}
    assert [pairs[0, other]["jaccard"] for other in range(3)] == [1, 1, 0]
    assert [pairs[0, other]["rounds"] for other in range(3)] == [2, 1, 1]
    assert all(pairs[a, b] == {**pairs[b, a], "client": a, "other": b} for a, b in pairs)
    chance = expected_jaccard(2, 1, 5)
    assert pairs[1, 2]["chance_corrected"] == pytest.approx(-chance / (1 - chance))


def test_clients_that_never_met_have_no_similarity(write_run, small):
    recipe = dataclasses.replace(
        small, scores={(1, 0): [1] * 5, (2, 1): [1] * 5}, selected={(1, 0): [0], (2, 1): [0]}, rejected=frozenset(),
        ages={},
    )  # fmt: skip
    run = load_run(write_run(recipe))
    pairs = {(row["client"], row["other"]): row for row in figure_data(run)["client_overlap"].to_pylist()}
    assert (pairs[0, 1]["rounds"], pairs[0, 1]["jaccard"], pairs[0, 1]["chance_corrected"]) == (0, None, None)
    assert "client_overlap" in draw_all(run)


def test_of_many_clients_every_so_many_are_in_the_matrix(write_run, realistic_recipe):
    run = load_run(write_run(realistic_recipe(1, MATRIX_CLIENTS + 30, 4, share=0.5)))
    table = figure_data(run)["client_overlap"]
    shown = set(table["client"].to_pylist())
    assert len(shown) == MATRIX_CLIENTS
    assert {0, MATRIX_CLIENTS + 29} <= shown
    assert table.num_rows == MATRIX_CLIENTS**2


def test_similar_things_stand_together():
    kinds = np.array([0, 1, 2, 0, 1, 2, 0])
    order = by_similarity(0.1 + 0.8 * (kinds[:, None] == kinds[None, :]))
    assert (np.diff(kinds[order]) != 0).sum() == 2
    chain = np.array([3, 0, 4, 1, 2])
    line = by_similarity(1 / (1 + np.abs(chain[:, None] - chain[None, :])))
    assert chain[line].tolist() in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0])


def test_things_that_are_all_alike_or_unknown_keep_their_order():
    assert by_similarity(np.full((4, 4), 0.5)).tolist() == [0, 1, 2, 3]
    assert by_similarity(np.full((3, 3), np.nan)).tolist() == [0, 1, 2]


def test_ages_by_round(data):
    by_round = rows(data["age"])
    assert by_round[1] == {"round": 1, "mean": 0, "median": 0, "p95": 0, "maximum": 0, "limit": None}
    assert by_round[2] == {"round": 2, "mean": 0.6, "median": 1, "p95": 1, "maximum": 1, "limit": None}
    cells = {(c["first_round"], c["first_age"]): c["share"] for c in data["age_distribution"].to_pylist()}
    assert cells == {(1, 0): 1, (1, 1): 0, (2, 0): 0.4, (2, 1): 0.6}


def test_the_age_figure_shows_the_limit_and_the_share_that_is_younger(write_run, small):
    small.config = {"chunk_max_age": 3}
    by_round, summed = draw_all(load_run(write_run(small)))["age"].axes[:2]
    assert {line.get_label() for line in by_round.get_lines()} == {"mean", "worst", "chunk_max_age"}
    assert summed.patches[0].get_data().values == pytest.approx([0.7, 1.0])  # mean of the two rounds' shares


def test_the_layers_share_is_that_of_their_chunks(data):
    shares = {(row["first_round"], row["layer"]): row["sent_share"] for row in data["layer_selection"].to_pylist()}
    assert shares == {
        (1, "a"): pytest.approx(2 / 3), (1, "b"): pytest.approx((2 / 3 + 0 + 0 + 1 / 3) / 4),
        (2, "a"): 0, (2, "b"): 0.5,
    }  # fmt: skip


def test_energy_and_reasons_of_updates_that_counted(write_run, small):
    small.reasons = {(1, 0): "warm-up", (1, 1): "warm-up", (1, 2): "energy 0.95", (2, 0): "energy 0.95"}
    data = figure_data(load_run(write_run(small)))
    first, second = data["energy"].to_pylist()
    assert [first[name] for name in ("mean", "minimum", "maximum")] == pytest.approx([(25 / 30 + 0.4 + 1) / 3, 0.4, 1])
    assert first["sent_share"] == pytest.approx(5 / 15)
    assert (second["minimum"], second["maximum"]) == (pytest.approx(25 / 30),) * 2
    assert data["sensitivity_reasons"].to_pylist() == [
        {"round": 1, "reason": "energy 0.95", "clients": 1}, {"round": 1, "reason": "warm-up", "clients": 2},
        {"round": 2, "reason": "energy 0.95", "clients": 1},
    ]  # fmt: skip


def test_many_reasons_are_drawn_together(write_run, realistic_recipe):
    recipe = realistic_recipe(2, 10, 4, share=0.5)
    recipe.reasons = {(r, c): f"budget {min(c, 8)}" for r, c in recipe.scores}
    shares, reasons = draw_all(load_run(write_run(recipe)))["sensitivity"].axes
    assert shares.get_title("left") == "Chunks sent, and energy in them"
    tops = {patch.get_label(): patch.get_data().values.tolist() for patch in reasons.patches}
    assert len(tops) == 7
    assert tops["budget 8"] == [2, 2]  # the most frequent one, at the bottom
    assert tops["other reasons"] == [10, 10]  # the top of the stack: all clients


def test_residual_and_consensus_where_they_are_recorded(write_run, small):
    small.residual = {(1, 0): 1.0, (1, 1): 2.0, (1, 2): 6.0, (2, 0): 4.0, (2, 1): 5.0}
    small.consensus = [0.5, None]
    run = load_run(write_run(small))
    data = figure_data(run)
    assert data["residual"].to_pylist()[0] == {"round": 1, "mean": 3, "minimum": 1, "maximum": 6}
    assert data["residual"].to_pylist()[1]["mean"] == 4  # the rejected client's does not count
    assert data["consensus"].to_pylist() == [{"round": 1, "consensus_distance": 0.5}]
    assert {"residual", "consensus"} <= set(draw_all(run))
