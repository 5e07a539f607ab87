"""The chunk engine in whole rounds: feedback, agreement, encodings, budgets; what is shared, billed and kept."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from fedchunk.actors.client.star import StarClient
from fedchunk.actors.client.worker import LocalWorker
from fedchunk.orchestrator.chunking.codecs import BUILT_IN
from fedchunk.orchestrator.contract.messages import COORDINATOR
from fedchunk.orchestrator.core.errors import ConfigError

FEEDBACK = {"chunk_reconstruction": "error_feedback", "chunk_score": "accumulated"}
AGREED = {**FEEDBACK, "chunk_agreement": "consensus"}
HEADER, SETUP = 8, 24
"""Bytes of a header, and what the first one over a connection has more."""


def kinds(run, sender=None, receiver=None, round_index=None):
    """Bytes by kind of the ledger's rows that match."""
    found = {}
    for row in run.rows("ledger"):
        asked = {"sender": sender, "receiver": receiver, "round": round_index}
        if all(wanted in (None, row[column]) for column, wanted in asked.items()):
            found[row["kind"]] = found.get(row["kind"], 0) + row["bytes"]
    return found


def sent_chunks(run, round_index):
    """Client -> the set of chunks it sent in a round."""
    sent = {}
    for row in run.rows("chunks"):
        if row["round"] == round_index:
            sent.setdefault(row["client"], set())
            if row["selected"]:
                sent[row["client"]].add(row["chunk"])
    return sent


def test_feedback_with_every_chunk_is_dense_averaging(make_settings, run_local):
    fed_back = run_local(make_settings(sensitivity_percentage=100.0, aggregation_sample_scaling=True, **FEEDBACK))
    dense = run_local(make_settings(chunking=False, aggregation_sample_scaling=True))
    np.testing.assert_allclose(fed_back.model.weights_P, dense.model.weights_P, rtol=1e-4, atol=1e-6)


LEARNING = [(name, FEEDBACK) for name in BUILT_IN] + [
    (name, {**AGREED, **scores})
    for name in ("float32", "float16", "bfloat16", "int8", "int4", "topk_in_chunk")
    for scores in ({}, {"agreement_scores": "none"})
]


@pytest.mark.parametrize(("encoding", "rules"), LEARNING)
def test_lossy_few_chunks_still_learn(make_settings, run_local, encoding, rules):
    run = run_local(make_settings(chunk_encoding=encoding, federated_learning_rounds=20, **rules))
    assert run.summary.status == "finished"
    assert run.rows("rounds")[-1]["accuracy"] > 0.6


