"""The model of the settings, fitted to the data's samples and classes; as a module, and flat."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from fedchunk.orchestrator import registry
from fedchunk.orchestrator.components import Bound
from fedchunk.orchestrator.contract.home_part import shared_part
from fedchunk.orchestrator.contract.messages import ModelSpec
from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.core.seeds import torch_seed
from fedchunk.orchestrator.learning.engines.flatten import FlatModel, spec_of
from fedchunk.orchestrator.learning.lora import add_adapters
from fedchunk.orchestrator.learning.preprocess import seeded
from fedchunk.orchestrator.learning.task import TaskInForce
from fedchunk.orchestrator.registry import KINDS
from fedchunk.orchestrator.settings.joined import Sections


def build_model(settings: Sections, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """A new model on the CPU; the same seed gives the same values, and torch's own random state stays as it was.

    Args:
        settings: the model, its options, ``pretrained_models``, ``random_seed``, ``download``.
        input_shape: of one sample, after ``transform_input_size``.
        num_classes: number of outputs (of numbers, labels or tokens, as the task says).

    Raises:
        ConfigError: the samples do not suit the model, or it has no pretrained weights.
        DataError: pretrained weights are not on disk and may not be, or could not be, downloaded.
        ComponentFailed: a user's model raised, or is no ``nn.Module``.
    """
    bound = settings.bound("model")
    load_pretrained = _pretrained(bound) if settings.training.pretrained_models else None
    with seeded(torch_seed(settings.federation.random_seed, "model"), torch.device("cpu")):
        module = _new_module(settings, input_shape, num_classes)
    if load_pretrained is not None:
        load_pretrained(module, input_shape, num_classes, settings.data.download)
    if settings.training.lora_rank is not None:
        with seeded(torch_seed(settings.federation.random_seed, "lora"), torch.device("cpu")):
            add_adapters(module, settings.training)
    return module


def flat_model(
    settings: Sections, input_shape: tuple[int, ...], num_classes: int, device: torch.device | str
) -> FlatModel:
    """What :func:`build_model` gives, as one flat vector on a device.

    Raises:
        ComponentFailed: a user's model has nothing to train, or values that cannot be sent; and as ``build_model``.
    """
    bound = settings.bound("model")
    module = build_model(settings, input_shape, num_classes)
    answers = TaskInForce.of(settings).answers(input_shape, num_classes)
    with bound.named():
        own, local = bound if bound.is_own else None, settings.training.local_parameters
        return FlatModel(module, device, own, answers, local)


def model_spec(settings: Sections, input_shape: tuple[int, ...], num_classes: int) -> ModelSpec:
    """What of :func:`build_model` would be exchanged, and what stays at home; raises as it does.

    Allocates no values, but for a user's model that cannot do without.
    """
    training = settings.training
    whole = _whole_spec(settings, input_shape, num_classes)
    return shared_part(whole, training.local_parameters, training.model_type)


def _whole_spec(settings: Sections, input_shape: tuple[int, ...], num_classes: int) -> ModelSpec:
    bound, local = settings.bound("model"), settings.training.local_parameters
    if not bound.is_own:
        return _spec_without_values(settings, input_shape, num_classes)
    try:
        return _spec_without_values(settings, input_shape, num_classes)
    except Exception:  # such as a look at the values; what is really wrong comes up again
        with bound.named():
            return spec_of(build_model(settings, input_shape, num_classes), local)


def _spec_without_values(settings: Sections, input_shape: tuple[int, ...], num_classes: int) -> ModelSpec:
    training = settings.training
    with torch.device("meta"):
        module = _new_module(settings, input_shape, num_classes)
        if training.lora_rank is not None:
            add_adapters(module, training)
        return spec_of(module, training.local_parameters)


def _new_module(settings: Sections, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    bound = settings.bound("model")
    module = bound(input_shape=input_shape, num_classes=num_classes, task=settings.task_facts.name)
    if not isinstance(module, nn.Module):
        raise bound.failed(f"returned {type(module).__name__}, expected an nn.Module")
    return module


def _pretrained(bound: Bound) -> Callable[..., None]:
    load = None if bound.is_own else registry.load_beside(KINDS["model"], bound.name, "pretrained")
    if load is None:
        message = f"there are no such weights for {bound.name!r}: set it to false"
        raise ConfigError([Fault("", "pretrained_models", message)])
    return load
