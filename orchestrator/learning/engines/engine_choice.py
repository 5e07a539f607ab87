"""Whether clients are trained at once, decided by the settings, the model's layers and the kind of device.

There is no stopwatch in it: the same settings must keep giving the same bits. The rule of ``auto`` rests on
benchmarks/training.py: on a CPU stacked products are faster at every size, down to a single client, whose gradient they
compute without autograd. Where gradients are kept for scores they lose up to 15 % with 650,000 parameters; the rule is
the same there, so that all chunks and full exchange give the same bits. torch.func.vmap gains a little with small
convolutions from 16 clients on, and loses with fewer and with larger ones, so ``auto`` leaves it alone. Nothing was
measured on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from fedchunk.orchestrator.learning.engines.dense import dense_layers
from fedchunk.orchestrator.learning.loss import Loss
from fedchunk.orchestrator.settings.sections import TrainingSettings

Engine = Literal["one_by_one", "dense", "vmap"]


@dataclass(frozen=True)
class Plan:
    """How the clients of a group are trained, and why; the reason is shown to people."""

    engine: Engine
    reason: str


DENSE = Plan("dense", "at once: stacked products, as the model is linear layers and ReLU")
VMAP = Plan("vmap", "at once: torch.func.vmap, as vectorize_clients is on")


def one_by_one(why: str) -> Plan:
    """The plan that always works."""
    return Plan("one_by_one", f"one by one: {why}")


def plan_training(
    module: nn.Module, settings: TrainingSettings, loss: Loss, device_type: str, *, in_order: bool = True
) -> Plan:
    """How to train clients of this module on a device of type ``cpu`` or ``cuda``.

    ``in_order``: whether its parameters lie in the flat vector as they come in the module, where stacked products look
    for them.
    """
    if settings.vectorize_clients == "off":
        return one_by_one("vectorize_clients is off")
    if not loss.task.is_plain:
        return one_by_one(f"the answers of {loss.task.facts.name} are not one label for each sample")
    if loss.smoothing is None:
        whose = "is a loss of one's own" if loss.bound.is_own else "is no cross entropy"
        return one_by_one(f"{loss.bound.short_name} {whose}")
    dropout = next((part for part in module.modules() if isinstance(part, _DropoutNd) and part.p > 0), None)
    if dropout is not None:
        return one_by_one(f"{type(dropout).__name__} draws from a stream of its own for each client")
    if settings.mixed_precision != "none":
        return one_by_one(f"in {settings.mixed_precision} other products would round more visibly")
    is_dense = dense_layers(module) is not None
    if is_dense and in_order:
        return DENSE
    if settings.vectorize_clients == "on":
        return VMAP
    if is_dense:
        return one_by_one("layers that stay at home lie behind the others, where stacked products do not look")
    name = type(_not_dense(module)).__name__
    return one_by_one(f"vectorize_clients is auto, and at once {name} is not surely faster on {device_type}")


def _not_dense(module: nn.Module) -> nn.Module:
    """A part that stacked products cannot do; the module itself if it is only the way that they are put together."""
    leaves = (part for part in module.modules() if not any(True for _ in part.children()))
    return next((leaf for leaf in leaves if type(leaf) not in (nn.Linear, nn.ReLU, nn.Flatten)), module)
