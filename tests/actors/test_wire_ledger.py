"""Whole runs through sockets: the ledger against the bytes that were read, kind by kind, and the same bits."""

import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import psutil
import pytest

from fedchunk.actors.backends.local import LocalClientGroup, LocalFederation, make_client
from fedchunk.actors.backends.ray_backend import RayFederation
from fedchunk.actors.client.star import StarClient
from fedchunk.orchestrator.chunking.encoding import decode, encode
from fedchunk.orchestrator.chunking.header import Expected, Origin
from fedchunk.orchestrator.contract.messages import COORDINATOR
from fedchunk.orchestrator.contract.ports import Call
from fedchunk.orchestrator.core.errors import ActorsUnavailable, ConfigError
from fedchunk.orchestrator.methods.outgoing import Outgoing


def billed(run):
    """The ledger's bytes by direction and kind."""
    sums = Counter()
    for row in run.rows("ledger"):
        sums["up" if row["receiver"] == COORDINATOR else "down", row["kind"]] += row["bytes"]
    return dict(sums)


@pytest.fixture(scope="session")
def run_on_wire(make_settings, run_entered, observer):
    def run(make_actor=make_client, **flat):
        settings = make_settings(transport="tcp", **flat)
        with LocalFederation(settings, observer, make_actor) as federation:
            notebook = run_entered(federation, settings)
        return notebook, federation.wire_counts

    return run


BATCH_NORM = {
    "model_type": "resnet18",
    "synthetic_size": 32,
    "synthetic_samples": 40,
    "synthetic_test_samples": 8,
    "number_of_clients": 2,
    "federated_learning_rounds": 1,
    "data_distribution_kind": "iid",
}
FEEDBACK = {"chunk_reconstruction": "error_feedback", "chunk_encoding": "int4", "chunk_compression": "zstd"}
CONSENSUS = {"chunk_agreement": "consensus"}
RUNS = {
    "contributors": ({}, {"header", "mask", "values"}),
    "full exchange": ({"chunking": False}, {"header", "values"}),
    "own weights": ({"chunk_reconstruction": "own_weights"}, {"header", "mask", "values", "shares"}),
    "error feedback in int4 with zstd": (FEEDBACK, {"header", "mask", "values", "scales"}),
    "consensus": (CONSENSUS, {"header", "mask", "choice", "scores", "values"}),
    "consensus every other round": ({**CONSENSUS, "agreement_interval": 2, "federated_learning_rounds": 4},
                                    {"header", "mask", "choice", "scores", "values"}),
    "consensus predicted": ({**CONSENSUS, "agreement_scores": "none"}, {"header", "mask", "choice", "values"}),
    "consensus with everything": ({**CONSENSUS, **FEEDBACK, "agreement_scores": "float32", "evaluate_clients": True},
                                  {"header", "mask", "choice", "scales", "scores", "values"}),
    "clients measured": ({"evaluate_clients": True}, {"header", "mask", "values"}),
    "error feedback of half the clients": ({**FEEDBACK, "client_sampling_rate": 0.5, "federated_learning_rounds": 6},
                                           {"header", "mask", "values", "scales"}),
    "half the clients": ({"client_sampling_rate": 0.5}, {"header", "mask", "values"}),
    "clients that make the first model": ({"initial_model": "seed"}, {"header", "mask", "values"}),
    "batch norm": (BATCH_NORM, {"header", "mask", "buffers", "values"}),
}  # fmt: skip


@pytest.mark.parametrize(("rules", "kinds"), RUNS.values(), ids=list(RUNS))
def test_the_ledger_is_what_the_sockets_gave_kind_by_kind(make_settings, run_local, run_on_wire, rules, kinds):
    run, counts = run_on_wire(**rules)

    assert run.summary.status == "finished"
    assert counts.bytes_by == billed(run)
    assert {kind for _, kind in counts.bytes_by} == kinds
    assert counts.total == counts.framing + run.summary.uplink_bytes + run.summary.downlink_bytes
    assert run.summary.weights_sha256 == run_local(make_settings(**rules)).summary.weights_sha256


def test_framing_is_a_length_before_each_message(run_on_wire):
    run, counts = run_on_wire(evaluate_clients=True)

    headers = [row for row in run.rows("ledger") if row["kind"] == "header"]
    assert counts.messages == 3 * 5 * 3
    assert sum(row["bytes"] for row in headers) == 8 * 3 * 5 * 3 + 24 * 2 * 5
    assert counts.framing == 8 * counts.messages


