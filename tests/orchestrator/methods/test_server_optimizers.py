"""The server's optimizers by hand, beside Flower for 20 rounds, and chunk by chunk."""

import inspect
import json
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.methods.aggregation.fedavg import fedavg
from fedchunk.orchestrator.methods.server_optimizers.adagrad import adagrad
from fedchunk.orchestrator.methods.server_optimizers.adam import adam
from fedchunk.orchestrator.methods.server_optimizers.momentum import momentum
from fedchunk.orchestrator.methods.server_optimizers.nesterov import nesterov
from fedchunk.orchestrator.methods.server_optimizers.none import none
from fedchunk.orchestrator.methods.server_optimizers.yogi import yogi

REMEMBERING = (momentum, nesterov, adam, adagrad, yogi)


def f32(*values):
    return np.array(values, np.float32)


def after(optimizer, changes, **options):
    """The steps of several rounds in which all of one chunk is sent."""
    state, steps = {}, []
    for change_P in changes:
        step_P, state = optimizer(change_P, np.array([True]), state, Layout(len(change_P), 1), **options)
        steps.append(step_P)
    return steps, state


def run(optimizer, changes_RP, sent_RC, layout):
    """Steps of all rounds, (R, P), and the last state; what goes in may not be written to."""
    state, steps = {}, []
    for change_P, sent_C in zip(changes_RP, sent_RC, strict=True):
        change_P = np.where(np.repeat(sent_C, layout.sizes_C), change_P, 0).astype(np.float32)
        for array in (change_P, sent_C, *state.values()):
            array.setflags(write=False)
        step_P, state = optimizer(change_P, sent_C, state, layout)
        steps.append(step_P)
    return np.array(steps), state


@st.composite
def exchanges(draw):
    """Rounds of changes and of chunks that were sent, of short chunks and of long ones."""
    layout = Layout(draw(st.sampled_from([5, 23, 1500])), 5)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rounds = draw(st.integers(1, 6))
    changes_RP = rng.normal(0, 0.1, (rounds, layout.num_parameters)).astype(np.float32)
    return layout, changes_RP, rng.random((rounds, 5)) < draw(st.sampled_from([0.0, 0.3, 0.7]))


def test_none_hands_on_the_change_itself():
    change_P = f32(1, -2)

    step_P, state = none(change_P)

    assert step_P is change_P
    assert state == {}


def test_momentum_by_hand():
    steps, state = after(momentum, [f32(1), f32(2), f32(0)], server_momentum=0.5)

    assert [float(step_P[0]) for step_P in steps] == [1, 2.5, 1.25]
    assert float(state["velocity_P"][0]) == 1.25


def test_momentum_of_0_is_plain_averaging():
    steps, _ = after(momentum, [f32(1), f32(2), f32(-4)], server_momentum=0.0)

    assert np.concatenate(steps).tolist() == [1, 2, -4]


def test_nesterov_by_hand():
    steps, _ = after(nesterov, [f32(1), f32(2), f32(0)], server_momentum=0.5)

    # velocities 1, 2.5, 1.25
    assert [float(step_P[0]) for step_P in steps] == [1.5, 3.25, 0.625]


def test_adam_by_hand():
    steps, state = after(adam, [f32(2), f32(-1)], beta_1=0.5, beta_2=0.75, tau=0.5)

    first = np.sqrt(1 - 0.75**2) / (1 - 0.5**2) * 1 / (1 + 0.5)  # mean 1, squares 1
    second = np.sqrt(1 - 0.75**3) / (1 - 0.5**3) * 0.0 / (1 + 0.5)  # mean 0, squares 0.75 + 0.25
    np.testing.assert_allclose(np.concatenate(steps), [first, second], rtol=1e-6)
    assert state["rounds_C"].tolist() == [2]


def test_adagrad_by_hand():
    steps, state = after(adagrad, [f32(3), f32(-4)], tau=1.0)

    assert np.concatenate(steps).tolist() == pytest.approx([3 / 4, -4 / 6])
    assert float(state["squares_P"][0]) == 25


def test_yogi_by_hand():
    steps, state = after(yogi, [f32(2, 2), f32(1, 4), f32(0, 0)], beta_1=0.5, beta_2=0.5, tau=1.0)

    # squares: 2; then 2 - 0.5 * 1 and 2 + 0.5 * 16; a change of 0 moves nothing
    assert state["squares_P"].tolist() == [1.5, 10]
    means = [(1, 1), (1, 2.5), (0.5, 1.25)]
    squares = [(2, 2), (1.5, 10), (1.5, 10)]
    np.testing.assert_allclose(steps, np.divide(means, np.sqrt(squares) + 1), rtol=1e-6)


def test_yogi_stays_when_the_square_of_the_change_is_what_it_remembers():
    state = {"mean_P": f32(0), "squares_P": f32(4)}

    _, state = yogi(f32(-2), np.array([True]), state, Layout(1, 1))

    assert state["squares_P"].tolist() == [4]


