"""The pure parts of benchmarks/accuracy_per_byte.py: its grid, and what it makes of finished runs."""

import importlib
import json
import math
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedchunk.orchestrator.settings import loading

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
sys.path.insert(0, str(ROOT / "benchmarks"))
grid = importlib.import_module("byte_grid")
points = importlib.import_module("byte_points")
results = importlib.import_module("byte_results")
runs = importlib.import_module("byte_runs")

FULL = grid.GRID[0]
SHIPPED = {f"feedback_{share}_percent": f"star_{share}_percent.yaml" for share in ("10", "2_5", "0_5", "0_3", "0_1")}
SHIPPED["sparseloco_1_percent"] = "star_1_percent.yaml"
PARTIAL = ("quarter_1_5_percent", "tenth_3_percent", "seldom_10_percent")
SHIPPED |= {name: f"{name}.yaml" for name in ("peers_20_percent", "peers_5_percent", *PARTIAL)}


def overrides(settings):
    return [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in settings.items()]


def row(name, seed, accuracy, share):
    total = round(1000 * share)
    kept = {"name": name, "group": "opponent", "label": name, "seed": seed, "rounds": 100, "settings": "{}"}
    measured = {"accuracy": accuracy, "final_accuracy": accuracy, "uplink_bytes": total, "downlink_bytes": 0}
    today = {"weights_sha256": None, "messages": results.VERSION}
    return kept | measured | today | {"total_bytes": total, "share": share}


def table(*rows):
    return pa.Table.from_pylist(list(rows), results.SCHEMA)


def test_every_point_has_a_name_and_settings_of_its_own():
    everything = (*grid.GRID, *grid.TRIALS)
    assert len({point.name for point in everything}) == len(everything)
    assert len({json.dumps(dict(point.settings)) for point in grid.GRID}) == len(grid.GRID)
    names = {point.name for point in grid.GRID}
    assert all({target.candidate, target.against} <= names for target in grid.TARGETS)
    assert all(point.baseline in names for point in everything)


@pytest.mark.parametrize("point", [*grid.GRID, *grid.TRIALS], ids=lambda point: point.name)
def test_the_settings_of_every_point_load_and_keep_what_all_have_in_common(point):
    common = loading.load(runs.COMMON).settings.flat()
    settings = loading.load(runs.COMMON, overrides(runs.wanted_settings(point, 3, None))).settings.flat()
    assert settings["random_seed"] == 3
    for key in ("dataset_type", "train_batch_size"):
        assert settings[key] == common[key]
    # An opponent may have another momentum, as what was tried may: ours has what all have.
    assert settings["momentum"] == common["momentum"] or point.group in ("baseline", "trial")
    baseline = overrides(grid.point_of(point.baseline).settings)
    full = loading.load(runs.COMMON, baseline).settings.flat()
    shared = [
        "model_type",
        "model_options",
        "number_of_clients",
        "client_sampling_rate",
        "dirichlet_beta",
        "federated_learning_schema",
    ]
    if not point.name.startswith("fedavg_10_"):  # which are about fewer rounds
        shared += ["federated_learning_rounds", "local_steps"]
    assert {key: settings[key] for key in shared} == {key: full[key] for key in shared}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_file_is_the_point_that_was_measured(name):
    point = grid.point_of(name)
    shipped = loading.load(CONFIGS / SHIPPED[name]).settings
    measured = loading.load(runs.COMMON, overrides(runs.wanted_settings(point, 1, None))).settings
    assert shipped.chunking == measured.chunking
    assert shipped.training == measured.training
    named = shipped.federation.model_copy(update={"federation_id": ""})
    assert named == measured.federation


def test_no_result_uses_the_seed_that_settings_were_chosen_with():
    assert all(points.TUNING_SEED not in point.seeds and len(set(point.seeds)) >= 3 for point in grid.GRID)
    assert all(trial.seeds == (points.TUNING_SEED,) for trial in grid.TRIALS)