def test_values_that_are_chosen_one_by_one_still_learn(make_settings, run_local):
    """Sparse Ternary Compression: every chunk is one value, one percent of them go, as plus or minus one size."""
    num_values = 48_404
    settings = make_settings(
        chunking_parts=num_values, sensitivity_percentage=1.0, chunk_encoding="stc", chunk_score="accumulated",
        chunk_reconstruction="error_feedback", record_chunks=False, federated_learning_rounds=20,
    )  # fmt: skip
    run = run_local(settings)
    assert run.rows("rounds")[-1]["accuracy"] > 0.6
    sent = -(-num_values // 100)
    up = kinds(run, receiver=COORDINATOR)
    assert {row["chunks_sent"] for row in run.rows("clients")} == {sent}
    assert (up["values"], up["scales"]) == (20 * 5 * -(-sent // 8), 20 * 5 * 2)


def test_residuals_are_what_was_not_sent(make_settings, run_local):
    everything = run_local(make_settings(sensitivity_percentage=100.0, **FEEDBACK))
    some = run_local(make_settings(**FEEDBACK))
    assert all(row["residual_norm"] == 0 for row in everything.rows("clients"))
    assert all(row["residual_norm"] > 0 for row in some.rows("clients"))
    assert all(row["residual_norm"] is None for row in run_local(make_settings()).rows("clients"))


@pytest.mark.parametrize(
    "rules",
    [
        {**FEEDBACK, "chunk_encoding": "int4", "downlink_sensitivity_percentage": 10.0, "client_sampling_rate": 0.5},
        {**AGREED, "chunk_encoding": "int8", "client_sampling_rate": 0.6},
        {**AGREED, "downlink_sensitivity_percentage": 10.0},
        {**AGREED, "agreement_scores": "none", "initial_model": "seed", "chunk_compression": "zstd"},
    ],
)
def test_clients_share_every_bit_with_the_coordinator(make_settings, run_local, monkeypatch, rules):
    """A client starts a round from the coordinator's shared model, also after rounds away and lossy messages."""
    begun = {}
    train = LocalWorker.train

    def watched(worker, round_index, clients, starts, *more):
        begun.setdefault(round_index, set()).update(start.weights_P.tobytes() for start in starts)
        return train(worker, round_index, clients, starts, *more)

    monkeypatch.setattr(LocalWorker, "train", watched)
    run_local(make_settings(number_of_clients=6, federated_learning_rounds=8, **rules))
    assert sorted(begun) == list(range(1, 9))
    assert all(len(models) == 1 for models in begun.values())
    assert len(set.union(*begun.values())) == 8


@pytest.mark.parametrize(
    "rules",
    [
        FEEDBACK,
        {**FEEDBACK, "chunk_encoding": "int4", "downlink_sensitivity_percentage": 20.0},
        {**AGREED, "chunk_encoding": "int8"},
        {**AGREED, "agreement_scores": "none", "client_sampling_rate": 0.6},
        {"chunk_agreement": "consensus", "agreement_scores": "float32", "agreement_interval": 2},
        {"chunk_score": "accumulated", "chunk_age_exponent": 1.0, "chunk_max_age": 2},
        {"chunk_score": "round_robin"},
        {"chunk_score": "relative", "sensitivity_policy": "knee"},
        {"chunk_score": "update", "sensitivity_policy": "utopia", "server_learning_rate": 1.5},
        {"sensitivity_budget_mb": 1.0, "chunk_encoding": "bfloat16"},
        {**FEEDBACK, "chunk_encoding": "qsgd", "chunk_encoding_options": {"levels": 20}, "chunk_score": "layerwise"},
        {**FEEDBACK, "chunk_encoding": "topk_in_chunk", "chunk_encoding_options": {"share": 0.05}},
        {"chunk_score": "fisher"},
    ],
)
def test_actors_and_order_change_nothing(make_settings, run_local, shuffled_group, without_times, rules):
    one = run_local(make_settings(number_of_actors=1, **rules))
    shuffled_group(np.random.default_rng(7))
    two = run_local(make_settings(number_of_actors=3, **rules))
    assert one.summary.weights_sha256 == two.summary.weights_sha256
    for table in ("rounds", "clients", "chunks", "ledger"):
        assert without_times(one.rows(table)) == without_times(two.rows(table))


@pytest.mark.parametrize("scores", ["float32", "byte", "none"])
def test_with_consensus_all_send_the_same_and_the_downlink_is_as_small_as_the_uplink(make_settings, run_local, scores):
    run = run_local(make_settings(agreement_scores=scores, initial_model="seed", **AGREED))
    for index in (1, 2, 3):
        assert len({frozenset(chunks) for chunks in sent_chunks(run, index).values()}) == 1
        values_up = kinds(run, receiver=COORDINATOR, round_index=index)["values"]
        values_down = kinds(run, sender=COORDINATOR, round_index=index + 1).get("values", 0)
        assert values_down == (values_up if index < 3 else 0)


def test_the_price_of_agreeing_is_billed(make_settings, run_local):
    prices = {
        scores: kinds(run_local(make_settings(agreement_scores=scores, **AGREED)), receiver=COORDINATOR)
        for scores in ("float32", "byte", "none")
    }
    assert prices["float32"]["scores"] == 3 * 5 * 4 * 20
    assert prices["byte"]["scores"] == 3 * 5 * (4 + 20)
    assert "scores" not in prices["none"]
    assert prices["none"]["header"] == 5 * (SETUP + 3 * HEADER)
    assert prices["byte"]["header"] == 5 * (SETUP + 6 * HEADER)
    assert prices["none"]["mask"] == 3 * 5 * 1  # both ends know the chunks, only how many they are is said


def test_asking_now_and_then_costs_scores_now_and_then(make_settings, run_local):
    run = run_local(make_settings(agreement_interval=3, federated_learning_rounds=5, **AGREED))
    asked = [index for index in range(1, 6) if "scores" in kinds(run, round_index=index)]
    assert asked == [1, 4]


def test_a_model_made_from_the_seed_is_not_sent(make_settings, run_local):
    sent = run_local(make_settings(**FEEDBACK))
    made = run_local(make_settings(initial_model="seed", **FEEDBACK))
    assert made.summary.weights_sha256 == sent.summary.weights_sha256
    first = [row["downlink_bytes"] for row in made.rows("clients") if row["round"] == 1]
    assert first == [SETUP + HEADER + 1] * 5  # of 20 chunks none: 5 bits
    saved = sent.summary.downlink_bytes - made.summary.downlink_bytes
    assert saved == 5 * (4 * made.spec.num_parameters - 1)  # to name all chunks takes nothing


def test_a_downlink_of_its_own_percentage(make_settings, run_local):
    run = run_local(make_settings(downlink_sensitivity_percentage=10.0, initial_model="seed", **FEEDBACK))
    layout_values = run.spec.num_parameters // 20
    for index in (2, 3):
        values = kinds(run, sender=COORDINATOR, receiver=0, round_index=index)["values"]
        assert abs(values - 2 * 4 * layout_values) <= 8


def test_no_chunk_waits_longer_than_its_age_allows(make_settings, run_local):
    run = run_local(make_settings(chunk_max_age=3, federated_learning_rounds=9))
    assert max(row["age"] for row in run.rows("chunks")) <= 3
    reasons = {row["sensitivity_reason"] for row in run.rows("clients")}
    assert any("age" in reason for reason in reasons)


@pytest.mark.parametrize("rules", [{}, {**AGREED}, {**FEEDBACK, "chunk_encoding": "int8"}])
def test_a_budget_is_kept_to_the_byte(make_settings, run_local, rules):
    budget_mb = 0.9
    settings = make_settings(
        sensitivity_policy="budget", sensitivity_budget_mb=budget_mb, sensitivity_percentage=100.0, **rules
    )
    run = run_local(settings)
    assert 0.5 * budget_mb * 1e6 < run.summary.uplink_bytes <= budget_mb * 1e6


def test_a_budget_that_headers_alone_would_pass_is_refused(make_settings, run_local):
    settings = make_settings(sensitivity_policy="budget", sensitivity_budget_mb=0.0002)
    with pytest.raises(ConfigError, match=r"sensitivity_budget_mb: got 0\.0002 MB, .* take 0\.000255 MB"):
        run_local(settings)


def test_nothing_worth_sending_is_legal(make_settings, run_local):
    settings = make_settings(sensitivity_policy="threshold", sensitivity_threshold=1e9, sensitivity_percentage=100.0)
    run = run_local(settings)
    assert run.summary.status == "finished"
    assert {row["chunks_sent"] for row in run.rows("clients")} == {0}
    assert all(row["coverage"] == 0 for row in run.rows("rounds"))
    assert len({row["accuracy"] for row in run.rows("rounds")}) == 1


def test_warm_up_comes_first(make_settings, run_local):
    settings = make_settings(sensitivity_warmup_rounds=1, sensitivity_warmup_percentage=100.0)
    sent = {(row["round"], row["chunks_sent"]) for row in run_local(settings).rows("clients")}
    assert sent == {(1, 20), (2, 6), (3, 6)}


def test_a_rejected_change_is_not_lost_from_the_residual(make_settings, run_local):
    """The coordinator keeps the state from before, so that a later payload still holds what was withheld."""
    norms = {}

    def make(settings, device, data):
        class Watched(StarClient):
            def _finish(self, visit, *rest):
                done = super()._finish(visit, *rest)
                if visit.client_id == 2:
                    held = 0.0 if visit.state is None else float(np.linalg.norm(visit.state.withheld_P))
                    norms[visit.round_index] = held, float(np.linalg.norm(done.state.withheld_P))
                    if visit.round_index == 2:
                        return replace(done, sent=done.sent.encoded().payload[:-1])
                return done

        return Watched(settings, device, data)

    run = run_local(make_settings(**FEEDBACK), make)
    assert [row["status"] for row in run.rows("clients") if row["client"] == 2] == ["ok", "rejected", "ok"]
    assert norms[3][0] == norms[1][1] != norms[2][1]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_training_begins_from_the_shared_model_and_a_share_of_what_is_withheld(make_settings, run_local, share):
    seen = []

    def make(settings, device, data):
        class Watched(StarClient):
            def _finish(self, visit, before, change, *rest):
                withheld_P = visit.state.withheld_P if visit.state else np.zeros(1, np.float32)
                seen.append((visit.round_index, change.before_P, withheld_P))
                return super()._finish(visit, before, change, *rest)

        return Watched(settings, device, data)

    run_local(make_settings(withheld_share=share, **FEEDBACK), make)
    for index in (2, 3):
        shared = [start_P - np.float32(share) * held_P for when, start_P, held_P in seen if when == index]
        assert len(shared) == 5
        assert any(held_P.any() for when, _, held_P in seen if when == index)
        for one in shared[1:]:
            np.testing.assert_allclose(one, shared[0], atol=1e-6)


def test_sampled_clients_keep_their_residual_while_they_are_away(make_settings, run_local):
    held = {}

    def make(settings, device, data):
        class Watched(StarClient):
            def _finish(self, visit, *rest):
                done = super()._finish(visit, *rest)
                before = None if visit.state is None else visit.state.withheld_P.tobytes()
                held.setdefault(visit.client_id, []).append((before, done.state.withheld_P.tobytes()))
                return done

        return Watched(settings, device, data)

    run_local(make_settings(client_sampling_rate=0.4, federated_learning_rounds=8, **FEEDBACK), make)
    assert sum(map(len, held.values())) == 16
    for visits in held.values():
        assert visits[0][0] is None
        assert all(later[0] == earlier[1] for earlier, later in itertools.pairwise(visits))


def test_the_server_step_scales_the_models_move(make_settings, run_local):
    start, one, half = (
        run_local(
            make_settings(chunking=False, federated_learning_rounds=1, learning_rate=rate, **more)
        ).model.weights_P
        for rate, more in ((1e-12, {}), (0.1, {}), (0.1, {"server_learning_rate": 0.5}))
    )
    np.testing.assert_allclose(half - start, 0.5 * (one - start), atol=1e-6)
