"""Real runs against their plans: what a run is billed lies within the bounds, whatever the settings."""

import functools
from dataclasses import dataclass

import pytest

from fedchunk.actors.backends.local import LocalFederation
from fedchunk.orchestrator.commands.plan import Plan, make_plan
from fedchunk.orchestrator.commands.plan_messages import Bounds
from fedchunk.orchestrator.commands.plan_star import Hops
from fedchunk.orchestrator.contract.messages import COORDINATOR
from fedchunk.orchestrator.contract.ports import RunSummary
from fedchunk.orchestrator.experiment import run_experiment
from fedchunk.orchestrator.settings.schema import sections
from fedchunk.orchestrator.settings.whole import Settings

SMALL = {
    "dataset_type": "synthetic", "synthetic_samples": 120, "synthetic_test_samples": 16, "synthetic_classes": 4,
    "synthetic_size": 6, "number_of_clients": 5, "federated_learning_rounds": 4, "data_distribution_kind": "dir",
    "dirichlet_beta": 1.0, "learning_rate": 0.1, "device": "cpu", "mlflow_enabled": False, "chunking": True,
    "chunking_parts": 20, "sensitivity_percentage": 30.0,
}  # fmt: skip
EVEN = {"chunking_parts": 4, "sensitivity_percentage": 50.0}
"""The model's 48,404 values in chunks of one size."""
TENSORS = {"chunk_layout": "tensors"}
FEEDBACK = {"chunk_reconstruction": "error_feedback", "chunk_score": "accumulated"}
CONSENSUS = {"chunk_agreement": "consensus"}
FORESEEN = {**CONSENSUS, "agreement_scores": "none"}
SOME = {"client_sampling_rate": 0.4, "number_of_clients": 6, "federated_learning_rounds": 8}
PEERS = {
    "federated_learning_schema": "DecentralizedFederatedLearning", "federated_learning_topology": "k_connected",
    "k_value": 3, "number_of_clients": 6,
}  # fmt: skip
BATCH_NORM = {
    "model_type": "resnet18", "synthetic_size": 32, "synthetic_samples": 16, "synthetic_test_samples": 4,
    "number_of_clients": 2, "federated_learning_rounds": 2, "data_distribution_kind": "iid",
}  # fmt: skip

