"""Models of tokens: what they see, what they are made of, and that clients at once are right or refused."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.learning.build import build_model, model_spec
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.models.transformer import _Attention, turned
from fedchunk.orchestrator.settings.sections import DataSettings, FederationSettings, TrainingSettings
from fedchunk.orchestrator.settings.whole import Settings

VOCABULARY, TOKENS = 11, 7
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "learned": ("transformer", {"width": 8, "heads": 2}),
    "rotary": ("transformer", {"width": 8, "heads": 2, "positions": "rotary", "tie_weights": False}),
    "lstm": ("lstm", {"embedding": 3, "width": 6}),
}


def settings_of(model_type: str, **options: Any) -> Settings:
    training = TrainingSettings(model_type=model_type, model_options=options)
    data = DataSettings(task="language_model")
    return Settings(training=training, data=data, federation=FederationSettings(random_seed=5))


def small(name: str, **options: Any) -> nn.Module:
    model_type, own = SMALL[name]
    return build_model(settings_of(model_type, **own, **options), (TOKENS,), VOCABULARY)


def tokens_of(count: int, seed: int = 0) -> Tensor:
    return torch.randint(VOCABULARY, (count, TOKENS), generator=torch.Generator().manual_seed(seed))


def loss_of(logits_BTV: Tensor, x_BT: Tensor) -> Tensor:
    return functional.cross_entropy(logits_BTV[:, :-1].reshape(-1, VOCABULARY), x_BT[:, 1:].reshape(-1))


@pytest.mark.parametrize("name", SMALL)
def test_each_token_is_answered_with_logits_of_the_next(name: str) -> None:
    model_type, options = SMALL[name]
    settings = settings_of(model_type, **options)
    model = FlatModel(small(name), "cpu")

    assert model.logits(tokens_of(3)).shape == (3, TOKENS, VOCABULARY)
    assert model_spec(settings, (TOKENS,), VOCABULARY) == model.spec
    gradients = model.gradients(loss_of(model.logits(tokens_of(64)), tokens_of(64)))
    assert all(gradient.any() for gradient in gradients)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(SMALL)), st.integers(0, TOKENS - 1), st.integers(0, 2**20))
def test_what_comes_later_changes_no_answer(name: str, place: int, seed: int) -> None:
    module, x_BT = small(name).eval(), tokens_of(2, seed)
    others_BT = x_BT.clone()
    others_BT[:, place:] = (others_BT[:, place:] + 1) % VOCABULARY
    before, after = module(x_BT), module(others_BT)

    assert torch.equal(before[:, :place], after[:, :place])
    assert not torch.equal(before[:, place], after[:, place])


@pytest.mark.parametrize("name", SMALL)
def test_an_answer_depends_on_the_tokens_before_and_on_their_order(name: str) -> None:
    module, x_BT = small(name).eval(), torch.tensor([[1, 2, 3, 4, 5, 6, 7]])
    swapped = x_BT[:, [1, 0, 2, 3, 4, 5, 6]]

    assert not torch.allclose(module(x_BT)[:, -1], module(swapped)[:, -1], rtol=0, atol=1e-7)


def slow_attention(layer: _Attention, x_BTW: Tensor, *, rotary: bool) -> Tensor:
    """Token by token and head by head, in float64."""
    _, tokens, width = x_BTW.shape
    size = width // layer.heads
    answers = []
    for sample in x_BTW.double():
        q, k, v = (sample @ layer.qkv.weight.double().T + layer.qkv.bias.double()).split(width, dim=1)
        rows = []
        for at in range(tokens):
            parts = []
            for head in range(layer.heads):
                own = slice(head * size, (head + 1) * size)
                place = (lambda one, t: slow_turn(one, t)) if rotary else (lambda one, t: one)
                scores = [place(q[at, own], at) @ place(k[t, own], t) / math.sqrt(size) for t in range(at + 1)]
                shares = torch.stack(scores).exp() / torch.stack(scores).exp().sum()
                parts.append(sum(share * v[t, own] for t, share in enumerate(shares)))
            rows.append(torch.cat(parts) @ layer.out.weight.double().T + layer.out.bias.double())
        answers.append(torch.stack(rows))
    return torch.stack(answers)


def slow_turn(values: Tensor, place: int) -> Tensor:
    """Each pair of values as a complex number, turned."""
    half = len(values) // 2
    angles = torch.tensor([place * 10_000.0 ** (-2 * d / len(values)) for d in range(half)], dtype=torch.float64)
    turned_pairs = torch.complex(values[:half], values[half:]) * torch.exp(1j * angles)
    return torch.cat([turned_pairs.real, turned_pairs.imag])


@pytest.mark.parametrize("rotary", [False, True])
def test_attention_and_its_gradient_are_those_of_the_formula(rotary: bool) -> None:
    torch.manual_seed(0)
    layer = _Attention(12, 3, 0.0, rotary=rotary)
    x_BTW, weights_BTW = torch.randn(2, 5, 12, requires_grad=True), torch.randn(2, 5, 12)
    inputs = [x_BTW, *layer.parameters()]
    fast, slow = layer(x_BTW), slow_attention(layer, x_BTW, rotary=rotary)

    torch.testing.assert_close(fast.double(), slow, rtol=1e-5, atol=1e-6)
    fast_gradients = torch.autograd.grad((fast * weights_BTW).sum(), inputs)
    slow_gradients = torch.autograd.grad((slow * weights_BTW).sum(), inputs)
    for one, other in zip(fast_gradients, slow_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_rotary_places_count_by_their_distance_alone() -> None:
    q_D, k_D = torch.randn(8), torch.randn(8)
    turned_q, turned_k = (turned(one.expand(1, 1, 9, 8))[0, 0] for one in (q_D, k_D))
    scores_TT = turned_q @ turned_k.T

    torch.testing.assert_close(scores_TT.diagonal(3), scores_TT[0, 3].expand(6), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(turned_q.norm(dim=1), q_D.norm().expand(9))


def test_values_by_hand() -> None:
    def count(model_type: str, tokens: int, vocabulary: int, **options: Any) -> int:
        return model_spec(settings_of(model_type, **options), (tokens,), vocabulary).num_parameters

    block = (2 * 2 * 8) + (8 * 24 + 24 + 8 * 8 + 8) + (8 * 32 + 32 + 32 * 8 + 8)
    own = {"width": 8, "depth": 3, "heads": 2}
    assert count("transformer", 7, 11, **own) == 11 * 8 + 7 * 8 + 3 * block + 2 * 8
    assert count("transformer", 7, 11, **own, context=9) == 11 * 8 + 9 * 8 + 3 * block + 2 * 8
    assert count("transformer", 7, 11, **own, positions="rotary", tie_weights=False) == 2 * 11 * 8 + 3 * block + 2 * 8
    assert count("transformer", 64, 256) == 437_760
    layers = 4 * 256 * (8 + 256 + 2) + 4 * 256 * (256 + 256 + 2)
    assert count("lstm", 80, 82) == 82 * 8 + layers + 256 * 82 + 82 == 820_450


def test_tied_weights_are_one_tensor_and_a_block_starts_as_almost_nothing() -> None:
    tied = small("learned")
    assert tied.head.weight is tied.embedding.weight
    assert "head.weight" not in [place.name for place in FlatModel(tied, "cpu").spec.parameters]
    deep = build_model(settings_of("transformer", width=64, depth=8), (TOKENS,), VOCABULARY)
    assert deep.blocks[0].up.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert deep.blocks[7].down.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)


@pytest.mark.parametrize("name", SMALL)
def test_the_same_values_give_the_same_bits_in_torch_s_deterministic_mode(name: str) -> None:
    def gradients() -> list[Tensor]:
        model = FlatModel(small(name), "cpu")
        return list(model.gradients(loss_of(model.logits(tokens_of(5)), tokens_of(5))))

    torch.set_deterministic_debug_mode("error")
    try:
        one, other = gradients(), gradients()
    finally:
        torch.set_deterministic_debug_mode("default")
    assert all(torch.equal(first, second) for first, second in zip(one, other, strict=True))


def gradients_at_once(module: nn.Module, rows: dict[str, Tensor], x_GBT: Tensor) -> dict[str, Tensor]:
    """As the engine for stacked clients works them out."""

    def loss(parameters: dict[str, Tensor], x_BT: Tensor) -> Tensor:
        return loss_of(functional_call(module, parameters, (x_BT,)), x_BT)

    answer: dict[str, Tensor] = vmap(grad(loss))(rows, x_GBT)
    return answer


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("name", SMALL)
def test_clients_at_once_get_the_gradients_of_one_by_one(name: str) -> None:
    module = small(name)
    x_GBT = torch.stack([tokens_of(4, seed) for seed in (1, 2)])
    own = {key: value.detach() for key, value in module.named_parameters()}
    rows = {key: torch.stack([value, value * 1.5]) for key, value in own.items()}
    together = gradients_at_once(module, rows, x_GBT)

    for client, x_BT in enumerate(x_GBT):
        alone = {key: value[client].clone().requires_grad_() for key, value in rows.items()}
        loss_of(functional_call(module, alone, (x_BT,)), x_BT).backward()
        for key, value in alone.items():
            torch.testing.assert_close(together[key][client], value.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["learned", "lstm"])
def test_with_dropout_clients_at_once_are_refused(name: str) -> None:
    module = small(name, dropout=0.5)
    rows = {key: torch.stack([value.detach()] * 2) for key, value in module.named_parameters()}

    with pytest.raises(RuntimeError):
        gradients_at_once(module.train(), rows, torch.stack([tokens_of(4)] * 2))


@pytest.mark.parametrize("name", ["learned", "lstm"])
def test_dropout_is_for_training_alone(name: str) -> None:
    module = small(name, dropout=0.5)
    assert torch.equal(module.eval()(tokens_of(2)), module.eval()(tokens_of(2)))
    assert not torch.equal(module.train()(tokens_of(2)), module.train()(tokens_of(2)))


@pytest.mark.parametrize("name", SMALL)
def test_the_values_stay_in_the_flat_vector(name: str) -> None:
    model = FlatModel(small(name), "cpu")
    before = model.module(tokens_of(2))
    model.weights.mul_(0.5)
    assert not torch.equal(model.module(tokens_of(2)), before)
    model.weights.mul_(2)
    assert torch.equal(model.module(tokens_of(2)), before)


@pytest.mark.parametrize("model_type", ["transformer", "lstm"])
def test_samples_that_are_no_tokens_are_refused(model_type: str) -> None:
    with pytest.raises(ConfigError, match=r"needs samples of tokens \(T,\), got samples of \(1, 8, 8\)"):
        model_spec(settings_of(model_type), (1, 8, 8), 10)
    with pytest.raises(TypeError, match=r"whole numbers from 0; got torch\.float32"):
        build_model(settings_of(model_type), (TOKENS,), VOCABULARY)(torch.randn(2, TOKENS))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 10, "heads": 4}, "width: got 10, which is no multiple of heads: 4"),
        ({"width": 6, "heads": 2, "positions": "rotary"}, "width: got 6 for 2 heads; rotary positions need an even"),
        (
            {"context": TOKENS - 1},
            f"context: got {TOKENS - 1}, but samples have {TOKENS} tokens; allowed: that or more",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        model_spec(settings_of("transformer", **options), (TOKENS,), VOCABULARY)
    (fault,) = caught.value.faults
    assert fault.key == "model_options"
    assert fault.message.startswith(message)
