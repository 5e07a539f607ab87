from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from fedchunk.orchestrator.learning.engines.optimizers import Optimizer, is_plain
from fedchunk.orchestrator.settings.sections import TrainingSettings

CASES: list[tuple[Any, dict[str, Any], dict[str, Any]]] = [
    (torch.optim.SGD, {}, {}),
    (torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.1}, {"momentum": 0.9, "weight_decay": 0.1}),
    (torch.optim.Adam, {"weight_decay": 0.1}, {"optimizer": "adam", "weight_decay": 0.1}),
    (torch.optim.AdamW, {"weight_decay": 0.1}, {"optimizer": "adamw", "weight_decay": 0.1}),
    (torch.optim.RMSprop, {"momentum": 0.5}, {"optimizer": "rmsprop", "momentum": 0.5}),
    (torch.optim.RMSprop, {}, {"optimizer": "rmsprop"}),
]


@pytest.mark.parametrize(("theirs", "options", "ours"), CASES, ids=lambda case: str(case))
def test_steps_have_the_bits_of_torch_s_classes(theirs: Any, options: dict[str, Any], ours: dict[str, Any]) -> None:
    random = torch.Generator().manual_seed(0)
    weights, gradients = torch.randn(37, generator=random), torch.randn(5, 37, generator=random)
    parameter = nn.Parameter(weights.clone())
    optimizer = theirs([parameter], lr=0.01, **{"weight_decay": 0.0} | options)
    mine = Optimizer(TrainingSettings(**ours), weights, learning_rate=0.01)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
        mine.step(gradient)
    assert torch.equal(weights, parameter.detach())


@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop"])
def test_rows_that_are_done_stay_and_the_others_go_on_with_their_moments(name: Any) -> None:
    training = TrainingSettings(optimizer=name, momentum=0.9)
    random = torch.Generator().manual_seed(0)
    rows, gradients = torch.randn(3, 8, generator=random), torch.randn(4, 3, 8, generator=random)
    alone = rows[0].clone()
    stacked, single = Optimizer(training, rows, 0.01), Optimizer(training, alone, 0.01)
    for number, gradient in enumerate(gradients):
        if number == 2:
            stacked.narrow(1)
            done = rows[1:].clone()
        stacked.step(gradient[: 3 if number < 2 else 1])
        single.step(gradient[0])
    torch.testing.assert_close(rows[0], alone, rtol=1e-6, atol=0)
    assert torch.equal(rows[1:], done)


@pytest.mark.parametrize(
    ("changes", "plain"),
    [
        ({}, True),
        ({"mu": 0.5}, True),  # of FedProx, which is not chosen
        ({"momentum": 0.9}, False),
        ({"weight_decay": 0.1}, False),
        ({"max_grad_norm": 1.0}, False),
        ({"aggregation_strategy": "FedProx"}, False),
        ({"optimizer": "adam"}, False),
    ],
)
def test_a_plain_step_is_the_gradient_times_the_learning_rate(changes: dict[str, Any], plain: bool) -> None:
    assert is_plain(TrainingSettings(**changes)) == plain


def test_the_first_step_does_not_wait_for_torch_s_compiler() -> None:
    code = (
        "import sys, torch; from fedchunk.orchestrator.learning.engines.flatten import FlatModel\n"
        "from fedchunk.orchestrator.learning.engines.training import train_local\n"
        "from fedchunk.orchestrator.settings.joined import Sections\n"
        "from fedchunk.orchestrator.settings.sections import TrainingSettings\n"
        "model = FlatModel(torch.nn.Linear(2, 2), 'cpu'); x, y = torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64)\n"
        "for name in ('sgd', 'adam', 'adamw', 'rmsprop'):\n"
        "    settings = Sections(training=TrainingSettings(optimizer=name, momentum=0.5))\n"
        "    train_local(model, x, y, settings, seed=0, round_index=1, client_id=0)\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
