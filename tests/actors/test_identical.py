"""The same settings give the same bits: any number of actors, any order, and full exchange is plain FedAvg."""

import hashlib

import numpy as np
import pytest
import torch

from fedchunk.actors.backends.local import LocalFederation
from fedchunk.actors.client.experiment_data import prepare
from fedchunk.orchestrator.core.seeds import generator
from fedchunk.orchestrator.learning.build import build_model
from fedchunk.orchestrator.learning.engines.image_order import image_order
from fedchunk.orchestrator.learning.preprocess import to_device


def plain_fedavg(settings):
    """FedAvg as a textbook has it: torch modules, torch.optim, a state_dict; nothing of fedchunk's exchange."""
    data = prepare(settings)
    training, federation = settings.training, settings.federation
    dataset = data.dataset

    def build():
        return build_model(settings, dataset.input_shape, dataset.num_classes)

    global_state = build().state_dict()
    for round_index in range(1, federation.federated_learning_rounds + 1):
        states, weights = [], []
        for client in range(federation.number_of_clients):
            indices = data.partition.samples_of(client)
            x = to_device(dataset.train_x[indices], dataset.scale, None, torch.device("cpu"))
            y = torch.from_numpy(dataset.train_y[indices])
            model = build()
            model.load_state_dict(global_state)
            optimizer = torch.optim.SGD(model.parameters(), lr=training.learning_rate, momentum=training.momentum)
            rng = generator(federation.random_seed, "batches", round_index, client)
            for _ in range(training.number_of_epochs):
                order = torch.from_numpy(rng.permutation(len(y)))
                for batch in order.split(training.train_batch_size):
                    optimizer.zero_grad()
                    x_B = x[batch].to(memory_format=image_order(model, "cpu"))
                    torch.nn.functional.cross_entropy(model(x_B), y[batch]).backward()
                    optimizer.step()
            states.append(model.state_dict())
            weights.append(len(y) if federation.aggregation_sample_scaling else 1)
        global_state = {
            name: (sum(w * s[name].double() for s, w in zip(states, weights, strict=True)) / sum(weights)).float()
            for name in global_state
        }
    return np.concatenate([global_state[name].numpy().ravel() for name, _ in build().named_parameters()])


@pytest.mark.parametrize("scaling", [False, True])
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_no_chunking_all_chunks_and_a_plain_loop_give_the_same_bits(make_settings, run_local, model, scaling):
    common = {"model_type": model, "aggregation_sample_scaling": scaling, "momentum": 0.9, "number_of_epochs": 2}
    common["vectorize_clients"] = "off"
    dense = run_local(make_settings(chunking=False, **common)).summary
    chunked = run_local(make_settings(chunking=True, sensitivity_percentage=100.0, **common)).summary
    plain = hashlib.sha256(plain_fedavg(make_settings(**common)).astype("<f4").tobytes()).hexdigest()
    assert dense.weights_sha256 == chunked.weights_sha256 == plain


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("together", [1, 3, 5])
def test_clients_trained_at_once_give_plain_averaging_up_to_rounding(make_settings, run_local, together, momentum):
    rules = {"momentum": momentum, "number_of_epochs": 2, "clients_per_group": together, "vectorize_clients": "on"}
    dense = run_local(make_settings(chunking=False, **rules))
    chunked = run_local(make_settings(sensitivity_percentage=100.0, **rules))
    assert dense.summary.weights_sha256 == chunked.summary.weights_sha256
    np.testing.assert_allclose(dense.model.weights_P, plain_fedavg(make_settings(**rules)), rtol=1e-4, atol=1e-6)
    assert all("one by one" not in row["training"] for row in dense.rows("clients"))


def test_own_weights_at_full_sensitivity_is_dense_averaging_too(make_settings, run_local):
    own = run_local(make_settings(sensitivity_percentage=100.0, chunk_reconstruction="own_weights"))
    dense = run_local(make_settings(chunking=False))
    np.testing.assert_allclose(own.model.weights_P, dense.model.weights_P, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"chunking_with_gradients": False, "distance_metric": "euclidean"},
        {"chunking_random_section": True},
        {"dynamic_sensitivity_percentage": True, "sensitivity_percentage": 80.0},
        {"chunk_reconstruction": "own_weights"},
        {"client_sampling_rate": 0.6, "number_of_clients": 7, "federated_learning_rounds": 5},
        {"aggregation_strategy": "FedProx", "mu": 0.5},
        {"evaluate_clients": True},
    ],
)
def test_actors_and_order_change_nothing(make_settings, run_local, shuffled_group, without_times, rules):
    one = run_local(make_settings(number_of_actors=1, **rules))
    shuffled_group(np.random.default_rng(5))
    two = run_local(make_settings(number_of_actors=2, **rules))
    assert one.summary.weights_sha256 == two.summary.weights_sha256
    for table in ("rounds", "clients", "chunks", "ledger"):
        assert without_times(one.rows(table)) == without_times(two.rows(table))