UPLINK_EXACT = {
    "seed": EVEN,
    "own weights in half precision": {**EVEN, "chunk_reconstruction": "own_weights", "chunk_encoding": "float16"},
    "scale per chunk": {**EVEN, **FEEDBACK, "chunk_encoding": "int8"},
    "few of each chunk": {
        **EVEN, **FEEDBACK, "chunk_encoding": "topk_in_chunk", "chunk_encoding_options": {"share": 0.02},
    },
    "chunks that are filled up": {**EVEN, **FEEDBACK, "chunk_encoding": "drive"},
    "drawn levels": {**EVEN, **FEEDBACK, "chunk_encoding": "qsgd", "chunk_encoding_options": {"levels": 100}},
    "one scale in all": {**EVEN, **FEEDBACK, "chunk_encoding": "stc"},
    "schedule after a warm-up": {
        **EVEN, "sensitivity_policy": "schedule", "sensitivity_schedule": (100.0, 50.0, 25.0),
        "sensitivity_percentage": 50.0, "sensitivity_warmup_rounds": 1, "sensitivity_warmup_percentage": 75.0,
    },
    "peers": {**EVEN, **PEERS},
    "relay of peers": {**EVEN, **PEERS, "chunk_reconstruction": "relay", "chunk_encoding": "int4"},
    "stale copies of peers and an average": {
        **EVEN, **PEERS, "chunk_reconstruction": "stale_copies", "chunk_encoding": "int4", "final_average": True,
    },
    "stale copies": {**EVEN, **PEERS, "chunk_reconstruction": "stale_copies", "chunk_encoding": "int4"},
}  # fmt: skip
EXACT = {
    "full exchange": {"chunking": False, "evaluate_clients": True, "evaluation_interval": 3},
    "full exchange but for heads": {"chunking": False, "local_parameters": ("5.*",), **SOME},
    "full exchange of some": {"chunking": False, **SOME},
    "full exchange of buffers": {"chunking": False, **BATCH_NORM},
    "full exchange of peers": {"chunking": False, **PEERS, "federated_learning_topology": "ring", "k_value": None},
    "consensus": {**EVEN, **CONSENSUS},
    "consensus in float32": {**EVEN, **CONSENSUS, "agreement_scores": "float32", "agreement_interval": 3},
    "predicted": {**EVEN, **FORESEEN, **FEEDBACK, "initial_model": "seed", "evaluate_clients": True},
    "predicted in nibbles": {**EVEN, **FORESEEN, **FEEDBACK, "chunk_encoding": "int4"},
    "relay tree of peers": {
        **EVEN,
        **PEERS,
        **FEEDBACK,
        "chunk_reconstruction": "relay_tree",
        "chunk_encoding": "int4",
        "downlink_sensitivity_percentage": 25.0,
        "evaluate_clients": True,
        "evaluation_interval": 3,
    },
    "downlink of its own": {**EVEN, **FEEDBACK, "downlink_sensitivity_percentage": 25.0, "evaluate_clients": True},
    "full exchange of peers, then their average": {
        "chunking": False, **PEERS, "final_average": True, "final_average_encoding": "float16",
    },
    "average of peers and their buffers": {
        "chunking": False, **BATCH_NORM, **PEERS, "k_value": 1, "number_of_clients": 2, "final_average": True,
    },
    "full exchange of peers in float16": {
        **EVEN,
        **PEERS,
        "sensitivity_percentage": 100.0,
        "chunk_encoding": "float16",
    },
}  # fmt: skip
WITHIN = {
    "uneven chunks": {"chunking_parts": 7},
    "few of uneven chunks": {"chunking_parts": 751, **FEEDBACK, "chunk_encoding": "topk_in_chunk"},
    "uneven chunks that are filled up": {"chunking_parts": 751, **FEEDBACK, "chunk_encoding": "drive"},
    "ternary with zstd": {**FEEDBACK, "chunk_encoding": "ternary", "chunk_compression": "zstd"},
    "buffers": {**BATCH_NORM, "chunk_encoding": "int8", **FEEDBACK},
    "energy": {"dynamic_sensitivity_percentage": True},
    "ages and zstd of peers that relay": {
        **PEERS, "chunk_reconstruction": "relay", "chunk_max_age": 2, "sensitivity_percentage": 5.0,
        "federated_learning_rounds": 9, "chunk_compression": "zstd",
    },
    "ages of peers with a root": {
        **PEERS, **FEEDBACK, "chunk_reconstruction": "relay_tree", "chunk_max_age": 2, "sensitivity_percentage": 5.0,
        "federated_learning_rounds": 9, "initial_model": "seed",
    },
    "knee of peers": {**PEERS, "sensitivity_policy": "knee", "chunk_score": "update"},
    "utopia": {"sensitivity_policy": "utopia", "chunk_score": "relative", "chunk_encoding": "bfloat16"},
    "nothing reaches the threshold": {
        "sensitivity_policy": "threshold", "sensitivity_threshold": 1e9, "evaluate_clients": True,
    },
    "zstd": {"chunk_compression": "zstd", "chunk_encoding": "int8", **FEEDBACK},
    "lz4 of peers": {**PEERS, "chunk_compression": "lz4", "sensitivity_percentage": 100.0},
    "feedback of some": {**SOME, **FEEDBACK, "chunk_encoding": "int4"},
    "feedback of some, from the seed": {**SOME, **FEEDBACK, "initial_model": "seed", "evaluate_clients": True},
    "feedback of some, told again": {
        **SOME, **FEEDBACK, "chunk_encoding": "int4", "downlink_sensitivity_percentage": 10.0, "initial_model": "seed",
        "federated_learning_rounds": 9,
    },
    "feedback of some, approximately": {
        **SOME, **FEEDBACK, "chunk_encoding": "int8", "sensitivity_percentage": 100.0, "initial_model": "seed",
        "catch_up": "approximate", "federated_learning_rounds": 9, "chunk_compression": "zstd",
    },
    "consensus of some": {**SOME, **CONSENSUS, "agreement_interval": 2, "evaluation_interval": 3},
    "consensus of some with feedback": {**SOME, **FORESEEN, **FEEDBACK, "evaluate_clients": True},
    "own weights of some": {**SOME, "chunk_reconstruction": "own_weights", "evaluate_clients": True},
    "budget": {"sensitivity_policy": "budget", "sensitivity_budget_mb": 0.9, "sensitivity_percentage": 100.0},
    "budget of few": {**SOME, **FEEDBACK, "sensitivity_budget_mb": 0.4, "chunk_encoding": "int8"},
    "budget of knees": {"sensitivity_policy": "knee", "sensitivity_budget_mb": 0.7, "sensitivity_percentage": 100.0},
    "budget to agree": {**CONSENSUS, "sensitivity_budget_mb": 0.5, "agreement_interval": 2},
    "budget for headers": {**CONSENSUS, "sensitivity_budget_mb": 0.00103},
    "ages": {"chunk_max_age": 2, "sensitivity_percentage": 5.0, "federated_learning_rounds": 9},
    "ages that are agreed": {
        **FORESEEN, **FEEDBACK, "chunk_max_age": 3, "sensitivity_percentage": 5.0, "federated_learning_rounds": 9,
    },
    "ages of some": {**SOME, "chunk_max_age": 1, "sensitivity_percentage": 5.0, "chunk_encoding": "int4"},
    "ages of peers": {**PEERS, "chunk_max_age": 2, "sensitivity_percentage": 5.0, "federated_learning_rounds": 9},
    "ages above a budget": {"chunk_max_age": 1, "sensitivity_percentage": 5.0, "sensitivity_budget_mb": 0.3},
    "tensors": TENSORS,
    "fewer chunks than tensors": {**TENSORS, "chunking_parts": 3, "model_options": {"depth": 4, "width": 30}},
    "few of tensors of some": {**SOME, **TENSORS, **FEEDBACK, "chunk_encoding": "topk_in_chunk"},
    "tensors that are filled up": {**TENSORS, **FEEDBACK, "chunk_encoding": "drive", "chunk_compression": "zstd"},
    "own weights of tensors": {**SOME, **TENSORS, "chunk_reconstruction": "own_weights", "evaluate_clients": True},
    "tensors that are agreed": {**TENSORS, **FORESEEN, **FEEDBACK, "chunk_encoding": "ternary", "chunk_max_age": 3},
    "budget of tensors": {**TENSORS, "sensitivity_policy": "budget", "sensitivity_budget_mb": 0.9},
    "ages of tensors above a budget": {
        **TENSORS, **FEEDBACK, "chunk_max_age": 1, "sensitivity_percentage": 5.0, "sensitivity_budget_mb": 0.4,
        "chunk_encoding": "int4", "federated_learning_rounds": 9,
    },
    "tensors of peers": {**PEERS, **TENSORS},
    "tensors of peers that relay": {**PEERS, **TENSORS, "chunk_reconstruction": "relay", "chunk_encoding": "int4"},
    "tensors of peers with a root": {
        **PEERS, **TENSORS, **FEEDBACK, "chunk_reconstruction": "relay_tree", "downlink_sensitivity_percentage": 10.0,
    },
    "stale copies of tensors of peers and an average": {
        **PEERS, **TENSORS, "chunk_reconstruction": "stale_copies", "chunk_encoding": "int8", "final_average": True,
    },
    "heads at home": {"local_parameters": ("5.*",), "evaluate_clients": True},
    "first layers at home with feedback of some": {
        **SOME, **FEEDBACK, "local_parameters": ("1.*",), "chunk_encoding": "int4", "chunk_layout": "tensors",
    },
    "batch norms at home": {**BATCH_NORM, "local_parameters": ("*bn*", "*downsample.1*"), **CONSENSUS},
    "batch norms as tensors": {**BATCH_NORM, **TENSORS, "chunk_encoding": "int8", **FEEDBACK},
}  # fmt: skip


