"""A round's records against what can be worked out by hand; every byte in the ledger; bad updates."""

from dataclasses import replace

import numpy as np
import pytest

from fedchunk.actors.backends.local import LocalClientGroup
from fedchunk.actors.client.star import StarClient
from fedchunk.actors.coordinator.dispatch import Dispatch
from fedchunk.orchestrator.chunking.encoding import decode, encode
from fedchunk.orchestrator.chunking.header import Expected, Origin
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.contract.messages import COORDINATOR
from fedchunk.orchestrator.methods.outgoing import Outgoing

FIRST, LATER = 32, 8
"""Bytes of the header of the first message over a connection, and of all others."""


def mask_of(count):
    """Bytes of a mask of 20 chunks: 5 bits say how many, up to 11 which 3 of 20; from 4 on a bitmap is not longer."""
    rare = min(count, 20 - count)
    return 0 if count == 20 else 1 if rare == 0 else 2 if rare <= 3 else 3


def test_full_exchange_costs_what_full_exchange_is_said_to_cost(make_settings, run_local):
    run = run_local(make_settings(chunking=False))
    assert run.summary.uplink_bytes == run.summary.dense_uplink_bytes
    assert run.summary.downlink_bytes == run.summary.dense_downlink_bytes
    num_parameters = run.spec.num_parameters
    assert run.summary.dense_uplink_bytes == 5 * (FIRST + 2 * LATER + 3 * 4 * num_parameters)


def test_a_fixed_share_of_chunks_is_sent_and_billed(make_settings, run_local):
    run = run_local(make_settings())
    layout = Layout(run.spec.num_parameters, 20)
    for row in run.rows("clients"):
        assert row["chunks_sent"] == 6
        chosen = [
            chunk["selected"]
            for chunk in run.rows("chunks")
            if (chunk["round"], chunk["client"]) == (row["round"], row["client"])
        ]
        assert sum(chosen) == 6
        header = FIRST if row["round"] == 1 else LATER
        assert row["uplink_bytes"] == header + mask_of(6) + 4 * layout.num_values(np.array(chosen))


def test_the_first_download_is_the_whole_model_and_later_ones_what_somebody_sent(make_settings, run_local):
    run = run_local(make_settings())
    layout = Layout(run.spec.num_parameters, 20)
    downlinks = {(row["round"], row["client"]): row["downlink_bytes"] for row in run.rows("clients")}
    assert downlinks[1, 0] == FIRST + 4 * run.spec.num_parameters
    union_C = np.zeros(20, bool)
    for chunk in run.rows("chunks"):
        if chunk["round"] == 1:
            union_C[chunk["chunk"]] |= chunk["selected"]
    assert downlinks[2, 0] == LATER + mask_of(union_C.sum()) + 4 * layout.num_values(union_C)
    assert run.rows("rounds")[0]["coverage"] == union_C.mean()


def test_ages_count_the_rounds_since_a_chunk_was_sent(make_settings, run_local):
    run = run_local(make_settings(chunking_random_section=True, federated_learning_rounds=5))
    last_sent = {}
    for row in run.rows("chunks"):
        key = row["client"], row["chunk"]
        assert row["age"] == row["round"] - 1 - last_sent.get(key, 0)
        if row["selected"]:
            last_sent[key] = row["round"]


def test_the_ledger_adds_up_to_the_rounds_and_clients_tables(make_settings, run_local):
    run = run_local(make_settings(evaluate_clients=True, chunk_reconstruction="own_weights"))
    ledger = run.rows("ledger")
    for row in run.rows("rounds"):
        mine = [entry for entry in ledger if entry["round"] == row["round"]]
        assert sum(e["bytes"] for e in mine if e["receiver"] == COORDINATOR) == row["uplink_bytes"]
        assert sum(e["bytes"] for e in mine if e["sender"] == COORDINATOR) == row["downlink_bytes"]
    for row in run.rows("clients"):
        mine = [entry for entry in ledger if entry["round"] == row["round"]]
        assert sum(e["bytes"] for e in mine if e["sender"] == row["client"]) == row["uplink_bytes"]
        assert sum(e["bytes"] for e in mine if e["receiver"] == row["client"]) == row["downlink_bytes"]
    assert {"header", "mask", "values", "shares"} == {entry["kind"] for entry in ledger}


