import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchunk.analysis import ChunkAnalyzer, load_run

analyzer = ChunkAnalyzer()


@pytest.fixture
def run(write_run, small):
    return load_run(write_run(small))


def test_distribution_over_all_rounds(run):
    found = analyzer.analyze_chunk_distribution(run.recorded_clients, run.config)
    assert (found.total_chunks, found.sensitivity_percentage, found.rounds) == (5, 40.0, (1, 2))
    assert found.chunk_popularity_C.tolist() == [2, 2, 0, 1, 2]
    assert found.chunk_selections_C.tolist() == [2, 2, 0, 1, 2]
    assert (found.total_possible_chunk_selections, found.actual_chunk_selections) == (20, 7)
    assert found.coverage_percentage == 80.0
    assert found.chunks_with_contributions == (0, 1, 3, 4)
    assert found.chunks_without_contributions == (2,)
    assert found.mean_round_coverage == pytest.approx((3 / 5 + 2 / 5) / 2)
    client = found.clients[0]
    assert (client.client, client.rounds, client.selected_chunks, client.num_selected) == (0, 2, (0, 1, 3, 4), 4)
    assert (client.num_selections, client.selection_percentage) == (4, 40.0)
    assert found.agreement is not None
    assert found.agreement.pairs == 3  # round 2 has a single client whose update counted
    assert found.agreement.jaccard == pytest.approx(1 / 3)


def test_distribution_of_one_round_names_absent_clients(run):
    found = analyzer.analyze_chunk_distribution(run.recorded_clients, run.config, round_index=2)
    assert found.rounds == (2,)
    assert found.chunk_selections_C.tolist() == [0, 0, 0, 1, 1]
    assert found.coverage_percentage == 40.0
    assert [(c.client, c.rounds, c.selection_percentage) for c in found.clients] == [
        (0, 1, 40.0), (1, 0, None), (2, 0, None),
    ]  # fmt: skip
    assert found.agreement is None


def test_coverage_with_selections_of_different_size_is_a_share_of_all_chunks(write_run, small):
    recipe = dataclasses.replace(
        small, scores={(1, 0): [1] * 5, (1, 1): [1] * 5}, selected={(1, 0): [0], (1, 1): [0, 1, 2, 3]},
        rejected=frozenset(), accuracy=(), client_accuracy=(), ages={},
    )  # fmt: skip
    run = load_run(write_run(recipe))
    found = analyzer.analyze_chunk_distribution(run.recorded_clients, run.config)
    assert found.coverage_percentage == 80.0


def test_distribution_as_arrow(run):
    found = analyzer.analyze_chunk_distribution(run.recorded_clients, run.config, 2)
    assert found.to_arrow().to_pydict() == {
        "chunk": [0, 1, 2, 3, 4], "clients": [0, 0, 0, 1, 1], "selections": [0, 0, 0, 1, 1],
    }  # fmt: skip
    assert found.clients_to_arrow().to_pylist()[:2] == [
        {"client": 0, "rounds": 1, "selected_chunks": [3, 4], "num_selections": 2, "selection_percentage": 40.0},
        {"client": 1, "rounds": 0, "selected_chunks": [], "num_selections": 0, "selection_percentage": None},
    ]


def test_results_print_as_small_tables(run):
    printed = str(analyzer.analyze_chunk_distribution(run.recorded_clients, run.config))
    assert "coverage 80.0 % in all, 50.0 % in a mean round" in printed
    assert "never sent: 2" in printed
    assert "most sent: 0 (2x), 1 (2x), 4 (2x), 3 (1x), 2 (0x)" in printed
    assert "Jaccard of two clients 0.333" in printed
    printed = str(analyzer.get_chunk_importance_distribution(run.recorded_clients[0], run.config))
    assert "client 0: gradient score of 5 chunks, 2 rounds" in printed
    assert "bottom: 0 (2), 1 (2), 2 (2), 3 (2), 4 (2)" in printed
    assert "jaccard_similarity" in str(analyzer.calculate_chunk_overlap([1], [2]))