def test_points_are_chosen_by_pattern_and_seed():
    assert grid.chosen("full_ex*", (7,)) == [(FULL, 7)]
    assert grid.chosen("nothing", None) == []
    assert len(grid.chosen("*", None)) == sum(len(point.seeds) for point in grid.GRID)
    assert {seed for _, seed in grid.chosen("*", (7,), trials=True)} == {points.TUNING_SEED}


def test_a_trial_changes_what_it_says_of_its_points_settings():
    point = points.Point("p", "ours", "P", {"a": 1, "b": 2}, tried=({"b": 3}, {"c": 4}))
    as_it_is, one, other = point.trials()
    assert as_it_is.settings == point.settings
    assert (one.name, one.label, dict(one.settings)) == ("p.b=3", "b 3", {"a": 1, "b": 3})
    assert dict(other.settings) == {"a": 1, "b": 2, "c": 4}
    assert points.Point("q", "ours", "Q").trials() == ()


def test_rivals_have_as_many_trials_as_ours_at_their_share():
    ours = grid.point_of("feedback_1_percent")
    assert ours.tried
    assert {len(point.tried) for point in grid.byte_rivals.POINTS} == {len(ours.tried)}


def test_the_interval_is_that_of_students_t():
    estimate = results.Estimate.of([84.0, 85.0, 86.0])
    assert estimate.mean == pytest.approx(85.0)
    assert estimate.half == pytest.approx(4.30265 / math.sqrt(3), rel=1e-5)
    assert math.isnan(results.Estimate.of([84.0]).half)


def test_differences_are_paired_by_seed():
    found = results.summarise(
        table(
            row("full_exchange", 1, 0.80, 1.0),
            row("full_exchange", 2, 0.90, 1.0),
            row("small", 2, 0.89, 0.1),
            row("small", 1, 0.79, 0.1),
        )
    )
    full, small = found["full_exchange"], found["small"]
    assert (small.seeds, small.share) == ((1, 2), pytest.approx(0.1))
    assert small.difference(full).mean == pytest.approx(-1.0)
    assert small.difference(full).half == pytest.approx(0.0, abs=1e-9)
    assert small.difference(None) is None
    assert small.accuracy.half > 1


@pytest.mark.parametrize(
    ("accuracy", "share", "expected"),
    [
        (0.796, 0.1, "reached"),
        (0.81, 0.05, "reached"),
        (0.79, 0.1, "missed by 0.50 points of accuracy"),
        (0.80, 0.12, "missed by 2.000 % of the bytes"),
        (0.79, 0.12, "missed by 0.50 points of accuracy and 2.000 % of the bytes"),
    ],
)
def test_the_verdict_says_by_how_much_a_target_was_missed(accuracy, share, expected):
    found = results.summarise(table(row("full_exchange", 1, 0.80, 1.0), row("small", 1, accuracy, share)))
    assert results.verdict(points.Target("must", 0.1, 0.5, "small"), found) == expected
    assert results.verdict(points.Target("must", 0.1, 0.5, "another"), found) == "not run"


def test_a_target_may_be_above_another_point_and_exclude_a_loss():
    rows = [row("full_exchange", seed, 0.80, 1.0) for seed in (1, 2)]
    rows += [row("small", 1, 0.83, 0.1), row("small", 2, 0.85, 0.1)]
    found = results.summarise(table(*rows))
    assert results.verdict(points.Target("must", 0.1, -4.0, "small"), found) == "reached"
    assert results.verdict(points.Target("must", 0.1, -5.0, "small"), found) == "missed by 1.00 points of accuracy"
    # Two values 2 apart: their mean's interval is +- 12.706 x sqrt(2) / sqrt(2).
    sure = points.Target("must", 0.1, 0.5, "small", surely=8.0)
    assert results.verdict(sure, found) == "missed by an interval that reaches a loss of 8.71 points"
    assert results.verdict(points.Target("must", 0.1, 0.5, "small", surely=9.0), found) == "reached"


