"""Time and money of a plan: by hand, and what a run comes to over the same links lies within the bounds."""

import dataclasses

import pytest

import fedchunk
from fedchunk.orchestrator.commands.plan import make_plan
from fedchunk.orchestrator.commands.plan_report import plan_text
from fedchunk.orchestrator.commands.plan_time import Rates
from fedchunk.orchestrator.core.links import Fixed, Links, Uniform
from fedchunk.orchestrator.learning.build import model_spec
from fedchunk.orchestrator.learning.data.facts import data_facts

SMALL = {
    "dataset_type": "synthetic", "synthetic_samples": 120, "synthetic_test_samples": 16, "synthetic_classes": 4,
    "synthetic_size": 6, "number_of_clients": 6, "federated_learning_rounds": 4, "device": "cpu", "learning_rate": 0.1,
    "mlflow_enabled": False, "chunking": True, "chunking_parts": 4, "sensitivity_percentage": 50.0,
}  # fmt: skip
UNEVEN = Links(
    "uneven",
    {"up_mbit": Uniform(1, 9), "down_mbit": Uniform(5, 20), "latency_ms": Uniform(1, 90), "compute_factor": Fixed(0)},
    server_up_mbit=30,
)
PEERS = {"federated_learning_schema": "DecentralizedFederatedLearning"}
EXACT = {
    "full exchange of some": {"chunking": False, "client_sampling_rate": 0.5, "evaluate_clients": True},
    "consensus": {"chunk_agreement": "consensus", "agreement_interval": 2},
    "peers": {**PEERS, "federated_learning_topology": "k_connected", "k_value": 3},
    "peers and their average": {
        **PEERS,
        "federated_learning_topology": "ring",
        "final_average": True,
        "final_average_encoding": "float16",
    },
}
WITHIN = {"uneven chunks": {"chunking_parts": 7, "client_sampling_rate": 0.5}}


def plan_of(settings, rates):
    facts = data_facts(settings)
    return make_plan(settings, model_spec(settings, facts.input_shape, facts.num_classes), actors=1, rates=rates)


@pytest.mark.parametrize("case", [*EXACT, *WITHIN])
def test_a_run_takes_what_its_plan_says(case, tmp_path):
    settings = fedchunk.load_settings({**SMALL, **EXACT.get(case, {}), **WITHIN.get(case, {})})
    time = plan_of(settings, Rates(UNEVEN)).time
    run = fedchunk.run(settings, output=tmp_path / "run", local=True, progress=False)
    added = 0.0 if settings.federation.peer_to_peer else sum(run.rounds["aggregate_s"].to_pylist())
    seconds = run.link_times(UNEVEN).seconds - added

    assert time.low_s * (1 - 1e-9) <= seconds <= time.high_s * (1 + 1e-9)
    if case in EXACT:
        assert time.low_s == pytest.approx(time.high_s)
    if case == "full exchange of some":
        assert time.dense_s < time.high_s, "evaluating clients costs downloads beyond full exchange"


def test_seconds_and_money_by_hand():
    settings = fedchunk.load_settings({**SMALL, "chunking": False, "federated_learning_rounds": 3})
    even = {"up_mbit": Fixed(0.8), "down_mbit": Fixed(8), "latency_ms": Fixed(10), "compute_factor": Fixed(2)}
    plan = plan_of(settings, Rates(Links("even", even), train_seconds=1.5, price_per_gb=2.0))
    message, setup = plan.dense_message, 24
    seconds = 3 * (0.02 + message / 1e6 + 3 + message / 1e5) + setup / 1e6 + setup / 1e5
    assert plan.time.low_s == pytest.approx(seconds, rel=1e-12)
    assert plan.time.high_s == pytest.approx(seconds, rel=1e-12)
    assert plan.time.dense_s == pytest.approx(seconds, rel=1e-12)
    assert plan.price.high == pytest.approx(2 * 6 * 2 * (3 * message + setup) / 1e9, rel=1e-12)
    text = plan_text(plan)
    assert "1.5 s of local training in each round" in text
    assert "money, all bytes" in text


def test_between_peers_a_byte_is_paid_for_once():
    settings = fedchunk.load_settings({**SMALL, **PEERS, "federated_learning_topology": "ring"})
    plan = plan_of(settings, Rates(price_per_gb=1e9))
    assert plan.price.high == plan.uplink.high == plan.downlink.high
    assert plan.time is None
    assert "time, all rounds" not in plan_text(plan)


def test_without_training_times_it_is_said_that_they_are_missing():
    plan = plan_of(fedchunk.load_settings(SMALL), Rates(UNEVEN))
    assert "--train-seconds adds local training" in plan_text(plan)
    assert dataclasses.asdict(plan)["price"] is None