def test_many_clients_print_shortly(write_run, realistic_recipe):
    run = load_run(write_run(realistic_recipe(1, 30, 3)))
    assert str(analyzer.analyze_chunk_distribution(run.recorded_clients, run.config)).endswith("... 10 clients more")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clients": [], "config": {}}, "clients: got none"),
        ({"round_index": 9}, "no chunks of any of the clients are recorded in round 9"),
        ({"config": {"chunking": True, "chunking_parts": 7}}, "chunking_parts is 7, but the clients have 5 chunks"),
        (
            {"config": {"chunking": True, "chunking_parts": 7, "chunk_layout": "tensors"}},
            "chunking_parts is 7, but the",
        ),
    ],
)
def test_distribution_refuses_what_it_cannot_answer(run, arguments, message):
    arguments = {"clients": run.recorded_clients, "config": run.config, **arguments}
    with pytest.raises(ValueError, match=message):
        analyzer.analyze_chunk_distribution(**arguments)


def test_settings_with_a_count_typed_as_float_and_without_sensitivity(run):
    found = analyzer.analyze_chunk_distribution(run.recorded_clients, {"chunking": True, "chunking_parts": 5.0})
    at_tensors = {"chunking": True, "chunking_parts": 2, "chunk_layout": "tensors"}
    assert str(analyzer.analyze_chunk_distribution(run.recorded_clients, at_tensors)) == str(found)
    assert found.sensitivity_percentage is None


def test_chunks_that_were_not_recorded_are_said_to_be_so(write_run, small):
    small.config = {"record_chunks": False}
    run = load_run(write_run(small))
    with pytest.raises(ValueError, match="record_chunks: full"):
        analyzer.analyze_chunk_distribution(run.recorded_clients, run.config)
    with pytest.raises(ValueError, match="no chunks of client 1 are recorded in any round"):
        analyzer.get_chunk_importance_distribution(run.recorded_clients[1], run.config)


def test_overlap_of_indices_in_any_container():
    for first in ([0, 1, 2], (2, 1, 0, 0), {0, 1, 2}, np.array([0, 1, 2]), range(3), iter([0, 1, 2])):
        found = analyzer.calculate_chunk_overlap(first, [2, 3])
        assert (found.intersection_size, found.union_size) == (1, 4)
        assert (found.jaccard_similarity, found.overlap_coefficient) == (0.25, 0.5)
        assert (found.expected_jaccard, found.chance_corrected_jaccard) == (None, None)


def test_overlap_of_masks_and_clients(run):
    mask = [True, True, False, True, False]
    found = analyzer.calculate_chunk_overlap(np.array(mask), run.recorded_clients[0], round_index=1)
    assert (found.intersection_size, found.union_size) == (2, 3)
    assert found.expected_jaccard == pytest.approx(3 / 10 * 2 / 3 + 6 / 10 * 1 / 4)
    whole = analyzer.calculate_chunk_overlap(mask, run.recorded_clients[0])
    assert (whole.intersection_size, whole.union_size) == (3, 4)


def test_overlap_of_empty_selections():
    both = analyzer.calculate_chunk_overlap([], [], num_chunks=4)
    assert (both.jaccard_similarity, both.overlap_coefficient, both.chance_corrected_jaccard) == (1.0, 1.0, None)
    one = analyzer.calculate_chunk_overlap([], [1], num_chunks=4)
    assert (one.jaccard_similarity, one.overlap_coefficient, one.expected_jaccard) == (0.0, 0.0, 0.0)


def test_overlap_of_everything_says_nothing():
    assert analyzer.calculate_chunk_overlap(range(3), range(3), num_chunks=3).chance_corrected_jaccard is None


