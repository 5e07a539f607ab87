"""CHOCO-SGD by one running sum a peer, beside a slow reference that keeps a copy of everybody: all by its formulas."""

from dataclasses import dataclass, field

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from fedchunk.orchestrator.chunking.feedback import withheld_after
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.mixing import SentChange, consensus_distance, mix_stale_copies


def symmetric_weights(clients, rng, density=0.6):
    """Metropolis on a random graph that may be in pieces; 0 for the client itself."""
    links = np.triu(rng.random((clients, clients)) < density, 1)
    links |= links.T
    degrees = links.sum(axis=1)
    return np.where(links, 1 / (1 + np.maximum.outer(degrees, degrees)), 0.0)


@dataclass
class Reference:
    """Algorithm 2 in float64: weights x, and c, what all know of them."""

    x_NP: np.ndarray
    c_NP: np.ndarray
    weights_NN: np.ndarray
    step: float

    def pull_NP(self):
        """sum_j w_ij (c_j - c_i), written out."""
        return np.array([
            sum(w * (c_P - own_P) for w, c_P in zip(row_N, self.c_NP, strict=True))
            for row_N, own_P in zip(self.weights_NN, self.c_NP, strict=True)
        ])  # fmt: skip

    def round(self, trained_NP, sent_NP):
        """``sent_NP`` marks what each sends of x - c; nothing of a message that nobody could read."""
        self.x_NP = self.x_NP + trained_NP
        self.c_NP = np.where(sent_NP, self.x_NP, self.c_NP)
        self.x_NP = self.x_NP + self.step * self.pull_NP()


@dataclass
class Peers:
    """The same with z, e and s of each, in float32, by the functions of fedchunk."""

    z_NP: np.ndarray
    weights_NN: np.ndarray
    step: float
    layout: Layout
    e_NP: np.ndarray = field(init=False)
    s_NP: np.ndarray = field(init=False)

    def __post_init__(self):
        self.e_NP, self.s_NP = np.zeros_like(self.z_NP), np.zeros_like(self.z_NP)

    def round(self, trained_NP, masks_NC, read_N):
        clients = range(len(self.z_NP))
        pending = [self.e_NP[i] + np.float32(self.step) * self.s_NP[i] + trained_NP[i] for i in clients]
        sent = [
            SentChange(masks_NC[i], pending[i][np.repeat(masks_NC[i], self.layout.sizes_C)]) if read_N[i] else None
            for i in clients
        ]
        z_NP, s_NP = self.z_NP.copy(), self.s_NP.copy()
        for i in clients:
            others = [j for j in clients if self.weights_NN[i, j]]
            z_NP[i], s_NP[i] = mix_stale_copies(
                self.z_NP[i], self.s_NP[i], sent[i], [sent[j] for j in others], self.weights_NN[i, others].tolist(),
                self.step, self.layout,
            )  # fmt: skip
            one = sent[i]
            self.e_NP[i] = (
                pending[i] if one is None else withheld_after(pending[i], one.mask_C, one.values, self.layout)
            )
        self.z_NP, self.s_NP = z_NP, s_NP


@st.composite
def federations(draw):
    layout = Layout(draw(st.integers(5, 40)), 5)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return layout, draw(st.integers(1, 7)), rng


@given(federations(), st.floats(0.01, 0.5), st.integers(1, 8), st.sampled_from([0.0, 0.3]))
def test_a_running_sum_is_all_copies_of_all_neighbours(federation, step, rounds, unread):
    layout, clients, rng = federation
    weights_NN = symmetric_weights(clients, rng)
    first_P = rng.normal(size=layout.num_parameters).astype(np.float32)
    first_NP = np.tile(first_P, (clients, 1))
    peers = Peers(first_NP, weights_NN, step, layout)
    slow = Reference(first_NP.astype(np.float64), first_NP.astype(np.float64), weights_NN, step)
    for _ in range(rounds):
        trained_NP = rng.normal(size=first_NP.shape).astype(np.float32)
        masks_NC, read_N = rng.random((clients, 5)) < 0.4, rng.random(clients) >= unread
        peers.round(trained_NP, masks_NC, read_N)
        slow.round(trained_NP, np.repeat(masks_NC & read_N[:, None], layout.sizes_C, axis=1))
        near = {"rtol": 1e-4, "atol": 1e-5}
        np.testing.assert_allclose(peers.s_NP, slow.pull_NP(), **near)
        np.testing.assert_allclose(peers.z_NP, slow.c_NP + step * slow.pull_NP(), **near)
        np.testing.assert_allclose(peers.z_NP + peers.e_NP, slow.x_NP, **near)
        np.testing.assert_allclose(peers.z_NP.mean(axis=0), slow.c_NP.mean(axis=0), **near)
        np.testing.assert_allclose(peers.s_NP.sum(axis=0), 0, atol=1e-4)


