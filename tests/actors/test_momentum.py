"""Quasi-global momentum, beside a slow reference in numpy: softmax regression, each batch all samples of a client."""

import numpy as np
import pytest
import torch

from fedchunk.actors.backends.local import make_client
from fedchunk.actors.client.experiment_data import prepare
from fedchunk.actors.client.worker import LocalWorker
from fedchunk.orchestrator.core.round_rules import cohort
from fedchunk.orchestrator.learning.data.samples import Samples
from fedchunk.orchestrator.learning.momentum import quasi_global

RATE, BETA, STEPS = 0.05, 0.9, 3
MOMENTUM = {
    "model_type": "logistic", "momentum": BETA, "momentum_start": "quasi_global", "learning_rate": RATE,
    "local_steps": STEPS, "train_batch_size": 1000, "number_of_clients": 2, "sensitivity_percentage": 100.0,
}  # fmt: skip
PEERS = {"federated_learning_schema": "DecentralizedFederatedLearning", "federated_learning_topology": "complete"}
FEEDBACK = {"chunk_reconstruction": "error_feedback", "chunk_score": "accumulated"}
SAMPLED = {"number_of_clients": 4, "client_sampling_rate": 0.5, "federated_learning_rounds": 7, "random_seed": 3}


def gradient(weights_P, x_SD, y_S):
    """Of the mean cross entropy of softmax regression."""
    classes = len(weights_P) // (x_SD.shape[1] + 1)
    matrix_CD = weights_P[:-classes].reshape(classes, -1)
    logits_SC = x_SD @ matrix_CD.T + weights_P[matrix_CD.size :]
    shares_SC = np.exp(logits_SC - logits_SC.max(axis=1, keepdims=True))
    shares_SC /= shares_SC.sum(axis=1, keepdims=True)
    shares_SC[np.arange(len(y_S)), y_S] -= 1
    return np.concatenate([(shares_SC.T @ x_SD).ravel(), shares_SC.sum(axis=0)]) / len(y_S)


def reference(settings, first_P, begins_at=BETA):
    """The shared model after all rounds: every client of a round trains from it, and it becomes their mean."""
    data, federation = prepare(settings), settings.federation
    samples = Samples(
        data.dataset.train_x, data.dataset.train_y, data.dataset.scale, data.dataset.size, torch.device("cpu")
    )
    shared_P, momenta, last = first_P.astype(np.float64), {}, {}
    for index in range(1, federation.federated_learning_rounds + 1):
        trained = []
        clients = cohort(federation.number_of_clients, federation.client_sampling_rate, federation.random_seed, index)
        for client in clients:
            x_S, y_S = (part.numpy() for part in samples.take(data.partition.samples_of(client)))
            x_SD = x_S.reshape(len(y_S), -1).astype(np.float64)
            if client in last:
                at, began_P = last[client]
                moved_P = (began_P - shared_P) / (RATE * STEPS * (index - at))
                momenta[client] = begins_at * momenta[client] + (1 - begins_at) * moved_P
            last[client] = index, shared_P
            velocity_P = momenta.setdefault(client, np.zeros_like(shared_P)).copy()
            own_P = shared_P.copy()
            for _ in range(STEPS):
                velocity_P = BETA * velocity_P + gradient(own_P, x_SD, y_S)
                own_P -= RATE * velocity_P
            trained.append(own_P)
        shared_P = np.mean(trained, axis=0)
    return shared_P


@pytest.mark.parametrize("engine", ["on", "off"])
@pytest.mark.parametrize(
    "rules",
    [
        {"chunking": False},
        {},
        {"chunk_reconstruction": "own_weights"},
        FEEDBACK,
        {**FEEDBACK, "evaluate_clients": True},
        {"chunking": False, **PEERS},
        PEERS,
        {**PEERS, "chunk_reconstruction": "own_weights"},
        {**PEERS, "chunk_reconstruction": "relay", "chunk_score": "accumulated"},
        {**PEERS, "chunk_reconstruction": "relay_tree", "chunk_score": "accumulated"},
        {"chunking": False, **SAMPLED},
        {"chunking": False, "evaluate_clients": True, **SAMPLED},
        {**FEEDBACK, **SAMPLED},
        {**FEEDBACK, "evaluate_clients": True, **SAMPLED},
        {**FEEDBACK, "chunk_agreement": "consensus", **SAMPLED},
    ],
    ids=str,
)
def test_momentum_follows_the_shared_model(make_settings, run_local, rules, engine):
    settings = make_settings(vectorize_clients=engine, **{**MOMENTUM, **rules})
    first_P = LocalWorker(settings, "cpu", prepare(settings)).start.weights_P
    run = run_local(settings)
    expected_P = reference(settings, first_P)
    np.testing.assert_allclose(run.model.weights_P, expected_P, rtol=2e-4, atol=2e-6)
    zero = reference(settings, first_P, begins_at=1.0)  # momenta stay at zero
    assert np.abs(zero - expected_P).max() > 1e-3, "or the test could not tell"


