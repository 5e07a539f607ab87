"""The pure parts of benchmarks/findings.py."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from fedchunk.orchestrator.settings import loading

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
mask_labels = importlib.import_module("mask_labels")
findings = importlib.import_module("findings")
runs = importlib.import_module("byte_runs")

LABELS = np.repeat(np.eye(4), 4, axis=0)
"""16 clients: four of each of four labels."""


def test_choices_that_follow_labels_tell_them():
    noise = np.random.default_rng(1).random((16, 4)) / 10
    told = mask_labels.compared(LABELS + noise, LABELS)
    assert told.error == 0  # the three others of a label are the nearest
    assert told.without == pytest.approx(12 / 15)  # of the 15 others, 3 have the same label
    assert told.correlation > 0.6
    assert told.p == pytest.approx(1 / 1000)


def test_what_all_choose_alike_tells_nothing():
    noise = np.random.default_rng(1).random((16, 4)) / 10
    alike = np.array([1.0, 0.0, 0.7, 0.2])
    assert mask_labels.compared(LABELS / 5 + noise + alike, LABELS) == mask_labels.compared(LABELS / 5 + noise, LABELS)


def test_choices_at_random_tell_no_labels():
    told = [mask_labels.compared(np.random.default_rng(seed).random((16, 50)), LABELS) for seed in range(10)]
    assert abs(np.mean([one.correlation for one in told])) < 0.1
    assert np.mean([one.p for one in told]) > 0.2
    assert np.mean([one.error for one in told]) > 0.6


def test_equal_choices_tell_nothing():
    told = mask_labels.compared(np.ones((16, 5)), LABELS)
    assert (told.correlation, told.p) == (0, 1)


def test_every_pair_differs_in_the_score_alone():
    for name, other in findings.PAIRS:
        ours, random = findings.point_of(name), findings.point_of(other)
        assert dict(random.settings) == {**ours.settings, "chunk_score": "random"}


def test_points_are_there_for_every_question():
    names = {point.name for point, _ in findings.wanted()}
    assert {"masks_random", "full_exchange", "peers_averaged_full_exchange"} <= names


@pytest.mark.parametrize("point", findings.MASKS, ids=lambda point: point.name)
def test_a_finished_run_of_masks_is_found_by_what_it_recorded_of_its_settings(tmp_path, point):
    wanted = runs.wanted_settings(point, 1, None)
    recorded = loading.load(runs.COMMON, runs._overrides(wanted))
    (tmp_path / "config.json").write_text(json.dumps(recorded.settings.flat()))
    (tmp_path / "summary.json").write_text(json.dumps({"status": "finished"}))
    assert runs.is_finished(tmp_path, wanted)
