import itertools

import pytest

from fedchunk.analysis.compare import compare
from fedchunk.analysis.method import Method, method_of
from fedchunk.orchestrator.settings.sections import ChunkingSettings
from fedchunk.orchestrator.settings.whole import Settings

EVERYTHING = {"chunking": True, "sensitivity_percentage": 100.0}


def is_full(**settings):
    return method_of(EVERYTHING | settings).full_exchange


def test_what_a_run_says_of_its_method_counts_and_not_what_its_settings_look_like():
    told = {
        "score": "./m.py:s", "policy": "knee", "exchange_rule": "error_feedback", "encoding": "int8",
        "full_exchange": False,
    }  # fmt: skip
    assert method_of({**EVERYTHING, "method": told}) == Method("./m.py:s", "knee", "error_feedback", "int8", False)
    off = dict.fromkeys(("score", "policy", "exchange_rule")) | {"encoding": "float32", "full_exchange": True}
    assert method_of({"chunking": False, "method": off}) == Method(None, None, None, "float32", True)


def test_full_exchange_of_an_older_run_is_without_chunks_or_with_all_of_them_as_they_are_both_ways():
    assert is_full()
    assert is_full(chunking=False, sensitivity_percentage=5.0)
    assert not is_full(sensitivity_percentage=80.0)
    assert not is_full(dynamic_sensitivity_percentage=True)
    assert not is_full(sensitivity_policy="knee")
    assert not is_full(sensitivity_budget_mb=1.0)
    assert not is_full(chunk_reconstruction="error_feedback", downlink_sensitivity_percentage=10.0)


def test_warm_up_rounds_and_encodings_are_no_full_exchange():
    assert not is_full(sensitivity_warmup_rounds=5, sensitivity_warmup_percentage=10.0)
    assert is_full(sensitivity_warmup_rounds=5, sensitivity_warmup_percentage=100.0)
    assert is_full(sensitivity_warmup_rounds=0, sensitivity_warmup_percentage=10.0)
    assert not is_full(chunk_encoding="int4")
    assert is_full(chunk_encoding="float32")


OPTIONS = {
    "chunking": (False, True), "sensitivity_percentage": (100.0, 50.0), "sensitivity_policy": (None, "knee"),
    "dynamic_sensitivity_percentage": (False, True), "sensitivity_warmup_rounds": (0, 3),
    "sensitivity_warmup_percentage": (100.0, 10.0), "chunk_encoding": ("float32", "int4"),
    "chunk_reconstruction": ("contributors", "error_feedback"), "downlink_sensitivity_percentage": (None, 20.0),
    "chunking_random_section": (False, True),
}  # fmt: skip


def test_the_fallback_agrees_with_what_the_recorder_writes_in_every_combination():
    whole = Settings()
    for values in itertools.product(*OPTIONS.values()):
        chunking = ChunkingSettings(**dict(zip(OPTIONS, values, strict=True)))
        told = whole.model_copy(update={"chunking": chunking}).method_facts()
        assert method_of(chunking.model_dump()) == method_of({"method": told}), chunking


@pytest.mark.parametrize(
    "cheap",
    [
        {"sensitivity_warmup_rounds": 5, "sensitivity_warmup_percentage": 10.0},
        {"chunk_encoding": "int4"},
    ],
    ids=["warm-up", "int4"],
)
def test_the_target_comes_from_full_exchange_alone(write_run, small, cheap):
    small.accuracy = [0.7, 0.7]
    small.config = {"chunking": False}
    full = write_run(small, "full")
    small.accuracy = [0.9, 0.9]
    small.config = {"sensitivity_percentage": 100.0, **cheap}
    found = compare([full, write_run(small, "cheap")])
    assert found.target == pytest.approx(0.7 - 0.005)
    assert [group.dense for group in found.groups] == [False, True]