CASES = UPLINK_EXACT | EXACT | WITHIN


@dataclass
class Billed:
    """What a run recorded, beside its plan."""

    plan: Plan
    summary: RunSummary
    clients: list[dict]
    ledger: list[dict]


class Notebook:
    """Recorder and observer that keeps the tables."""

    def __init__(self):
        self.results = []

    def start(self, info):
        pass

    def record_rounds(self, results):
        self.results.extend(results)

    def finish(self, summary, spec, model):
        pass

    def stage(self, name):
        pass

    def clients_done(self, round_index, done, cohort):
        pass

    def round_done(self, result):
        pass

    def rows(self, table):
        return [row for result in self.results for row in result.tables[table].to_pylist()]


def settings_of(flat) -> Settings:
    values = {**SMALL, **flat}
    parts = {
        name: section(**{key: values.pop(key) for key in list(values) if key in section.model_fields})
        for name, section in sections().items()
    }
    assert not values, f"unknown settings {sorted(values)}"
    return Settings(**parts)


@functools.cache
def run_and_plan(name) -> Billed:
    settings, notebook = settings_of(CASES[name]), Notebook()
    with LocalFederation(settings, notebook) as federation:
        summary = run_experiment(federation, settings.federation, [notebook], notebook)
        plan = make_plan(settings, federation.info.spec, actors=1)
    assert summary.status == "finished", summary.error
    return Billed(plan, summary, notebook.rows("clients"), notebook.rows("ledger"))