@given(federations())
def test_at_full_exchange_and_step_1_it_is_dense_gossip(federation):
    layout, clients, rng = federation
    weights_NN = symmetric_weights(clients, rng)
    first_NP = np.tile(rng.normal(size=layout.num_parameters).astype(np.float32), (clients, 1))
    peers, models = Peers(first_NP, weights_NN, 1.0, layout), first_NP.astype(np.float64)
    dense_NN = weights_NN + np.diag(1 - weights_NN.sum(axis=1))
    for _ in range(4):
        trained_NP = rng.normal(size=first_NP.shape).astype(np.float32)
        peers.round(trained_NP, np.ones((clients, 5), bool), np.ones(clients, bool))
        models = dense_NN @ (models + trained_NP)
        np.testing.assert_allclose(peers.z_NP, models, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(peers.e_NP, 0, atol=1e-6)


def test_a_message_that_was_not_read_changes_nothing_anywhere():
    layout, sent = Layout(4, 2), SentChange(np.array([True, False]), np.array([2, 4], np.float32))
    z_P, s_P = np.arange(4, dtype=np.float32), np.full(4, 0.5, np.float32)
    for same_P, before_P in zip(mix_stale_copies(z_P, s_P, None, [None], [0.5], 0.25, layout), (z_P, s_P), strict=True):
        assert np.array_equal(same_P, before_P)
    # Heard, but itself silent: s moves by 0.5 (2, 4), z by a quarter of that.
    moved = mix_stale_copies(z_P, s_P, None, [sent], [0.5], 0.25, layout)
    assert [part.tolist() for part in moved] == [[0.25, 1.5, 2, 3], [1.5, 2.5, 0.5, 0.5]]
    # And its own alone: the neighbour's w counts against it, although nothing came from there.
    moved = mix_stale_copies(z_P, s_P, sent, [None], [0.5], 0.25, layout)
    assert [part.tolist() for part in moved] == [[0 + 2 - 0.25, 1 + 4 - 0.5, 2, 3], [-0.5, -1.5, 0.5, 0.5]]
    with pytest.raises(ValueError, match="zip"):
        mix_stale_copies(z_P, s_P, sent, [sent], [], 0.25, layout)


def test_peers_come_together_although_each_sends_one_chunk_of_five():
    """Gossip alone, no training: all models go to their average, which plain exchange of own chunks never reaches."""
    rng = np.random.default_rng(3)
    layout, clients = Layout(20, 5), 6
    ring_NN = np.zeros((clients, clients))
    for i in range(clients):
        ring_NN[i, (i + 1) % clients] = ring_NN[i, i - 1] = 1 / 3
    models = rng.normal(size=(clients, 20)).astype(np.float32)
    peers, nothing_NP = Peers(np.zeros_like(models), ring_NN, 0.3, layout), np.zeros_like(models)
    for index in range(400):
        trained_NP = nothing_NP if index else models  # in the first round each gets to its own model
        pending_NP = peers.e_NP + np.float32(0.3) * peers.s_NP + trained_NP
        gaps_NC = np.array([layout.sums_C(np.square(p_P, dtype=np.float64)) for p_P in pending_NP])
        peers.round(trained_NP, np.arange(5) == gaps_NC.argmax(axis=1)[:, None], np.ones(clients, bool))
    assert consensus_distance(peers.z_NP) < 1e-6 * consensus_distance(models)
    np.testing.assert_allclose(peers.z_NP, np.tile(models.mean(axis=0), (clients, 1)), atol=1e-3)