@pytest.mark.parametrize(
    "rules",
    [
        {"chunking": False, **SAMPLED},
        {**FEEDBACK, **SAMPLED, "sensitivity_percentage": 20.0, "withheld_share": 0.5, "chunk_encoding": "int4"},
        {"sensitivity_percentage": 30.0, "clients_per_group": 2, **SAMPLED},
        {**PEERS, "federated_learning_topology": "ring", "number_of_clients": 5, "sensitivity_percentage": 30.0},
    ],
    ids=str,
)
def test_actors_and_order_change_no_bit_of_it(make_settings, run_local, shuffled_group, without_times, rules):
    settings = {**MOMENTUM, "train_batch_size": 16, "local_steps": None, "number_of_epochs": 2, **rules}
    one = run_local(make_settings(number_of_actors=1, **settings))
    shuffled_group(np.random.default_rng(3))
    three = run_local(make_settings(number_of_actors=3, **settings))
    assert one.summary.status == "finished"
    assert one.summary.weights_sha256 == three.summary.weights_sha256
    for table in ("rounds", "clients", "chunks", "ledger"):
        assert without_times(one.rows(table)) == without_times(three.rows(table))
    zero = run_local(make_settings(**{**settings, "momentum_start": "zero"}))
    assert zero.summary.weights_sha256 != one.summary.weights_sha256
    if not one.rows("chunks"):  # which chunks are chosen has a say in the bytes
        assert one.rows("ledger") == zero.rows("ledger"), "it costs no byte"


def test_a_peer_that_fails_keeps_its_momentum_and_others_follow_theirs(make_settings, run_local):
    states = {}

    def make(settings, device, data):
        client = make_client(settings, device, data)
        ready, mix = client._ready, client._mix

        def failing(peer):
            if (peer.order.client_id, peer.order.round_index) == (2, 2):
                raise ZeroDivisionError("on purpose")
            return ready(peer)

        def watched(order, state, payloads):
            report, mixed = mix(order, state, payloads)
            states[order.train.round_index, order.train.client_id] = mixed
            return report, mixed

        client._ready, client._mix = failing, watched
        return client

    ring = {**PEERS, "federated_learning_topology": "ring", "number_of_clients": 5, "chunking": False}
    run = run_local(make_settings(**{**MOMENTUM, **ring}), make)
    assert run.summary.status == "finished"
    before, after = states[1, 2], states[3, 2]
    assert (2, 2) not in states
    assert before.began_P is after.began_P is None
    moved_P = (before.model.weights_P - after.model.weights_P) / np.float32(RATE * STEPS)
    expected_P = BETA * before.momentum_P + (1 - BETA) * moved_P
    np.testing.assert_allclose(after.momentum_P, expected_P, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rules", [PEERS, {"chunking": False, **PEERS}], ids=["chunks", "full exchange"])
def test_a_round_at_rate_zero_leaves_momentum_as_it_was(make_settings, run_local, rules):
    """A schedule may end at 0: what happens to a model then is for no step of a client."""
    ring = {**rules, "federated_learning_topology": "ring", "number_of_clients": 5}
    run = run_local(make_settings(**{**MOMENTUM, **ring, "learning_rate_schedule": "cosine"}))
    assert run.summary.status == "finished"
    began_P, begins_P, momentum_P = np.float32([3, 1]), np.float32([1, 1]), np.float32([0.5, -2])
    at_zero = {"beta": BETA, "learning_rate": 0.0, "local_steps": STEPS}
    assert quasi_global(momentum_P, began_P, begins_P, **at_zero).tolist() == [0.5, -2.0]
    assert quasi_global(None, began_P, begins_P, **at_zero).tolist() == [0.0, 0.0]