FLOWERS_DEFAULTS = {"fedavgm_without": {"server_momentum": 0.0}}
"""Of what Flower was not told, where its default is not ours."""


@pytest.mark.parametrize(
    ("case", "optimizer", "rate", "options"),
    [
        ("fedadam", adam, 0.1, {}),
        ("fedadam_other", adam, 0.03, {"beta_1": 0.5, "beta_2": 0.9, "tau": 0.01}),
        ("fedyogi", yogi, 0.01, {}),
        ("fedadagrad", adagrad, 0.1, {}),
        ("fedavgm_without", momentum, 1.0, {"server_momentum": 0.0}),
        ("fedavgm", momentum, 0.5, {"server_momentum": 0.9}),
    ],
)
def test_the_models_are_flowers(case, optimizer, rate, options, flower, largest_difference):
    told = FLOWERS_DEFAULTS.get(case, {}) | json.loads(str(flower[f"{case}.options"]))
    assert {name: told[name] for name in told if name not in ("eta", "server_learning_rate")} == options
    layout, sent_C, state = Layout(60, 7), np.ones(7, np.bool_), {}

    def move(model_P, answers_NP, weights_N):
        nonlocal state
        change_P = fedavg(answers_NP, weights_N) - model_P
        step_P, state = optimizer(change_P, sent_C, state, layout, **options)
        return model_P + np.float32(rate) * step_P

    assert largest_difference(case, move) < 1e-6


@pytest.mark.parametrize("optimizer", REMEMBERING)
@given(exchange=exchanges())
def test_a_chunk_that_nobody_sent_is_not_stepped_and_keeps_its_moments(optimizer, exchange):
    layout, changes_RP, sent_RC = exchange
    sent_RC[-1, 0] = False
    unsent_P = ~np.repeat(sent_RC[-1], layout.sizes_C)
    _, before = run(optimizer, changes_RP[:-1], sent_RC[:-1], layout)

    steps_RP, state = run(optimizer, changes_RP, sent_RC, layout)

    assert not steps_RP[-1, unsent_P].any()
    for name, array in state.items():
        unsent = unsent_P if name.endswith("_P") else ~sent_RC[-1]
        assert np.array_equal(array[unsent], before[name][unsent] if before else np.zeros_like(array[unsent]))


@pytest.mark.parametrize("optimizer", REMEMBERING)
@given(exchange=exchanges())
def test_a_chunk_knows_only_the_rounds_in_which_it_was_sent(optimizer, exchange):
    layout, changes_RP, sent_RC = exchange
    steps_RP, state = run(optimizer, changes_RP, sent_RC, layout)

    for chunk, (start, stop) in enumerate(pairwise(layout.bounds)):
        rounds = np.flatnonzero(sent_RC[:, chunk])
        if len(rounds):
            alone = Layout(int(stop - start), 1)
            alone_RP, alone_state = run(
                optimizer, changes_RP[rounds, start:stop], np.ones((len(rounds), 1), np.bool_), alone
            )
            assert np.array_equal(steps_RP[rounds, start:stop], alone_RP)
            for name in state.keys() - {"rounds_C"}:
                assert np.array_equal(state[name][start:stop], alone_state[name])


@pytest.mark.parametrize("optimizer", REMEMBERING)
@pytest.mark.parametrize("sent", [[True, True], [True, False], [False, False]])
def test_shapes_types_and_memory_of_what_comes_out(optimizer, sent):
    change_P, sent_C, layout = f32(1, 2, 0), np.array(sent), Layout(3, 2)
    _, state = optimizer(change_P, sent_C, {}, layout)
    kept = {name: array.copy() for name, array in state.items()}

    step_P, after_state = optimizer(change_P, sent_C, state, layout)

    assert step_P.dtype == np.float32
    assert step_P.shape == (3,)
    assert {name: array.dtype for name, array in after_state.items()} == {
        name: np.int32 if name == "rounds_C" else np.float32 for name in kept
    }
    assert all(np.array_equal(state[name], kept[name]) for name in kept)
    arrays = [step_P, *after_state.values(), change_P, *state.values()]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])


@pytest.mark.parametrize("optimizer", [adam, adagrad, yogi])
def test_values_that_never_change_are_never_stepped(optimizer):
    steps, _ = after(optimizer, [f32(0, 1)] * 3)

    assert [float(step_P[0]) for step_P in steps] == [0, 0, 0]


@pytest.mark.parametrize("optimizer", [none, *REMEMBERING])
def test_an_optimizer_asks_only_for_what_the_caller_has(optimizer):
    parameters = inspect.signature(optimizer).parameters.values()

    needed = {parameter.name for parameter in parameters if parameter.default is parameter.empty}
    assert needed <= {"change_P", "sent_C", "state", "round_index", "layout"}
