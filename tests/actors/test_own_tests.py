"""A part of each client's samples that does not train: its own model measured on it, against a plain measurement."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedchunk.actors.client.experiment_data import prepare
from fedchunk.actors.client.factory import make_client
from fedchunk.orchestrator.core.target import Target
from fedchunk.orchestrator.learning.build import build_model
from fedchunk.orchestrator.learning.data.own_tests import own_tests
from fedchunk.orchestrator.learning.preprocess import to_device

PEERS = {
    "federated_learning_schema": "DecentralizedFederatedLearning", "federated_learning_topology": "ring",
    "number_of_clients": 4,
}  # fmt: skip
STAR = {"evaluate_clients": True}
KEPT = {"client_test_share": 0.25, "evaluation_interval": 2}
EVERYWHERE = {
    "own models": {**STAR},
    "full exchange of some": {**STAR, "chunking": False, "client_sampling_rate": 0.6},
    "feedback": {**STAR, "chunk_reconstruction": "error_feedback", "client_sampling_rate": 0.6},
    "heads at home": {**STAR, "local_parameters": ("5.*",)},
    "rmse": {**STAR, "task": "regression", "data_distribution_kind": "iid"},
    "bytes": {
        **STAR, "task": "language_model", "data_distribution_kind": "iid", "model_type": "lstm",
        "model_options": {"width": 8}, "synthetic_samples": 60,
    },
    "peers": {**PEERS},
    "peers that average": {**PEERS, "final_average": True},
    "peers with heads": {**PEERS, "local_parameters": ("5.*",), "final_average": True},
    "relay with heads": {**PEERS, "local_parameters": ("5.*",), "chunk_reconstruction": "relay"},
    "relay": {**PEERS, "chunk_reconstruction": "relay"},
    "relay tree": {**PEERS, **STAR, "chunk_reconstruction": "relay_tree"},
}  # fmt: skip


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    share=st.floats(0.0, 0.99),
    seed=st.integers(0, 1000),
)
def test_what_trains_and_what_is_kept_are_all_samples_and_no_sample_is_both(sizes, share, seed):
    places = np.random.default_rng(seed).permutation(sum(sizes))
    parts = [np.sort(part) for part in np.split(places, np.cumsum(sizes)[:-1])]

    trained, kept = own_tests(parts, share, seed)

    for part, one, other in zip(parts, trained, kept, strict=True):
        assert np.array_equal(np.sort(np.concatenate([one, other])), part)
        assert len(one)
        assert np.array_equal(one, np.sort(one))
        assert np.array_equal(other, np.sort(other))
        assert len(other) >= (len(part) > 1 and share > 0)
        assert abs(len(other) - share * len(part)) <= 1 or not len(other)


def test_what_is_kept_of_a_client_does_not_depend_on_others_and_goes_by_the_seed():
    parts = [np.arange(10, 40), np.arange(100, 180)]
    (_, of_all), (_, alone) = own_tests(parts, 0.2, 3), own_tests(parts[:1], 0.2, 3)
    (_, other) = own_tests(parts, 0.2, 4)

    assert [len(kept) for kept in of_all] == [6, 16]
    assert np.array_equal(of_all[0], alone[0])
    assert not np.array_equal(of_all[1], other[1])


@pytest.mark.parametrize(
    ("number", "worst", "highest"), [(1, 0.0, 0.0), (10, 0.0, 9.0), (11, 0.5, 9.5), (30, 1.0, 28.0)]
)
def test_the_worst_tenth_is_rounded_up_to_whole_clients(number, worst, highest):
    values = np.random.default_rng(number).permutation(number).astype(float).tolist()
    assert Target().worst_tenth(values) == worst
    assert Target("rmse", lower=True).worst_tenth(values) == highest


@pytest.mark.parametrize("rules", EVERYWHERE.values(), ids=EVERYWHERE)
def test_any_actors_give_the_same_figures_and_the_rounds_sum_the_clients_up(
    make_settings, run_local, shuffled_group, without_times, rules
):
    one = run_local(make_settings(number_of_actors=1, **rules, **KEPT))
    shuffled_group(np.random.default_rng(3))
    two = run_local(make_settings(number_of_actors=2, **rules, **KEPT))

    assert one.summary.status == "finished", one.summary.error
    for table in ("rounds", "clients", "metrics", "ledger"):
        assert without_times(one.rows(table)) == without_times(two.rows(table))
    target = make_settings(**rules, **KEPT).target
    for row in one.rows("rounds"):
        own = [client["own_target"] for client in one.rows("clients") if client["round"] == row["round"]]
        if row["round"] == 1:
            assert (row["own_target_mean"], row["own_target_worst_tenth"], set(own)) == (None, None, {None})
            continue
        worst = max(own) if target.lower else min(own)
        assert row["own_target_mean"] == pytest.approx(np.mean(own))
        assert row["own_target_worst_tenth"] == worst
        measured = {line["client"]: line["value"] for line in one.rows("metrics")
                    if line["name"] == f"own/{target.metric}" and line["round"] == row["round"]}  # fmt: skip
        assert list(measured.values()) == ([] if target.metric == "accuracy" else own)
    assert one.summary.own_target_mean == one.rows("rounds")[-1]["own_target_mean"]


def test_the_own_figure_is_that_of_the_clients_model_on_what_it_kept(make_settings, run_local):
    """In full exchange clients have the coordinator's model, which is recorded."""
    settings = make_settings(chunking=False, evaluate_clients=True, client_test_share=0.3)
    run = run_local(settings)
    data = prepare(settings)
    dataset = data.dataset
    module = build_model(settings, dataset.input_shape, dataset.num_classes).eval()
    torch.nn.utils.vector_to_parameters(torch.from_numpy(run.model.weights_P.copy()), module.parameters())

    rows = [row for row in run.rows("clients") if row["round"] == 3]
    for row in rows:
        trained, kept = (part.samples_of(row["client"]) for part in (data.partition, data.own_tests))
        with torch.no_grad():
            answers = module(to_device(dataset.train_x[kept], dataset.scale, None, torch.device("cpu"))).argmax(1)
        assert row["own_target"] == (answers.numpy() == dataset.train_y[kept]).mean()
        assert row["samples"] == len(trained)
        assert len(kept) == round(0.3 * (len(kept) + len(trained)))
    assert {row["accuracy"] for row in rows} == {run.rows("rounds")[-1]["accuracy"]}