PEERS = {"federated_learning_schema": "DecentralizedFederatedLearning", "federated_learning_topology": "ring"}


@pytest.mark.parametrize(
    "rules",
    [
        {"chunk_reconstruction": "contributors"},
        {"chunk_reconstruction": "own_weights"},
        {"chunk_reconstruction": "error_feedback", "chunk_encoding": "topk_in_chunk", "client_sampling_rate": 0.6},
        {"chunk_agreement": "consensus", "chunk_score": "layerwise"},
        {**PEERS, "chunk_reconstruction": "contributors"},
        {**PEERS, "chunk_reconstruction": "own_weights"},
        {**PEERS, "chunk_reconstruction": "stale_copies", "chunk_encoding": "int4"},
        {**PEERS, "chunk_reconstruction": "relay", "chunk_encoding": "int4"},
        {**PEERS, "chunk_reconstruction": "relay_tree"},
    ],
)
def test_chunks_that_end_at_tensors_give_the_same_bits_with_any_actors(
    make_settings, run_local, shuffled_group, without_times, rules
):
    rules = {"chunk_layout": "tensors", "number_of_clients": 5, "sensitivity_percentage": 30.0, **rules}
    one = run_local(make_settings(number_of_actors=1, **rules))
    shuffled_group(np.random.default_rng(5))
    two = run_local(make_settings(number_of_actors=2, **rules))
    assert one.summary.status == "finished", one.summary.error
    assert one.summary.weights_sha256 == two.summary.weights_sha256
    for table in ("rounds", "clients", "chunks", "ledger"):
        assert without_times(one.rows(table)) == without_times(two.rows(table))


def test_the_layout_says_which_tensor_each_chunk_is_of(make_settings, observer):
    settings = make_settings(chunk_layout="tensors", chunking_parts=12)
    with LocalFederation(settings, observer) as federation:
        info = federation.info
    rows, sizes = info.layout.to_pylist(), [36 * 200, 200, 200 * 200, 200, 200 * 4, 4]
    covered = {parameter.name: [] for parameter in info.spec.parameters}
    for row in rows:
        (name,) = row["parameters"]
        covered[name].append(row["stop"] - row["start"])
    assert len(rows) == 12
    assert [sum(parts) for parts in covered.values()] == sizes
    assert [len(parts) for parts in covered.values()] == [2, 1, 6, 1, 1, 1]


def test_all_chunks_give_the_bits_of_full_exchange_wherever_they_end(make_settings, run_local):
    dense = run_local(make_settings(chunking=False))
    tensors = run_local(make_settings(chunk_layout="tensors", sensitivity_percentage=100.0))
    assert tensors.summary.weights_sha256 == dense.summary.weights_sha256


@pytest.mark.parametrize("rules", [{}, {"chunk_reconstruction": "error_feedback"}, {"chunk_agreement": "consensus"}])
def test_how_many_clients_share_a_call_changes_nothing(make_settings, run_local, without_times, rules):
    rules = {"number_of_clients": 9, "clients_per_group": 2, "client_sampling_rate": 0.8, **rules}
    runs = [
        run_local(make_settings(clients_per_call=per_call, number_of_actors=actors, **rules))
        for per_call, actors in ((1, 1), (3, 2), (100, 3), (None, 2))
    ]
    assert len({run.summary.weights_sha256 for run in runs}) == 1
    for table in ("rounds", "clients", "chunks", "ledger"):
        assert all(without_times(run.rows(table)) == without_times(runs[0].rows(table)) for run in runs)


@pytest.mark.parametrize("scaling", [False, True])
def test_a_group_is_summed_alike_where_it_was_trained_and_at_the_coordinator(make_settings, run_local, scaling):
    rules = {"number_of_clients": 9, "clients_per_group": 4, "aggregation_sample_scaling": scaling}
    sums_travel, payloads_travel = (
        run_local(make_settings(transport=transport, **rules)) for transport in ("object_store", "tcp")
    )
    assert sums_travel.summary.weights_sha256 == payloads_travel.summary.weights_sha256


def test_another_seed_gives_other_weights(make_settings, run_local):
    runs = {run_local(make_settings(random_seed=seed)).summary.weights_sha256 for seed in (1, 2, 3)}
    assert len(runs) == 3


def test_measuring_the_clients_changes_no_weights(make_settings, run_local):
    runs = {run_local(make_settings(evaluate_clients=on)).summary.weights_sha256 for on in (False, True)}
    assert len(runs) == 1


def test_what_is_recorded_changes_no_weights(make_settings, run_local):
    runs = {run_local(make_settings(record_chunks=on)).summary.weights_sha256 for on in (False, True)}
    assert len(runs) == 1
