"""Mutated files end as valid settings or as faults with a place, never in a traceback."""

import random
from pathlib import Path

import pytest

from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.settings.loading import parse, to_yaml

COMPONENTS = """\
chunking: true
sensitivity_percentage: 20
chunk_score: accumulated
chunk_score_options: {}
chunk_encoding: int8
chunk_reconstruction: error_feedback
model_type: LENET
model_options: {}
learning_rate_schedule: cosine
learning_rate_schedule_options: {final: 0.1}
server_learning_rate_schedule: [1, 0.5]
server_optimizer: adam
server_optimizer_options:
  beta_1: 0.5
  tau: 1e-3
aggregation_strategy: trimmed_mean
aggregation_options: {beta: 0.1}
patience: 3
metrics: [accuracy]
recorders:
  - jsonl
"""
NOWHERE = """\
chunking: true
chunk_score: ./nowhere.py:f
chunk_score_options: {strength: 2, parts: [1, {deep: null}]}
sensitivity_policy: nowhere.inner:f
model_type: ./nowhere.py:Net
model_options: {width: 24}
data_distribution_kind: ../nowhere.py:split
metrics: [accuracy, ./nowhere.py:brier, nowhere:f]
recorders: [./nowhere.py:Mine]
"""
CONFIGS = sorted((Path(__file__).parents[3] / "configs").glob("*.yaml"))
TEXTS = [*(path.read_text(encoding="utf-8") for path in CONFIGS), COMPONENTS, COMPONENTS, NOWHERE]
CHARACTERS = "\t\n\r :,-#[]{}&*!|>'\"%@`?~=\\\x00\x07\x85\u2028\ufeff\ud800é🙂0159aeZ._"
VALUES = (
    "null", "true", "yes", "-1", "0", "1e-3", "1e999", ".nan", "-.inf", "0x10", "0o17", "9" * 30, "9" * 5000,
    "12:30:45", "[1, 2]", "{a: b}", "!!python/object/apply:os.system [x]", "*a", "&a 1", "|", ">-", "'", '"\\u0000"',
    "? [x]", "---", "...", "%YAML 1.1", "<<: *a", "5.0", "0.5", "101", "digits", "STAR", "2024-01-01", "[" * 40, "",
    "{}", "{width: 24}", "{tau: .inf}", "{beta: {a: [1, null]}, '': 1}", "{seed: 1}", "[accuracy, jsonl]",
    "[[accuracy]]",
    "./nowhere.py:f", "./nowhere.txt:f", "nowhere:f", "nowhere.inner:f.g", ".nowhere:f", "..:f", "./:f",
    "~no_such_user/a.py:f",
    "[./nowhere.py:f, accuracy]", '"./a\\0b.py:f"', '"a\\0b:f"', '"\\ud800:f"', '"./\\ud800.py:f"',
    f"./{'x' * 300}.py:f", f"{'x' * 300}:f", "json:dumps", "json:nothing", "json:JSONEncoder.encode", "math:pi", "adam",
)  # fmt: skip


def test_the_text_of_components_is_valid_and_the_other_is_refused_at_each_place():
    assert outcome(COMPONENTS, [])[0] is not None
    keys = [
        "chunk_score",
        "sensitivity_policy",
        "model_type",
        "data_distribution_kind",
        "metrics",
        "metrics",
        "recorders",
    ]
    assert [fault.key for fault in outcome(NOWHERE, [])[1]] == keys


def mutated_character(text, rng):
    place = rng.randrange(len(text))
    return text[:place] + rng.choice(("", rng.choice(CHARACTERS))) + text[place + rng.randrange(2) :]


def mutated_lines(text, rng):
    lines = text.split("\n")
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    rng.choice(
        (
            lambda: lines.pop(one),
            lambda: lines.insert(one, lines[other]),
            lambda: lines.insert(one, rng.choice(rng.choice(TEXTS).split("\n"))),
            lambda: lines.__setitem__(one, " " * rng.randrange(1, 5) + lines[one]),
            lambda: lines.__setitem__(one, lines[one] + lines[other]),
            lambda: lines.__setitem__(slice(one, None), []),
        )
    )()
    return "\n".join(lines)


def mutated_value(text, rng):
    lines = text.split("\n")
    one = rng.randrange(len(lines))
    key = lines[one].partition(":")[0]
    lines[one] = f"{key}: {rng.choice(VALUES)}" if rng.random() < 0.8 else rng.choice(VALUES)
    return "\n".join(lines)


OVERRIDDEN = ("mu", "chunking", "foo", "device", "model_type", "model_options", "metrics", "chunk_score")


def mutated(rng):
    text = rng.choice(TEXTS)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        text = rng.choice((mutated_character, mutated_lines, mutated_value, mutated_value))(text or " ", rng)
    return text


def outcome(text, overrides):
    try:
        return parse(text, "f.yaml", overrides).settings, ()
    except ConfigError as error:
        return None, error.faults


def check(files, seed):
    """Parses so many mutated files; how many were valid and how many refused."""
    rng = random.Random(seed)
    valid = 0
    for _ in range(files):
        text = mutated(rng)
        overrides = [f"{rng.choice(OVERRIDDEN)}={rng.choice(VALUES)}"] * (rng.random() < 0.1)
        settings, faults = outcome(text, overrides)
        assert (settings is None) == bool(faults)
        assert all(fault.where.startswith("f.yaml:") or fault.where in overrides for fault in faults)
        if settings:
            valid += 1
            if valid % 50 == 0:
                assert parse(to_yaml(settings), "resolved").settings == settings
    return valid, files - valid


def test_five_thousand_mutated_files():
    valid, refused = check(5_000, seed=1)
    assert valid > 500
    assert refused > 500


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_25_000_mutated_files():
    valid, refused = check(25_000, seed=2)
    assert valid > 2_500
    assert refused > 2_500
