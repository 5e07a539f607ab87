"""Low-rank adapters beside the layers of any model, by peft: put in, found again in a file, merged, written.

Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685): a layer of weights W
answers ``W x + alpha / rank * B A x``, W is frozen, and B begins at zero.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fedchunk.orchestrator.contract.named_tensors import Tensors
from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.settings.sections import TrainingSettings

EXTRA = "fedchunk[huggingface]"
BASE = ".base_layer"
"""What peft puts into the name of a layer that it has wrapped."""
ADAPTER = "default"
"""What peft calls an adapter that nobody has named."""
TRAINED_WHOLE = "trained_whole"
"""The attribute in which a module names parts that have no adapters and are trained themselves, such as a new head."""
ADAPTABLE = ("Linear", "Embedding", "Conv1d", "Conv2d", "Conv3d", "Conv1D")
"""Kinds of layers that peft puts adapters beside."""


def add_adapters(module: nn.Module, training: TrainingSettings) -> None:
    """Freezes a module and puts adapters beside its layers, in place; A is drawn from torch's random state.

    Raises:
        ConfigError: peft is not installed, or ``lora_targets`` names no layer, or one that cannot have an adapter.
    """
    peft = _peft()
    assert training.lora_rank is not None
    before, whole = dict(module.named_modules()), _trained_whole(module)
    for target in training.lora_targets:
        _check_target(before, target)
    config = peft.LoraConfig(
        r=training.lora_rank,
        lora_alpha=training.lora_alpha or training.lora_rank,
        target_modules=list(training.lora_targets) or None,
        lora_dropout=training.lora_dropout,
        exclude_modules=rf"({'|'.join(map(re.escape, whole))})(\..*)?" if whole else None,
    )
    module.requires_grad_(False)
    with warnings.catch_warnings():
        # That weights of Conv1D lie the other way round, which peft finds and settles itself.
        warnings.filterwarnings("ignore", message="fan_in_fan_out")
        try:
            peft.inject_adapter_in_model(config, module)
        except ValueError as error:
            raise _fault(f"{str(error).splitlines()[0]}; {_known(before)}") from None
    for name in whole:
        module.get_submodule(name).requires_grad_(True)
    _refuse_tied(module)


def is_adapter(name: str) -> bool:
    """Whether a parameter is an adapter's."""
    return ".lora_" in name


def in_place_of_base(module: nn.Module, tensors: Tensors) -> Tensors:
    """The tensors with names of the module's: those of layers that have an adapter now are within it."""
    wrapped = {name.replace(BASE, ""): name for name, _ in module.named_parameters() if BASE in name}
    return {wrapped.get(name, name): values for name, values in tensors.items()}


def write_adapter(module: nn.Module, folder: Path, base: str | None) -> list[Path]:
    """Writes the adapters of a module, and what was trained whole beside them, as peft does, for
    ``PeftModel.from_pretrained``; the files.

    Args:
        module: with adapters.
        folder: where to, there already.
        base: the folder of the model that the adapters are of, where transformers can load it.
    """
    from safetensors.torch import save_file

    config: Any = module.peft_config[ADAPTER]  # type: ignore[index]
    config.target_modules = sorted(config.target_modules)
    config.inference_mode = True
    if base is not None:
        config.base_model_name_or_path = base
        config.task_type = "SEQ_CLS" if _trained_whole(module) else "CAUSAL_LM"
    config.modules_to_save = list(_trained_whole(module)) or None
    config.save_pretrained(str(folder))
    named = {
        f"base_model.model.{name.replace(f'.{ADAPTER}', '')}": parameter.detach().contiguous()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }
    save_file(named, folder / "adapter_model.safetensors", {"format": "pt"})
    return [folder / "adapter_config.json", folder / "adapter_model.safetensors"]


def merge(module: nn.Module) -> None:
    """Adds each adapter to the weights beside which it is, in place: what is left is the module without adapters."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, part in list(module.named_modules()):
        if isinstance(part, BaseTunerLayer):
            layer: Any = part
            layer.merge(safe_merge=True)
            module.set_submodule(name, layer.get_base_layer())
    del module.peft_config
    module.requires_grad_(True)


def _trained_whole(module: nn.Module) -> tuple[str, ...]:
    found: tuple[str, ...] = getattr(module, TRAINED_WHOLE, ())
    return found


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        message = f"needs peft, which cannot be imported ({error}): pip install '{EXTRA}'"
        raise ConfigError([Fault("", "lora_rank", message)]) from None
    return peft


def _check_target(modules: dict[str, nn.Module], target: str) -> None:
    """Raises ConfigError where a target means no layer: peft takes the others and says nothing."""
    if not any(name == target or name.endswith(f".{target}") for name in modules):
        raise _fault(f"got {target!r}, which is the end of no layer's name; {_known(modules)}")


def _known(modules: dict[str, nn.Module]) -> str:
    ends = {name.rpartition(".")[2]: None for name, part in modules.items() if type(part).__name__ in ADAPTABLE}
    return f"name some of {', '.join(ends)}" if ends else "this model has no layer that can have an adapter"


def _refuse_tied(module: nn.Module) -> None:
    """An adapter merged into weights that another layer has, too, would change that one as well."""
    counts = Counter(id(parameter) for _, parameter in module.named_parameters(remove_duplicate=False))
    for name, part in module.named_modules():
        weight = getattr(getattr(part, "base_layer", None), "weight", None)
        if isinstance(weight, torch.Tensor) and counts[id(weight)] > 1:
            raise _fault(f"got {name!r}, whose weights another layer has, too: leave it out, or untie them")


def _fault(message: str) -> ConfigError:
    return ConfigError([Fault("", "lora_targets", message)])
