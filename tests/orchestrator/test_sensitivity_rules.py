"""How warm-up, policy, ceiling, age floor and budget make K together, and what reason they give."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from fedchunk.orchestrator.methods.chooser import Chooser, Count
from fedchunk.orchestrator.methods.scorer import Ages
from fedchunk.orchestrator.settings.joined import Sections
from fedchunk.orchestrator.settings.sections import ChunkingSettings

STEEP = np.array([8, 4, 2, 1, 0.5, 0.2, 0.1, 0.1, 0.1, 0.1], np.float32)
FLAT = np.ones(10, np.float32)
NOTHING = np.zeros(10, np.float32)
NUMBERS = {"threshold": {"sensitivity_threshold": 1.0}, "schedule": {"sensitivity_schedule": (50.0, 20.0)}}
POLICIES = ("fixed", "energy", "threshold", "knee", "utopia", "schedule", "budget")


def rules(policy, **changes):
    return ChunkingSettings(chunking=True, sensitivity_policy=policy, **{**NUMBERS.get(policy, {}), **changes})


def count(settings, scores_C, *, round_index=9, overdue=None, affordable=None):
    """K where so many chunks have waited ``chunk_max_age`` rounds; None: there is no such age."""
    ages_C = np.zeros(len(scores_C), np.int32)
    if overdue is not None:
        settings = settings.model_copy(update={"chunk_max_age": 3})
        ages_C[:] = 2
        ages_C[:overdue] = 3
    return Chooser(Sections(chunking=settings)).count(scores_C, Ages(round_index, ages_C), affordable)


@pytest.mark.parametrize(
    ("policy", "scores_C", "expected"),
    [
        ("fixed", STEEP, Count(10, "fixed 100")),
        ("energy", STEEP, Count(3, "energy 0.95")),
        ("threshold", STEEP, Count(4, "threshold 1")),
        ("threshold", STEEP / 10, Count(0, "threshold 1")),
        ("knee", STEEP, Count(2, "knee")),
        ("knee", FLAT, Count(10, "knee, flat")),
        ("utopia", STEEP, Count(1, "utopia")),
        ("schedule", STEEP, Count(2, "schedule 20")),
        ("budget", STEEP, Count(10, "budget")),
    ],
)
def test_each_policy_gives_its_count_and_says_its_name(policy, scores_C, expected):
    assert count(rules(policy), scores_C) == expected


@pytest.mark.parametrize("policy", POLICIES)
def test_the_percentage_is_the_ceiling_of_every_policy(policy):
    settings = rules(policy, sensitivity_percentage=5.0)
    assert count(settings, FLAT).chunks == 1


def test_the_seeds_switches_choose_the_policy_and_keep_the_ceiling():
    dynamic = ChunkingSettings(chunking=True, dynamic_sensitivity_percentage=True, sensitivity_percentage=80.0)
    assert count(dynamic, FLAT) == Count(8, "energy 0.95, ceiling")
    plain = ChunkingSettings(chunking=True, sensitivity_percentage=80.0)
    assert count(plain, FLAT) == Count(8, "fixed 80")


def test_warm_up_rounds_send_their_percentage_even_above_the_ceiling():
    settings = rules(
        "energy", sensitivity_percentage=10.0, sensitivity_warmup_rounds=2, sensitivity_warmup_percentage=60.0
    )
    assert [count(settings, FLAT, round_index=r) for r in (1, 2, 3)] == [
        Count(6, "warm-up"),
        Count(6, "warm-up"),
        Count(1, "energy 0.95, ceiling"),
    ]
    assert count(settings, FLAT, round_index=1, affordable=4) == Count(4, "warm-up, budget")


def test_overdue_chunks_go_even_above_the_ceiling_but_never_above_the_bytes():
    settings = rules("fixed", sensitivity_percentage=20.0)
    assert count(settings, FLAT, overdue=2) == Count(2, "fixed 20")
    assert count(settings, FLAT, overdue=5) == Count(5, "fixed 20, age")
    assert count(settings, FLAT, overdue=5, affordable=5) == Count(5, "fixed 20, age")
    assert count(settings, FLAT, overdue=5, affordable=3) == Count(3, "fixed 20, budget")
    assert count(settings, FLAT, overdue=5, affordable=0) == Count(0, "fixed 20, budget")


def test_the_budget_policy_sends_what_the_bytes_allow():
    assert count(rules("budget"), FLAT, affordable=7) == Count(7, "budget")
    assert count(rules("budget"), FLAT, affordable=0) == Count(0, "budget")
    assert count(rules("budget", sensitivity_percentage=30.0), FLAT, affordable=7) == Count(3, "budget, ceiling")


@pytest.mark.parametrize("policy", ["energy", "knee", "utopia"])
def test_a_policy_that_reads_scores_sends_nothing_when_all_are_zero(policy):
    assert count(rules(policy), NOTHING) == Count(0, f"{policy}, all scores 0")
    assert count(rules(policy), NOTHING, overdue=2) == Count(2, f"{policy}, all scores 0, age")


@pytest.mark.parametrize("policy", ["fixed", "schedule"])
def test_a_percentage_is_a_percentage_whatever_the_scores(policy):
    assert count(rules(policy), NOTHING) == count(rules(policy), FLAT)


def test_without_chunking_everything_goes():
    assert count(ChunkingSettings(sensitivity_percentage=10.0), FLAT) == Count(10, "chunking off")


@given(
    st.sampled_from(POLICIES),
    hnp.arrays(np.float32, st.integers(1, 30), elements=st.floats(0, 1e6, width=32)),
    st.floats(0.1, 100),
    st.integers(1, 4),
    st.data(),
)
def test_the_count_respects_every_bound(policy, scores_C, percentage, round_index, data):
    overdue = data.draw(st.integers(0, len(scores_C)))
    affordable = data.draw(st.none() | st.integers(0, 40))
    settings = rules(policy, sensitivity_percentage=percentage, sensitivity_warmup_rounds=2)
    chunks = count(settings, scores_C, round_index=round_index, overdue=overdue, affordable=affordable).chunks
    most = len(scores_C) if affordable is None else affordable
    assert min(overdue, most) <= chunks <= min(most, len(scores_C))