def test_kept_samples_train_nobody_and_are_what_is_measured_on(make_settings, run_local):
    settings = make_settings(evaluate_clients=True, client_test_share=0.4)

    def with_other_labels(settings, device, data):
        labels = data.dataset.train_y.copy()
        labels[data.own_tests.indices_S] = (labels[data.own_tests.indices_S] + 1) % 4
        return make_client(settings, device, replace(data, dataset=replace(data.dataset, train_y=labels)))

    true, false = run_local(settings), run_local(settings, with_other_labels)

    assert true.summary.weights_sha256 == false.summary.weights_sha256
    assert [row["accuracy"] for row in true.rows("clients")] == [row["accuracy"] for row in false.rows("clients")]
    assert true.summary.own_target_mean > 0.5 > false.summary.own_target_mean


def test_a_client_of_one_sample_trains_on_it_and_has_no_figure(make_settings, run_local):
    settings = make_settings(
        synthetic_samples=5, number_of_clients=4, data_distribution_kind="iid", evaluate_clients=True,
        client_test_share=0.5, federated_learning_rounds=1,
    )  # fmt: skip
    rows = {row["client"]: row for row in run_local(settings).rows("clients")}

    assert sorted(prepare(settings).own_tests.sizes) == [0, 0, 0, 1]
    assert {row["samples"] for row in rows.values()} == {1}
    assert sorted(row["own_target"] is None for row in rows.values()) == [False, True, True, True]


def test_off_it_changes_no_bit_and_leaves_its_columns_empty(make_settings, run_local):
    off = run_local(make_settings(evaluate_clients=True))

    assert prepare(make_settings()).own_tests is None
    assert {row["own_target_mean"] for row in off.rows("rounds")} == {None}
    assert {row["own_target"] for row in off.rows("clients")} == {None}
    assert off.rows("metrics") == []
