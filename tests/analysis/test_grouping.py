from pathlib import Path

from fedchunk.analysis.grouping import NOT_COMPARED, OF_CHUNKS, differing, grouped, is_dense, labels
from fedchunk.analysis.load import Run
from fedchunk.orchestrator.settings.sections import ChunkingSettings, RuntimeSettings, Settings, TrackingSettings


def runs(*configs):
    return [Run(Path(str(i)), config, {}, {}) for i, config in enumerate(configs)]


def names_of(*configs):
    return labels(differing(configs))


def test_the_settings_that_make_no_other_experiment_are_those_of_processes_and_records():
    """A new setting of these sections belongs into the list too."""
    of_sections = set(RuntimeSettings.model_fields) | set(TrackingSettings.model_fields)
    assert of_sections | {"random_seed", "federation_id", "data_dir", "download"} == NOT_COMPARED


def test_settings_of_chunks_are_known_by_their_names():
    of_chunks = {name for name in Settings().flat() if name.startswith(OF_CHUNKS)}
    assert of_chunks == set(ChunkingSettings.model_fields)


def test_seeds_names_and_processes_do_not_part_runs():
    first, second, third = runs(
        {"random_seed": 1, "federation_id": "a", "number_of_actors": 1, "mu": 0.1},
        {"random_seed": 2, "federation_id": "b", "number_of_actors": 8, "mu": 0.1},
        {"random_seed": 1, "federation_id": "a", "number_of_actors": 1, "mu": 0.2},
    )
    assert grouped([third, first, second]) == [[third], [first, second]]


def test_a_setting_that_an_older_run_lacks_counts_as_null():
    older, newer = runs({"mu": 0.1}, {"mu": 0.1, "chunk_max_age": None})
    assert grouped([older, newer]) == [[older, newer]]
    assert names_of({"mu": 0.1}, {"mu": 0.2, "chunk_max_age": None}) == ["mu=0.1", "mu=0.2"]


def test_labels_name_only_what_differs():
    assert names_of({"mu": 0.1, "model_type": "mlp"}, {"mu": 0.1, "model_type": "cnn"}) == [
        "model_type=mlp", "model_type=cnn",
    ]  # fmt: skip
    assert names_of({"mu": 0.1}) == ["all runs"]
    assert names_of({"mu": 1.0, "x": None}, {"mu": 2.5, "x": None}) == ["mu=1", "mu=2.5"]


def test_settings_that_part_groups_alike_are_told_by_the_first():
    assert names_of({"a": 1, "b": 1}, {"a": 2, "b": 2}) == ["a=1", "a=2"]
    assert names_of({"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 2, "b": 3}) == ["a=1, b=1", "a=2, b=2", "a=2, b=3"]
    assert differing([{"a": 1, "b": 1, "c": 0}, {"a": 2, "b": 2, "c": 0}]) == [{"a": 1, "b": 1}, {"a": 2, "b": 2}]


def test_full_exchange_is_told_by_one_setting():
    found = names_of(
        {"chunking": False, "chunking_parts": 100, "sensitivity_percentage": 100.0},
        {"chunking": True, "chunking_parts": 1000, "sensitivity_percentage": 10.0},
        {"chunking": True, "chunking_parts": 1000, "sensitivity_percentage": 5.0},
    )
    assert found == ["chunking=false", "sensitivity_percentage=10", "sensitivity_percentage=5"]


def test_labels_stay_unique():
    two_of_full_exchange = names_of(
        {"chunking": False, "chunking_parts": 100}, {"chunking": False, "chunking_parts": 200},
        {"chunking": True, "chunking_parts": 200},
    )  # fmt: skip
    assert two_of_full_exchange == [
        "chunking=false, chunking_parts=100", "chunking=false, chunking_parts=200", "chunking_parts=200",
    ]  # fmt: skip
    assert names_of({"chunking": False}, {"chunking": True}) == ["chunking=false", "chunking=true"]


def test_a_long_value_is_shortened():
    label, _ = names_of({"adjacency_matrix_file_name": "x" * 60}, {"adjacency_matrix_file_name": "y"})
    assert label == "adjacency_matrix_file_name=" + "x" * 23 + "\u2026"


def test_full_exchange_is_without_chunks_or_with_all_of_them_both_ways():
    everything = {"chunking": True, "sensitivity_percentage": 100.0}
    assert is_dense({"chunking": False, "sensitivity_percentage": 5.0})
    assert is_dense(everything)
    assert not is_dense({**everything, "sensitivity_percentage": 80.0})
    assert not is_dense({**everything, "dynamic_sensitivity_percentage": True})
    assert not is_dense({**everything, "sensitivity_policy": "knee"})
    assert not is_dense({**everything, "sensitivity_budget_mb": 1.0})
    assert not is_dense({**everything, "downlink_sensitivity_percentage": 10.0})