@pytest.mark.parametrize("name", CASES)
def test_a_run_keeps_within_its_plan(name):
    run = run_and_plan(name)
    plan, summary = run.plan, run.summary

    assert plan.uplink.low <= summary.uplink_bytes <= plan.uplink.high
    assert plan.downlink.low <= summary.downlink_bytes <= plan.downlink.high
    assert plan.dense == summary.dense_uplink_bytes == summary.dense_downlink_bytes
    sent = [row["chunks_sent"] for row in run.clients]
    assert plan.chunks_sent.low <= min(sent) <= max(sent) <= plan.chunks_sent.high


@pytest.mark.parametrize("name", [name for name in CASES if "peers" not in name and name != "stale copies"])
def test_a_client_keeps_within_its_plan_in_every_round(name):
    run = run_and_plan(name)
    took_part = set()
    for row in run.clients:
        assert run.plan.upload.low <= row["uplink_bytes"] <= run.plan.upload.high
        if row["client"] in took_part:
            assert run.plan.download.low <= row["downlink_bytes"] <= run.plan.download.high
        took_part.add(row["client"])


def test_a_plan_knows_the_shortest_and_the_longest_chunk():
    even, uneven = run_and_plan("seed").plan, run_and_plan("fewer chunks than tensors").plan
    inputs = 6 * 6

    assert (even.shortest_chunk, even.longest_chunk) == (48_404 // 4, 48_404 // 4)
    assert (uneven.shortest_chunk, uneven.longest_chunk, uneven.chunks) == (4, 30 * inputs, 10)


@pytest.mark.parametrize("name", UPLINK_EXACT | EXACT)
def test_without_anything_to_guess_the_uplink_is_exact(name):
    run = run_and_plan(name)

    assert run.plan.uplink == Bounds.exactly(run.summary.uplink_bytes)


@pytest.mark.parametrize("name", EXACT)
def test_where_all_send_the_same_the_downlink_is_exact(name):
    run = run_and_plan(name)

    assert run.plan.downlink == Bounds.exactly(run.summary.downlink_bytes)


@pytest.mark.parametrize("name", ["seed", "consensus", "own weights of some", "feedback of some, from the seed"])
def test_messages_of_the_coordinator_are_counted_one_by_one(name):
    run = run_and_plan(name)
    downloads = run.plan.downloads

    headers = [row for row in run.ledger if row["sender"] == COORDINATOR and row["kind"] == "header"]
    assert len(headers) == downloads.whole + downloads.changes + downloads.empty + downloads.choices


def test_every_message_of_peers_is_one_over_an_edge():
    run = run_and_plan("peers")

    headers = [row for row in run.ledger if row["kind"] == "header"]
    assert run.plan.edges == 9
    assert len(headers) == 4 * 2 * 9
    assert run.summary.uplink_bytes == run.summary.downlink_bytes == len(headers) * run.plan.upload.low + 2 * 9 * 24


def test_a_message_that_is_relayed_costs_one_hop_for_each_other_peer():
    run = run_and_plan("relay of peers")

    assert run.plan.hops == Hops(up=6 * 5)
    assert run.plan.upload.high == run.plan.upload.low + 24
    assert run.summary.uplink_bytes == run.summary.downlink_bytes == 6 * 5 * (4 * run.plan.upload.low + 24)


def test_a_root_costs_the_depth_of_each_peer_and_an_edge_for_each_but_itself():
    run = run_and_plan("relay tree of peers")
    hops = run.plan.hops

    assert hops.down == 5
    assert 5 <= hops.up <= 5 + 4, "with three neighbours each of six peers, nobody is deeper than two"
    assert run.plan.upload.high == run.plan.upload.low + 24
    downloads = run.summary.downlink_bytes - hops.up * (4 * run.plan.upload.low + 24)
    assert downloads % hops.down == 0
    # Of rounds 1 to 4 the first model, changes, changes and at once those of round 3, nothing new, and changes again.
    assert downloads // hops.down > run.plan.first_download
