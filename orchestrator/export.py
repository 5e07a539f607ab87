"""The final model of a run in the formats of others: its adapters as peft writes them, or all of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.resuming import recorded
from fedchunk.orchestrator.settings.loading import load
from fedchunk.orchestrator.settings.whole import Settings

if TYPE_CHECKING:
    from torch import nn


def export(run: str | Path, folder: str | Path, *, merged: bool = False) -> list[Path]:
    """Writes what a run has trained, for use without fedchunk.

    Args:
        run: the run's folder. Its data, and the folder of a transformers model, have to be where they were.
        folder: where to, new or empty.
        merged: the whole model with its adapters merged into it: of a transformers model a folder that
            ``from_pretrained`` loads, of others ``weights.safetensors``, which ``initial_model`` takes. Else the
            adapters alone, which ``PeftModel.from_pretrained`` loads.

    Returns:
        The files.

    Raises:
        ConfigError: this is no run's folder, it trained no adapter, or each client has its own part of it.
        RecordsError: it has no weights.
    """
    source, target = Path(run), Path(folder)
    recorded(source)
    settings = load(source / "config.yaml").settings
    _check(settings, source, merged=merged)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError([Fault(str(target), "", "is there already; give a new or empty folder")])
    module = _trained(settings, source)
    from fedchunk.orchestrator.learning.lora import merge, write_adapter

    target.mkdir(parents=True, exist_ok=True)
    training = settings.training
    if not merged:
        is_folder = training.model_type == "huggingface"
        return write_adapter(module, target, str(training.model_options["path"]) if is_folder else None)
    if training.lora_rank is not None:
        merge(module)
    _write_whole(module, target)
    return sorted(path for path in target.rglob("*") if path.is_file())


def _check(settings: Settings, run: Path, *, merged: bool) -> None:
    training = settings.training
    if training.lora_rank is None and not merged:
        message = "this run trained the model itself, no adapter; --merged exports the whole model"
        raise ConfigError([Fault(str(run), "lora_rank", message)])
    if training.local_parameters:
        message = "parts of this run's model stayed with its clients, so there is not one to export"
        raise ConfigError([Fault(str(run), "local_parameters", message)])


def _trained(settings: Settings, run: Path) -> nn.Module:
    """The run's model with its final weights."""
    from fedchunk.analysis.load import load_run
    from fedchunk.orchestrator.learning.build import build_model
    from fedchunk.orchestrator.learning.data.facts import data_facts

    facts = data_facts(settings)
    return load_run(run).load_into(build_model(settings, facts.input_shape, facts.num_classes))


def _write_whole(module: nn.Module, folder: Path) -> None:
    """As transformers writes a model of its own; of another each parameter and buffer by its name, tied ones once."""
    from safetensors.torch import save_file

    save_pretrained = getattr(module, "save_pretrained", None)
    if save_pretrained is not None:
        save_pretrained(folder)
        return
    state = module.state_dict()
    named = [*module.named_parameters(), *module.named_buffers()]
    tensors = {name: tensor.detach().contiguous() for name, tensor in named if name in state}
    save_file(tensors, folder / "weights.safetensors")