@pytest.mark.parametrize("rules", [{}, {"client_sampling_rate": 0.5}, {"evaluate_clients": True}])
def test_the_ledger_is_what_the_transport_carried(make_settings, run_local, monkeypatch, rules):
    carried = {"up": 0, "down": 0}
    run = LocalClientGroup.next_outcome

    def weigh(group):
        call = group._queue[0]
        outcome = run(group)
        if call.method in ("train_group", "evaluate_group"):
            order, messages = call.arguments[0], call.arguments[1].value()
            carried["down"] += sum(len(messages[at]) for one in order.messages for at in one)
        if call.method == "train_group":
            carried["up"] += sum(map(len, outcome.values[1]))
        return outcome

    monkeypatch.setattr(LocalClientGroup, "next_outcome", weigh)
    monkeypatch.setattr(Dispatch, "writes_messages", True)
    notebook = run_local(make_settings(clients_per_group=1, **rules))
    assert carried == {"up": notebook.summary.uplink_bytes, "down": notebook.summary.downlink_bytes}


def test_a_sampled_client_is_sent_everything_it_missed(make_settings, run_local):
    run = run_local(make_settings(client_sampling_rate=0.4, federated_learning_rounds=6, sensitivity_percentage=5.0))
    layout = Layout(run.spec.num_parameters, 20)
    changed_C, known = np.zeros(20, int), {}
    for index in range(1, 7):
        rows = [row for row in run.rows("clients") if row["round"] == index]
        for row in rows:
            missed_C = changed_C > known[row["client"]] if row["client"] in known else np.ones(20, bool)
            header = (LATER if row["client"] in known else FIRST) + mask_of(missed_C.sum())
            assert row["downlink_bytes"] == header + 4 * layout.num_values(missed_C)
            known[row["client"]] = index - 1
        for chunk in run.rows("chunks"):
            if chunk["round"] == index and chunk["selected"]:
                changed_C[chunk["chunk"]] = index


def test_evaluating_clients_moves_the_download_forward_and_adds_only_the_last_one(make_settings, run_local):
    plain, measured = (run_local(make_settings(evaluate_clients=on)) for on in (False, True))
    downloads = [row["downlink_bytes"] for row in plain.rows("rounds")]
    header = 5 * (LATER + mask_of(0))
    early = [row["downlink_bytes"] for row in measured.rows("rounds")]
    assert early[0] == downloads[0] + downloads[1]
    assert early[1] == downloads[2] + header
    assert all(row["client_accuracy_mean"] is None for row in plain.rows("rounds"))
    for row in measured.rows("rounds"):
        accuracies = [c["accuracy"] for c in measured.rows("clients") if c["round"] == row["round"]]
        assert row["client_accuracy_mean"] == pytest.approx(np.mean(accuracies))
        assert (row["client_accuracy_min"], row["client_accuracy_max"]) == (min(accuracies), max(accuracies))


def test_batch_norm_buffers_travel_and_are_billed(make_settings, run_local):
    data = {"synthetic_size": 32, "synthetic_samples": 40, "synthetic_test_samples": 8, "number_of_clients": 2}
    few = {"federated_learning_rounds": 1, "learning_rate": 0.01, "data_distribution_kind": "iid"}
    run = run_local(make_settings(model_type="resnet18", **data, **few))
    buffers = [row["bytes"] for row in run.rows("ledger") if row["kind"] == "buffers"]
    assert buffers == [4 * run.spec.num_float_buffers + 8 * run.spec.num_integer_buffers] * 4
    assert run.model.counters_I.min() > 0


def test_a_run_stops_at_the_accuracy_asked_for(make_settings, run_local):
    rounds = run_local(make_settings(federated_learning_rounds=30, stop_avg_accuracy=0.5)).rows("rounds")
    assert len(rounds) < 30
    assert rounds[-1]["accuracy"] >= 0.5
    assert all(row["accuracy"] < 0.5 for row in rounds[:-1])


def test_evaluation_can_be_rare_but_never_misses_the_last_round(make_settings, run_local):
    rows = run_local(make_settings(federated_learning_rounds=5, evaluation_interval=2)).rows("rounds")
    assert [row["accuracy"] is not None for row in rows] == [False, True, False, True, True]


def test_in_full_exchange_clients_keep_nothing_and_ages_count_from_their_last_round(make_settings, run_local):
    crossed = []

    class Watched(StarClient):
        def train_group(self, order, *arguments):
            answer = super().train_group(order, *arguments)
            crossed.append((order.states, len(arguments), answer[2]))
            return answer

    settings = make_settings(
        chunking=False, evaluate_clients=False, client_sampling_rate=0.5, federated_learning_rounds=8
    )
    run = run_local(settings, lambda settings, device, data: Watched(settings, device, data))

    assert set(crossed) == {((), 1, ())}
    last, ages = {}, []
    for row in run.rows("chunks"):
        ages.append(row["age"])
        assert row["age"] == row["round"] - 1 - last.get(row["client"], 0)
        last[row["client"]] = row["round"]
    assert len(set(ages)) > 2


