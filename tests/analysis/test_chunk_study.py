"""What one pass adds up is what is found with everything in memory, worked out plainly."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchunk.analysis.chunk_rounds import ChunkRound
from fedchunk.analysis.chunk_study import ChunkStudy
from fedchunk.analysis.overlap import expected_jaccard, jaccard

C = 6


@st.composite
def runs(draw):
    """Rounds 1, 2, ... of which some have nobody; who took part, and arrays for each."""
    rounds = []
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    for index in range(1, draw(st.integers(1, 5)) + 1):
        clients = sorted(draw(st.sets(st.integers(0, 4), max_size=5)))
        if clients:
            shape = (len(clients), C)
            rounds.append(
                ChunkRound(
                    index, np.array(clients, np.int32), rng.random(shape).astype(np.float32),
                    np.zeros(shape, np.float32), rng.random(shape) < draw(st.sampled_from([0.2, 0.6, 1.0])),
                    rng.integers(0, index + 1, shape).astype(np.int32),
                )
            )  # fmt: skip
    return index, rounds


def study(run):
    last, rounds = run
    parameters = [["a.w"], ["a.w"], ["a.w", "b.w"], ["b.w"], ["b.w"], ["b.w"]]
    return ChunkStudy(np.arange(1, last + 1), np.arange(5), parameters).add_all(rounds)


@given(runs())
def test_choices(run):
    found, (last, rounds) = study(run).choices, run
    sent = {one.round_index: one.selected_NC for one in rounds}
    so_far = np.zeros(C, np.bool_)
    for index in range(1, last + 1):
        now = sent.get(index, np.zeros((0, C), np.bool_))
        so_far |= now.any(axis=0)
        assert found.participants_R[index - 1] == len(now)
        assert found.coverage_R[index - 1] == pytest.approx(now.any(axis=0).mean())
        assert found.coverage_so_far_R[index - 1] == pytest.approx(so_far.mean())
        assert found.sent_cells[index - 1].tolist() == now.sum(axis=0).tolist()
        assert found.sent_layers[index - 1].tolist() == pytest.approx(
            [now.sum(axis=0)[:3].mean(), now.sum(axis=0)[2:].mean()]
        )
    assert found.everything == all(now.all() for now in sent.values())
    assert found.sent_C.tolist() == sum((now.sum(axis=0) for now in sent.values()), np.zeros(C, int)).tolist()
    by_client = {
        client: [one.selected_NC[list(one.clients_N).index(client)] for one in rounds if client in one.clients_N]
        for client in range(5)
    }
    assert found.client_rounds_N.tolist() == [len(own) for own in by_client.values()]
    assert found.senders_C.tolist() == [
        sum(any(own[c] for own in by_client[client]) for client in range(5)) for c in range(C)
    ]


@given(runs())
def test_likeness(run):
    found, (_, rounds) = study(run).likeness, run
    last, own_all, pairs_all = {}, [], []
    for one in rounds:
        place = one.round_index - 1
        own = [
            (jaccard(last[c], now), expected_jaccard(last[c].sum(), now.sum(), C))
            for c, now in zip(one.clients_N, one.selected_NC, strict=True)
            if c in last
        ]
        pairs = [(jaccard(a, b), expected_jaccard(a.sum(), b.sum(), C)) for a, b in combinations(one.selected_NC, 2)]
        for values, got in ((own, found.own_2R[:, place]), (pairs, found.pairs_2R[:, place])):
            assert got.tolist() == pytest.approx(
                np.mean(values, axis=0).tolist() if values else [np.nan] * 2, nan_ok=True
            )
        last |= dict(zip(one.clients_N, one.selected_NC, strict=True))
        own_all, pairs_all = own_all + own, pairs_all + pairs
    assert (found.own is None) == (not own_all)
    assert found.own is None or found.own == pytest.approx(tuple(np.mean(own_all, axis=0)))
    assert (found.pairs is None) == (not pairs_all)
    if pairs_all:
        assert (found.pairs.pairs, found.pairs.jaccard, found.pairs.expected_jaccard) == pytest.approx(
            (len(pairs_all), *np.mean(pairs_all, axis=0))
        )


@given(runs())
def test_ages(run):
    found, (_, rounds) = study(run).ages, run
    counts = found.counts_BA
    for one in rounds:
        ages = one.age_NC.ravel()
        statistics = found.by_round[one.round_index]
        assert (statistics.mean, statistics.maximum) == (pytest.approx(ages.mean()), ages.max())
        assert statistics.p95 == np.percentile(ages, 95, method="inverted_cdf")
        assert counts[one.round_index - 1].tolist() == np.bincount(ages, minlength=counts.shape[1]).tolist()
    if rounds:
        together = np.concatenate([one.age_NC.ravel() for one in rounds])
        assert (found.of_all.mean, found.of_all.maximum) == (pytest.approx(together.mean()), together.max())


@given(runs())
def test_importance_and_the_scores_of_clients(run):
    whole, (_, rounds) = study(run), run
    assert whole.has_rounds == bool(rounds)
    if not rounds:
        return
    scores = np.concatenate([one.scores_NC for one in rounds]).astype(float)
    selected = np.concatenate([one.selected_NC for one in rounds])
    relative = scores / scores.mean(axis=1, keepdims=True)
    assert whole.importance.quantiles.quantiles([5, 50])[:, 2] == pytest.approx(
        np.percentile(relative[:, 2], [5, 50]), rel=0.01
    )
    assert whole.importance.sent_share_B == pytest.approx(selected.mean(axis=0))
    held = (np.where(selected, scores, 0).sum(axis=1) / scores.sum(axis=1)).mean()
    energy = (np.where(selected, scores**2, 0).sum(axis=1) / (scores**2).sum(axis=1)).mean()
    assert whole.importance.shares[1:] == pytest.approx((held, energy))
    top = np.cumsum(-np.sort(-scores, axis=1), axis=1) / scores.sum(axis=1, keepdims=True)
    assert whole.importance.curves[0].tolist() == pytest.approx([0, *top.mean(axis=0)], abs=1e-6)
    for client in {int(c) for one in rounds for c in one.clients_N}:
        own = [one.scores_NC[list(one.clients_N).index(client)] for one in rounds if client in one.clients_N]
        assert whole.scores.of(client)[0] == pytest.approx(np.mean(own, axis=0))
        assert len(whole.scores.rounds[client]) == len(own)


@given(runs())
def test_the_last_round_alone(run):
    whole, (_, rounds) = study(run), run
    if rounds:
        last = whole.last_round.choices
        assert last.rounds_R.tolist() == [rounds[-1].round_index]
        assert last.sent_C.tolist() == rounds[-1].selected_NC.sum(axis=0).tolist()