def test_overlap_as_arrow():
    row = analyzer.calculate_chunk_overlap([0, 1], [1, 2], num_chunks=3).to_arrow().to_pylist()
    expected = 1 / 3 * 1 + 2 / 3 * 1 / 3
    assert row == [
        {
            "intersection_size": 1, "union_size": 3, "jaccard_similarity": 1 / 3, "overlap_coefficient": 0.5,
            "expected_jaccard": pytest.approx(expected),
            "chance_corrected_jaccard": pytest.approx((1 / 3 - expected) / (1 - expected)),
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second", "num_chunks", "message"),
    [
        ([-1], [0], None, "got chunk -1; chunks count from 0"),
        ([5], [0], 5, "chunk 5 is not one of num_chunks=5"),
        ([0.5], [0], None, "whole numbers"),
        ([True, 3], [0], None, "mixed with booleans"),
        ([True, False], [True], None, "different models: 1 and 2 chunks"),
        ([True, False], [1], 3, "different models: 2 and 3 chunks"),
    ],
)
def test_overlap_refuses_what_is_no_selection(first, second, num_chunks, message):
    with pytest.raises(ValueError, match=message):
        analyzer.calculate_chunk_overlap(first, second, num_chunks)


selections = st.sets(st.integers(0, 19))


@given(selections, selections)
def test_overlap_is_symmetric_and_ordered(first, second):
    found = analyzer.calculate_chunk_overlap(first, second, 20)
    assert found == analyzer.calculate_chunk_overlap(sorted(second), sorted(first), 20)
    assert 0 <= found.jaccard_similarity <= found.overlap_coefficient <= 1
    assert (found.jaccard_similarity == 1) == (first == second)
    assert found.expected_jaccard is not None
    assert 0 <= found.expected_jaccard <= 1


def test_importance_of_one_round(run):
    found = analyzer.get_chunk_importance_distribution(run.recorded_clients[0], run.config, round_index=1)
    assert found.chunk_importance_C.tolist() == [4, 3, 2, 1, 0]
    assert found.times_sent_C.tolist() == [1, 1, 0, 0, 0]
    assert (found.mean, found.minimum, found.maximum, found.range) == (2, 0, 4, 4)
    assert found.std == pytest.approx(np.sqrt(2))
    assert found.top_chunks == (0, 1, 2, 3, 4)
    assert found.bottom_chunks == (4, 3, 2, 1, 0)
    assert found.gini == pytest.approx(0.4)
    assert found.energy_captured == pytest.approx(25 / 30)
    assert found.effective_chunks == pytest.approx(100 / 30)


def test_importance_over_rounds_is_the_mean_and_ties_ascend(run):
    found = analyzer.get_chunk_importance_distribution(run.recorded_clients[0], run.config)
    assert found.rounds == (1, 2)
    assert found.chunk_importance_C.tolist() == [2, 2, 2, 2, 2]
    assert found.times_sent_C.tolist() == [1, 1, 0, 1, 1]
    assert found.top_chunks == found.bottom_chunks == (0, 1, 2, 3, 4)
    assert found.gini == 0
    assert found.to_arrow().to_pydict()["importance"] == [2, 2, 2, 2, 2]


def test_importance_of_an_absent_client_is_refused(run):
    with pytest.raises(ValueError, match="no chunks of client 2 are recorded in round 2"):
        analyzer.get_chunk_importance_distribution(run.recorded_clients[2], run.config, 2)


@pytest.mark.parametrize(
    ("config", "rule"),
    [
        ({}, "gradient"),
        ({"chunking_with_gradients": False}, "distance"),
        ({"chunking_random_section": True}, "random"),
        ({"chunking_random_section": True, "chunk_score": "distance"}, "distance"),
        ({"chunk_score": "Update", "method": {"score": "update"}}, "update"),
        ({"method": {"score": None}}, "none"),
    ],
)
def test_the_rule_that_made_the_scores_is_named(run, config, rule):
    assert analyzer.get_chunk_importance_distribution(run.recorded_clients[0], config).score == rule


def test_a_score_that_is_not_finite_is_shown_and_breaks_nothing(write_run, small):
    small.scores = {**small.scores, (1, 1): [1, np.inf, 1, 1, 1]}
    run = load_run(write_run(small))
    found = analyzer.get_chunk_importance_distribution(run.recorded_clients[1], run.config)
    assert (found.maximum, found.top_chunks[0]) == (np.inf, 1)
    assert np.isnan([found.gini, found.std, found.energy_captured]).all()
    assert "nan" in str(found)
