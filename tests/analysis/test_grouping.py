from pathlib import Path

from fedchunk.analysis.grouping import NOT_COMPARED, OF_CHUNKS, differing, grouped, labels
from fedchunk.analysis.load import Run
from fedchunk.orchestrator.settings.running import RuntimeSettings, TrackingSettings
from fedchunk.orchestrator.settings.sections import ChunkingSettings
from fedchunk.orchestrator.settings.whole import Settings


def runs(*configs):
    return [Run(Path(str(i)), config, {}, {}) for i, config in enumerate(configs)]


def names_of(*configs):
    return labels(differing(configs))


def test_the_settings_that_make_no_other_experiment_are_those_of_processes_and_records():
    """A new setting of these sections belongs into the list too."""
    of_sections = set(RuntimeSettings.model_fields) | set(TrackingSettings.model_fields)
    others = {"random_seed", "federation_id", "data_dir", "download", "target_metric", "target_direction"}
    assert of_sections | others == NOT_COMPARED


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


def test_what_runs_did_before_there_was_a_choice_counts_as_null():
    older, newer = runs({"loss_function": "CrossEntropy"}, {"task": "classification", "loss_function": None})
    assert grouped([older, newer]) == [[older, newer]]
    assert differing([older.config, newer.config]) == [{}, {}]


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


def own(name, digit, setting="chunk_score"):
    """Settings that name a user's component, whose source has this digit again and again as its SHA-256."""
    return {setting: name, "components": {setting: {"name": name, "place": "/x/mine.py:3", "sha256": digit * 64}}}


def test_other_sources_of_one_name_are_other_experiments_and_their_labels_say_so():
    configs = [own("./mine.py:signed", digit) for digit in "ab"]
    assert len(grouped(runs(*configs, own("./mine.py:signed", "a")))) == 2
    assert differing(configs) == [
        {"chunk_score": "./mine.py:signed@aaaaaaaa"}, {"chunk_score": "./mine.py:signed@bbbbbbbb"},
    ]  # fmt: skip
    assert names_of(*configs) == ["chunk_score=./mine.py:signed@aaaaaaaa", "chunk_score=./mine.py:signed@bbbbbbbb"]


def test_where_the_name_tells_no_digits_are_shown():
    assert names_of(own("./mine.py:signed", "a"), {"chunk_score": "gradient"}) == [
        "chunk_score=./mine.py:signed", "chunk_score=gradient",
    ]  # fmt: skip
    assert names_of({**own("./m.py:f", "a"), "mu": 1.0}, {**own("./m.py:f", "a"), "mu": 2.0}) == ["mu=1", "mu=2"]


def test_a_run_from_the_sources_that_are_kept_in_a_runs_folder_is_the_same_experiment():
    first, again = own("./mine.py:signed", "a"), own("./components/aaaaaaaa/mine.py:signed", "a")
    assert len(grouped(runs(first, again))) == 1
    assert names_of({**first, "mu": 1.0}, {**again, "mu": 2.0}) == ["mu=1", "mu=2"]
    other = own("./mine.py:unsigned", "a")  # another function of the same file
    assert len(grouped(runs(first, other))) == 2


def test_what_is_recorded_makes_no_other_experiment():
    plain = {"mu": 0.1, "metrics": [], "recorders": []}
    more = {"mu": 0.1, "metrics": ["f1_macro", "./m.py:own"], "recorders": ["jsonl"]}
    more["components"] = {"metrics./m.py:own": {"name": "./m.py:own", "place": "", "sha256": "a" * 64}}
    more["method"] = {"score": None, "policy": None, "exchange_rule": None, "encoding": "float32"}
    assert len(grouped(runs(plain, more))) == 1
    assert differing([{**plain, "mu": 0.2}, more]) == [{"mu": 0.2}, {"mu": 0.1}]


def test_empty_options_count_as_none():
    older, newer = {"mu": 0.1}, {"mu": 0.1, "chunk_score_options": {}, "sensitivity_schedule": []}
    assert len(grouped(runs(older, newer))) == 1
    assert names_of({"mu": 0.2}, newer) == ["mu=0.2", "mu=0.1"]


def test_mappings_and_lists_stand_in_labels_as_in_a_settings_file():
    found = names_of(
        {"chunk_score_options": {"power": 1.5}, "sensitivity_schedule": [50.0, 5.0]},
        {"chunk_score_options": {"power": 2.0}, "sensitivity_schedule": [50.0, 20.0]},
        {"chunk_score_options": {}, "sensitivity_schedule": [50.0, 20.0]},
    )
    assert found == [
        "chunk_score_options={power: 1.5}, sensitivity_schedule=[50, 5]",
        "chunk_score_options={power: 2}, sensitivity_schedule=[50, 20]",
        "chunk_score_options={}, sensitivity_schedule=[50, 20]",
    ]


def test_the_order_of_options_says_nothing():
    one, other = {"model_options": {"a": 1, "b": 2}}, {"model_options": {"b": 2, "a": 1}}
    assert len(grouped(runs(one, other))) == 1
    assert differing([one, other]) == [{}, {}]


def test_values_that_differ_at_their_ends_are_shown_whole():
    long = "./a/very/long/folder/of/mine.py:"
    assert names_of({"model_type": long + "one"}, {"model_type": long + "two"}) == [
        f"model_type={long}one", f"model_type={long}two",
    ]  # fmt: skip


def test_the_digits_of_a_long_name_stay():
    long = "./a/very/long/folder/of/mine.py:signed"
    first, second = names_of(own(long, "a"), own(long, "b"))
    assert first == f"chunk_score={long[:23]}\u2026@aaaaaaaa"
    assert second.endswith("\u2026@bbbbbbbb")