def spoiling(spoil):
    """A client actor whose client 2 sends ``spoil(payload, layout, expected)`` instead of its payload."""

    class Bad(StarClient):
        def _finish(self, visit, *rest):
            done = super()._finish(visit, *rest)
            if visit.client_id != 2:
                return done
            expected = Expected(Origin(visit.round_index, 2, self._worker.num_samples(2)), visit.stands)
            written = done.sent.encoded().payload if isinstance(done.sent, Outgoing) else done.sent
            return replace(done, sent=spoil(written, self._layout, expected))

    return lambda settings, device, data: Bad(settings, device, data)


def cut_short(payload, layout, expected):
    return payload[:-4]


def under_another_name(payload, layout, expected):
    mask_C = decode(payload, layout, expected, 0, 0).mask_C
    fields = {"round_index": expected.origin.round_index, "sender": 3, "num_samples": 1, "buffers": None}
    message = encode(layout, np.zeros(layout.num_parameters, np.float32), mask_C, **fields)
    return message.over(stands=expected.stands).payload


def test_bytes_that_are_no_message_are_rejected_at_both_places(run_on_wire):
    run, counts = run_on_wire(spoiling(cut_short))

    assert [row["client"] for row in run.rows("clients") if row["status"] == "rejected"] == [2, 2, 2]
    assert counts.bytes_by == billed(run)
    assert counts.bytes_by["up", "rejected"] > 0


def test_a_message_rejected_for_what_it_says_is_counted_whole(run_on_wire):
    run, counts = run_on_wire(spoiling(under_another_name))

    ledger = billed(run)
    assert ledger["up", "rejected"] > 0
    for way in ("down", "up"):
        assert sum(n for (to, _), n in counts.bytes_by.items() if to == way) == sum(
            n for (to, _), n in ledger.items() if to == way
        )


def test_without_tcp_nothing_is_counted(make_settings, run_entered, observer):
    with LocalFederation(make_settings(), observer) as federation:
        assert federation.wire_counts is None


def test_on_ray_tcp_is_refused_before_anything_starts(make_settings, observer):
    with (
        pytest.raises(ConfigError, match=r"transport: got tcp.*object_store.*--local"),
        RayFederation(make_settings(transport="tcp"), None, observer),
    ):
        pass


class Flipping:
    """A transport that damages what goes one way."""

    def __init__(self, way):
        self._way = way

    def down(self, payload):
        return payload ^ (1 if self._way == "down" else 0)

    def up(self, payload):
        return payload ^ (1 if self._way == "up" else 0)


class Echo:
    """An actor that gives back what it was sent."""

    def train(self, order, payload, state):
        return order, payload, state


@pytest.mark.parametrize("way", ["down", "up"])
def test_both_sides_go_on_with_what_the_transport_gave_them(way):
    group = LocalClientGroup([Echo()], Flipping(way))
    payload, state = np.arange(5, dtype=np.uint8), np.arange(3, dtype=np.float32)
    group.submit(Call(0, "train", (7, group.put(payload), group.put(state)), 3))

    order, echoed, kept = group.next_outcome().values

    assert order == 7
    np.testing.assert_array_equal(echoed, payload ^ 1)
    np.testing.assert_array_equal(kept, state)


class Cut:
    """A transport that is lost after the message to the client."""

    def down(self, payload):
        return payload

    def up(self, payload):
        raise ActorsUnavailable("the wire is cut")


def test_a_lost_transport_ends_the_run_and_is_not_taken_for_a_client_that_failed():
    group = LocalClientGroup([Echo()], Cut())
    group.submit(Call(0, "train", (7, np.zeros(5, np.uint8), None), 2, 1))
    with pytest.raises(ActorsUnavailable, match="the wire is cut"):
        group.next_outcome()


def open_things():
    """Our threads, and this process's sockets that listen or lead back into it."""
    threads = {thread for thread in threading.enumerate() if thread.name.startswith("fedchunk")}
    found = psutil.Process().net_connections("tcp")
    ends = {(one.laddr, one.raddr) for one in found}
    return threads, {one.fd for one in found if one.status == psutil.CONN_LISTEN or (one.raddr, one.laddr) in ends}


def test_nothing_is_left_open_however_a_run_ends(make_settings, run_on_wire, run_entered, observer):
    before = open_things()
    settings = make_settings(transport="tcp", federated_learning_rounds=1)
    with LocalFederation(settings, observer) as federation:
        run_entered(federation, settings)
        threads, sockets = open_things()
        assert (len(threads - before[0]), len(sockets - before[1])) == (1, 2)
    assert open_things() == before

    failed, _ = run_on_wire(learning_rate=1e30)
    assert failed.summary.status == "failed"
    assert open_things() == before

    with (
        pytest.raises(ConfigError, match="chunking_parts"),
        LocalFederation(make_settings(transport="tcp", chunking_parts=10**6), observer),
    ):
        pass
    assert open_things() == before
