"""Error feedback: nothing is ever lost, only late."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from fedchunk.orchestrator.chunking import codecs
from fedchunk.orchestrator.chunking.encoding import Packing, decode, draft
from fedchunk.orchestrator.chunking.feedback import withheld_after
from fedchunk.orchestrator.chunking.header import Expected, Origin
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.scoring import norms
from fedchunk.orchestrator.chunking.selection import best
from fedchunk.orchestrator.chunking.square_sums import squared_norms
from fedchunk.orchestrator.methods.exchange_rules.error_feedback import ErrorFeedback
from fedchunk.orchestrator.methods.exchange_rules.stale_copies import StaleCopies

LAYOUT = Layout(90, 11)


def send(pending_P, mask_C, encoding):
    message = draft(
        LAYOUT, pending_P, mask_C, round_index=1, sender=0, num_samples=1, buffers=None,
        packing=Packing.built_in(encoding), is_change=True,
    )  # fmt: skip
    seen = decode(message.encoded().payload, LAYOUT, Expected(Origin(1, 0, 1), stands=False), 0, 0).values
    received_P = np.zeros(90, np.float32)
    LAYOUT.add(seen, mask_C, received_P)
    return received_P, withheld_after(pending_P, mask_C, message.seen, LAYOUT)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(0, 11))
def test_sent_and_residual_are_exactly_the_residual_before_and_the_change(seed, count):
    rng = np.random.default_rng(seed)
    residual_P, change_P = rng.normal(size=(2, 90)).astype(np.float32)
    pending_P = residual_P + change_P
    received_P, withheld_P = send(pending_P, best(norms(pending_P, LAYOUT), count), "float32")
    assert (received_P + withheld_P).tobytes() == pending_P.tobytes()
    assert not (received_P.astype(bool) & withheld_P.astype(bool)).any()


@pytest.mark.parametrize("encoding", tuple(codecs.BUILT_IN))
@given(st.integers(0, 2**32 - 1), st.integers(1, 11))
def test_all_that_was_ever_sent_and_the_residual_are_the_sum_of_all_changes(encoding, seed, count):
    rng = np.random.default_rng(seed)
    withheld_P = np.zeros(90, np.float32)
    received_P, changes_P = np.zeros(90), np.zeros(90)
    for _ in range(12):
        change_P = rng.normal(size=90).astype(np.float32)
        changes_P += change_P
        pending_P = withheld_P + change_P
        seen_P, withheld_P = send(pending_P, best(norms(pending_P, LAYOUT), count), encoding)
        received_P += seen_P
    np.testing.assert_allclose(received_P + withheld_P, changes_P, atol=2e-5)


@pytest.mark.parametrize("encoding", tuple(codecs.BUILT_IN))
@given(st.integers(0, 2**32 - 1), st.integers(0, 11))
def test_a_rule_of_a_star_writes_over_what_was_pending_and_leaves_the_message_as_it_is(encoding, seed, count):
    pending_P = np.random.default_rng(seed).normal(size=90).astype(np.float32)
    mask_C = best(norms(pending_P, LAYOUT), count)
    message = draft(
        LAYOUT, pending_P, mask_C, round_index=1, sender=0, num_samples=1, buffers=None,
        packing=Packing.built_in(encoding), is_change=True,
    )  # fmt: skip
    before, expected_P = message.encoded().payload.tobytes(), withheld_after(pending_P, mask_C, message.seen, LAYOUT)
    kept_P, length = ErrorFeedback(0.5).after_sending(pending_P, mask_C, message, LAYOUT)
    assert kept_P.tobytes() == expected_P.tobytes()
    assert message.encoded().payload.tobytes() == before
    assert (kept_P is pending_P) == (encoding != "float32")
    assert length == pytest.approx(np.linalg.norm(expected_P.astype(float)), rel=1e-6)


@pytest.mark.parametrize("encoding", ["float32", "int4", "sign"])
@pytest.mark.parametrize("rule", [ErrorFeedback(0.5), StaleCopies(0.2)])
@given(st.integers(0, 2**32 - 1), st.integers(0, 11))
def test_the_norm_of_what_stays_is_the_same_where_chunks_were_looked_at_before(encoding, rule, seed, count):
    pending_P = np.random.default_rng(seed).normal(size=90).astype(np.float32)
    mask_C, squares_C = best(norms(pending_P, LAYOUT), count), squared_norms(pending_P, LAYOUT)
    message = draft(
        LAYOUT, pending_P, mask_C, round_index=1, sender=0, num_samples=1, buffers=None,
        packing=Packing.built_in(encoding), is_change=True,
    )  # fmt: skip
    _, by_pass = rule.after_sending(pending_P.copy(), mask_C, message, LAYOUT)
    _, by_squares = rule.after_sending(pending_P, mask_C, message, LAYOUT, squares_C)
    assert by_squares == pytest.approx(by_pass, rel=2e-6, abs=1e-12)


def test_every_chunk_is_sent_in_the_end():
    withheld_P, sent_C = np.zeros(90, np.float32), np.zeros(11, bool)
    for _ in range(60):
        withheld_P = withheld_P + np.linspace(0.1, 1, 90, dtype=np.float32)
        mask_C = best(norms(withheld_P, LAYOUT), 1)
        _, withheld_P = send(withheld_P, mask_C, "float32")
        sent_C |= mask_C
    assert sent_C.all()