def with_payload(make):
    """A client actor whose client 2 sends what ``make(payload, layout, expected)`` gives instead of its payload."""

    class Bad(StarClient):
        def _finish(self, visit, *rest):
            done = super()._finish(visit, *rest)
            if visit.client_id != 2:
                return done
            expected = Expected(Origin(visit.round_index, 2, self._worker.num_samples(2)), visit.stands)
            written = done.sent.encoded().payload if isinstance(done.sent, Outgoing) else done.sent
            return replace(done, sent=make(written, self._layout, expected))

    return lambda settings, device, data: Bad(settings, device, data)


def recoded(**changes):
    """The same update with other fields in its header."""

    def make(payload, layout, expected):
        message = decode(payload, layout, expected, 0, 0)
        vector_P = np.zeros(layout.num_parameters, np.float32)
        layout.paste(message.values, message.mask_C, vector_P)
        fields = {
            "mask_C": message.mask_C,
            "round_index": expected.origin.round_index,
            "sender": expected.origin.sender,
            "num_samples": expected.origin.num_samples,
            "buffers": (np.empty(0, np.float32), np.empty(0, np.int64)),
        }
        return encode(layout, **{"vector_P": vector_P} | fields | changes).over(stands=expected.stands).payload

    return make


def flipped(payload, layout, expected):
    damaged = payload.copy()
    damaged[len(damaged) // 2] ^= 4
    return damaged


def not_finite(payload, layout, expected):
    return recoded(vector_P=np.full(layout.num_parameters, np.nan, np.float32))(payload, layout, expected)


def too_large(payload, layout, expected):
    return recoded(vector_P=np.full(layout.num_parameters, 1e30, np.float32))(payload, layout, expected)


def times(factor, **changes):
    def make(payload, layout, expected):
        message = decode(payload, layout, expected, 0, 0)
        vector_P = np.zeros(layout.num_parameters, np.float32)
        layout.paste(message.values * np.float32(factor), message.mask_C, vector_P)
        return recoded(vector_P=vector_P, **changes)(payload, layout, expected)

    return make


BAD = {
    "not a number": (not_finite, "not finite"),
    "another length": (lambda payload, layout, expected: payload[:-4], "checksum"),
    "another type": (lambda payload, layout, expected: payload.astype(np.float32), "not a run of bytes"),
    "damaged": (flipped, "checksum"),
    "another client's name": (recoded(sender=3), "expected"),
    "another round": (recoded(round_index=9), "expected"),
    "a billion samples": (recoded(num_samples=10**9), "expected"),
    "changes": (recoded(is_change=True), "holds changes"),
    "a choice": (recoded(choice_C=np.ones(20, bool)), "only the coordinator"),
    "no buffers": (recoded(buffers=None), "no buffers"),
    "shares": (recoded(shares_K=np.ones(6, np.float32)), "only the coordinator"),
    "None": (lambda payload, layout, expected: None, "is NoneType, not a run of bytes"),
    "text": (lambda payload, layout, expected: "hello", "is str, not a run of bytes"),
    "a value that training never gives": (
        too_large,
        "holds a value of 1e+30; max_update_value is 1e+06",
    ),
    "more chunks than may be sent": (recoded(mask_C=np.ones(20, bool)), "holds 20 chunks; in round"),
    "nothing": (lambda payload, layout, expected: np.empty(0, np.uint8), "too short"),
    "its values a hundred times": (times(100), "more than 50 times the median of the round's updates"),
}


@pytest.mark.parametrize("together", [1, 5])
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_update_is_left_out_counted_and_named_and_the_run_lives(make_settings, run_local, kind, together):
    make, reason = BAD[kind]
    settings = make_settings(aggregation_sample_scaling=True, clients_per_group=together)
    run = run_local(settings, with_payload(make))
    assert run.summary.status == "finished"
    for result, row in zip(run.results, run.rows("rounds"), strict=True):
        assert (row["participants"], row["failed"]) == (4, 1)
        assert len(result.problems) == 1
        assert "client 2" in result.problems[0]
    bad = [row for row in run.rows("clients") if row["client"] == 2]
    assert all(row["status"] == "rejected" and reason in row["reason"] for row in bad)
    assert np.isfinite(run.model.weights_P).all()
    without = [row for row in run.rows("chunks") if row["client"] == 2]
    assert without == []


@pytest.mark.parametrize(
    "rules",
    [{}, {"aggregation_strategy": "median"}, {"client_sampling_rate": 0.8},
     {"chunk_reconstruction": "error_feedback", "chunk_score": "accumulated"}],
    ids=str,
)  # fmt: skip
def test_a_round_with_an_update_far_too_large_is_as_if_it_had_been_damaged(make_settings, run_local, rules):
    settings = make_settings(federated_learning_rounds=4, **rules)
    is_change = rules.get("chunk_reconstruction") == "error_feedback"
    large = times(1000, is_change=is_change)
    found, damaged = run_local(settings, with_payload(large)), run_local(settings, with_payload(flipped))
    assert {row["status"] for row in found.rows("clients") if row["client"] == 2} == {"rejected"}
    assert found.summary.weights_sha256 == damaged.summary.weights_sha256


def test_a_client_with_many_samples_is_not_too_large(make_settings, run_local):
    """Its change grows with its local steps; with a limit of little more than the median all of them stay."""
    settings = make_settings(
        data_distribution_kind="iid-diff-quantity", dirichlet_beta=0.3, number_of_clients=8, train_batch_size=4,
        max_update_ratio=3.0, learning_rate=0.01, chunk_reconstruction="error_feedback", chunk_score="accumulated",
    )  # fmt: skip
    run = run_local(settings)
    samples = [row["samples"] for row in run.rows("clients")]
    assert max(samples) > 10 * sorted(samples)[len(samples) // 2] or max(samples) > 20 * min(samples)
    assert {row["status"] for row in run.rows("clients")} == {"ok"}


def test_bytes_of_a_rejected_payload_are_billed(make_settings, run_local):
    run = run_local(make_settings(), with_payload(flipped))
    rejected = [row for row in run.rows("ledger") if row["kind"] == "rejected"]
    assert [row["sender"] for row in rejected] == [2, 2, 2]
    sent = [row["uplink_bytes"] for row in run.rows("clients") if row["client"] == 2]
    assert [row["bytes"] for row in rejected] == sent


@pytest.mark.parametrize("together", [1, 5])
def test_a_client_that_raises_fails_alone(make_settings, run_local, together):
    def make(settings, device, data):
        class Broken(StarClient):
            def _emit(self, visit, *rest):
                if visit.client_id == 1 and visit.round_index == 2:
                    raise ZeroDivisionError("broken on purpose")
                return super()._emit(visit, *rest)

        return Broken(settings, device, data)

    run = run_local(make_settings(clients_per_group=together), make)
    statuses = [(row["round"], row["status"]) for row in run.rows("clients") if row["client"] == 1]
    assert statuses == [(1, "ok"), (2, "failed"), (3, "ok")]
    (failed,) = [row for row in run.rows("clients") if row["status"] == "failed"]
    assert failed["reason"] == "emit: ZeroDivisionError: broken on purpose"
    assert failed["downlink_bytes"] > 0
    assert failed["uplink_bytes"] == 0


def test_a_round_with_too_few_clients_fails_with_every_reason(make_settings, run_local):
    settings = make_settings(min_completion_rate=1.0)
    run = run_local(settings, with_payload(flipped))
    assert run.summary.status == "failed"
    assert run.summary.rounds_completed == 0
    assert "round 1 failed: 4 clients finished, 5 are needed" in run.summary.error
    assert "client 2: checksum" in run.summary.error


def test_diverging_training_is_a_failure_of_the_clients_not_of_the_process(make_settings, run_local):
    run = run_local(make_settings(learning_rate=1e30))
    assert run.summary.status == "failed"
    assert "train" in run.summary.error


@pytest.mark.parametrize("together", [1, 3])
def test_what_arrives_is_read_only(make_settings, run_local, together):
    seen = []

    def make(settings, device, data):
        class Watched(StarClient):
            def train_group(self, order, *arguments):
                seen.extend([arguments[0].model.weights_P.flags.writeable] * len(order.known_rounds))
                for place in filter(None, order.states):
                    states = arguments[1 + place.argument][place.group]
                    seen.append(states.row(place.row).model.weights_P.flags.writeable)
                return super().train_group(order, *arguments)

        return Watched(settings, device, data)

    run_local(make_settings(clients_per_group=together), make)
    assert len(seen) == 5 * (3 + 2)
    assert not any(seen)