def test_a_target_is_not_reached_with_some_of_the_seeds():
    full = [row("full_exchange", seed, 0.80, 1.0) for seed in (1, 2, 3)]
    found = results.summarise(table(*full, row("small", 2, 0.85, 0.05)))
    assert results.verdict(points.Target("must", 0.1, 0.5, "small"), found) == "unfinished: without seed 1 and 3"


def finished(folder, point, seed, *, status="finished", bytes_each_way=500, accuracy=0.8, **others):
    """A run's folder as fedchunk leaves it, as far as the benchmark looks: seven rounds, one of them not evaluated."""
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    wanted = runs.wanted_settings(point, seed, None) | others
    settings = loading.load(runs.COMMON, overrides(wanted)).settings.flat()
    del settings["final_average_encoding"]  # a run of before there was such a setting
    (folder / "config.json").write_text(json.dumps(settings | {"method": {"score": "gradient"}}))
    (folder / "summary.json").write_text(json.dumps({"status": status, "weights_sha256": "ab"}))
    accuracies = [0.1, None, *[accuracy + step / 100 for step in (-2, -1, 0, 1, 2)]]
    sums = {"uplink_bytes": [bytes_each_way] * 7, "downlink_bytes": [bytes_each_way] * 7}
    pq.write_table(pa.table({"accuracy": accuracies} | sums), folder / "tables" / "rounds.parquet")


def test_runs_are_read_with_the_mean_of_the_last_five_evaluations(tmp_path):
    other = grid.GRID[1]
    finished(runs.folder_of(tmp_path, FULL, 1), FULL, 1)
    finished(runs.folder_of(tmp_path, other, 1), other, 1, bytes_each_way=50, accuracy=0.7)
    finished(runs.folder_of(tmp_path, other, 2), other, 2, status="interrupted")
    full, small = results.read_runs(tmp_path, None).to_pylist()
    assert (full["accuracy"], full["total_bytes"], full["share"]) == (pytest.approx(0.8), 7000, 1.0)
    assert (small["accuracy"], small["final_accuracy"]) == (pytest.approx(0.7), pytest.approx(0.72))
    assert small["share"] == pytest.approx(0.1)
    assert (small["weights_sha256"], small["messages"]) == ("ab", results.VERSION)


def test_rows_of_before_stay_until_their_point_runs_again_or_is_another_one(tmp_path):
    other = grid.GRID[1]
    settings = {"settings": json.dumps(dict(other.settings))}
    before = [row("full_exchange", 1, 0.5, 1.0), row("full_exchange", 2, 0.6, 1.0), row("gone", 1, 0.5, 1.0)]
    before += [row(other.name, 1, 0.5, 0.1) | settings, row(grid.GRID[2].name, 1, 0.5, 0.1)]
    kept = table(*before).drop_columns(["weights_sha256", "messages"])  # as they were written once
    finished(runs.folder_of(tmp_path, FULL, 1), FULL, 1)

    rows = results.read_runs(tmp_path, None, kept)

    found = {(one["name"], one["seed"]): one for one in rows.to_pylist()}
    assert found.keys() == {("full_exchange", 1), ("full_exchange", 2), (other.name, 1)}
    assert found["full_exchange", 1]["accuracy"] == pytest.approx(0.8)
    assert (found[other.name, 1]["messages"], found[other.name, 1]["group"]) == (None, other.group)
    assert results.summarise(rows)[other.name].outdated


def test_a_run_counts_as_finished_only_with_the_same_settings(tmp_path):
    folder = runs.folder_of(tmp_path, FULL, 1)
    assert not runs.is_finished(folder, runs.wanted_settings(FULL, 1, None))
    finished(folder, FULL, 1)
    assert runs.is_finished(folder, runs.wanted_settings(FULL, 1, None))
    assert not runs.is_finished(folder, runs.wanted_settings(FULL, 1, 3))
    assert not runs.is_finished(folder, runs.wanted_settings(FULL, 1, None) | {"learning_rate": 0.3})
    finished(folder, FULL, 1, momentum=0.5)
    assert not runs.is_finished(folder, runs.wanted_settings(FULL, 1, None)), "it differs in what nobody asked for"
