"""Clients that missed rounds: what they are told, what it costs, and what is left of their residuals."""

import numpy as np
import pytest

from fedchunk.actors.client.star import StarClient
from fedchunk.orchestrator.contract.messages import COORDINATOR

SOME = {
    "chunk_reconstruction": "error_feedback", "chunk_score": "accumulated", "client_sampling_rate": 0.4,
    "federated_learning_rounds": 10, "number_of_clients": 10, "chunk_encoding": "int4", "sensitivity_percentage": 20.0,
    "downlink_sensitivity_percentage": 20.0, "initial_model": "seed",
}  # fmt: skip


def watched(models, withheld=None):
    """Client actors that note every client's model before its training, and what it still withholds then."""

    class Watched(StarClient):
        def _ready(self, tasks):
            ready, failed = super()._ready(tasks)
            for one in ready:
                models.setdefault(one.task.round_index, {})[one.task.client_id] = one.before.weights_P.copy()
                if withheld is not None and one.task.state is not None:
                    held_P = one.task.state.withheld_P.copy()
                    withheld[one.task.round_index, one.task.client_id] = held_P, one.task.missed
            return ready, failed

    return lambda settings, device, data: Watched(settings, device, data)


@pytest.mark.parametrize(
    "rules",
    [{}, {"downlink_sensitivity_percentage": None}, {"chunk_compression": "zstd"}, {"chunk_encoding": "float16"},
     {"chunk_encoding": "float32"}, {"downlink_sensitivity_percentage": 90.0}, {"initial_model": "broadcast"},
     {"chunk_agreement": "consensus"}],
    ids=str,
)  # fmt: skip
def test_all_clients_of_a_round_begin_with_the_same_bits_whatever_they_missed(make_settings, run_local, rules):
    """Each opens the messages that it is sent, and where they are only counted it is given what they come to."""
    models, given = {}, {}
    counted = run_local(make_settings(**{**SOME, **rules}), watched(given))
    run = run_local(make_settings(transport="tcp", **{**SOME, **rules}), watched(models))
    assert run.summary.weights_sha256 == counted.summary.weights_sha256
    assert run.rows("ledger") == counted.rows("ledger")
    for round_index, of_round in models.items():
        assert all(
            weights_P.tobytes() == of_round[client].tobytes() for client, weights_P in given[round_index].items()
        )
    assert run.summary.status == "finished"
    assert len(models) == 10
    for of_round in models.values():
        assert len({weights_P.tobytes() for weights_P in of_round.values()}) == 1
    assert len({next(iter(of_round.values())).tobytes() for of_round in models.values()}) == 10


def catching_up(run):
    """(round, client, rounds missed, bytes that came down) of clients that missed more than the last round."""
    known, rows = {}, []
    for row in run.rows("clients"):
        missed = row["round"] - 1 - known.get(row["client"], 0)
        if missed > 1:
            rows.append((row["round"], row["client"], missed, row["downlink_bytes"]))
        known[row["client"]] = row["round"] - 1
    return rows


def test_catching_up_costs_about_as_many_messages_as_were_missed_and_no_values(make_settings, run_local):
    run = run_local(make_settings(**SOME))
    one = min(row["downlink_bytes"] for row in run.rows("clients") if row["round"] > 1)
    rows = catching_up(run)
    assert len(rows) > 5
    values = 4 * run.spec.num_parameters
    for _, _, missed, down in rows:
        assert down <= missed * one * 1.02
        assert down < values / 3


def test_a_message_is_billed_for_each_telling(make_settings, run_local):
    run = run_local(make_settings(**SOME))
    round_index, client, missed, down = max(catching_up(run), key=lambda row: row[2])
    rows = [row for row in run.rows("ledger") if (row["round"], row["receiver"]) == (round_index, client)]
    assert sum(row["bytes"] for row in rows) == down
    assert {row["sender"] for row in rows} == {COORDINATOR}
    headers = [row for row in rows if row["kind"] == "header"]
    assert 1 <= len(headers) <= missed


def test_all_messages_of_a_client_have_long_headers_in_its_first_round_and_short_ones_later(make_settings, run_local):
    """Two rounds that tell 12 of 20 chunks each take two messages at least."""
    run = run_local(make_settings(**{**SOME, "downlink_sensitivity_percentage": 60.0}))
    met, late = set(), 0
    for round_index in range(1, 11):
        for client in [row["client"] for row in run.rows("clients") if row["round"] == round_index]:
            sizes = [
                row["bytes"]
                for row in run.rows("ledger")
                if (row["round"], row["kind"]) == (round_index, "header") and client in (row["sender"], row["receiver"])
            ]
            assert set(sizes) == {8 if client in met else 32}
            late += client not in met and len(sizes) > 2
            met.add(client)
    assert late > 0


def test_an_approximate_difference_is_taken_where_it_is_shorter_and_has_other_bits(make_settings, run_local):
    """With all chunks in every round, five rounds take more bytes than one difference to the first model."""
    rules = {**SOME, "downlink_sensitivity_percentage": 100.0, "sensitivity_percentage": 100.0}
    exact_models, models = {}, {}
    exact = run_local(make_settings(**rules), watched(exact_models))
    run = run_local(make_settings(catch_up="approximate", **rules), watched(models))

    assert run.summary.downlink_bytes < 0.8 * exact.summary.downlink_bytes
    last = models[10]
    assert len({weights_P.tobytes() for weights_P in last.values()}) > 1
    shared_P = np.mean(list(last.values()), axis=0)
    moved = np.linalg.norm(shared_P - next(iter(models[1].values())))
    assert all(np.linalg.norm(weights_P - shared_P) < 0.3 * moved for weights_P in last.values())
    assert abs(run.rows("rounds")[-1]["accuracy"] - exact.rows("rounds")[-1]["accuracy"]) < 0.1


@pytest.mark.parametrize("fading", [1.0, 0.5, 0.0])
def test_a_residual_fades_with_every_round_that_its_client_misses(make_settings, run_local, fading):
    after, models, withheld = {}, {}, {}

    def make(settings, device, data):
        class Kept(type(watched(models, withheld)(settings, device, data))):
            def _finish(self, task, *rest):
                done = super()._finish(task, *rest)
                after.setdefault(task.client_id, {})[task.round_index] = done.state.withheld_P.copy()
                return done

        return Kept(settings, device, data)

    run_local(make_settings(withheld_fading=fading, **SOME), make)
    seen = set()
    for (round_index, client), (held_P, missed) in withheld.items():
        before = max(at for at in after[client] if at < round_index)
        assert missed == round_index - 1 - before
        np.testing.assert_array_equal(held_P, after[client][before] * np.float32(fading**missed))
        seen.add(missed)
    assert {0, 1} < seen
