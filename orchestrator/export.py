"""The final model of a run, or of one of its clients, in the formats of others: adapters as peft has them, or all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.resuming import recorded
from fedchunk.orchestrator.settings.loading import load
from fedchunk.orchestrator.settings.whole import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from fedchunk.orchestrator.contract.messages import ModelSpec


def export(run: str | Path, folder: str | Path, *, merged: bool = False, client: int | None = None) -> list[Path]:
    """Writes what a run has trained, for use without fedchunk.

    Args:
        run: the run's folder. Its data, and the folder of a transformers model, have to be where they were.
        folder: where to, new or empty.
        merged: the whole model with its adapters merged into it: of a transformers model a folder that
            ``from_pretrained`` loads, of others ``weights.safetensors``, which ``initial_model`` takes. Else the
            adapters alone, which ``PeftModel.from_pretrained`` loads.
        client: of a run with ``local_parameters``, whose model: what is shared, with what stayed with this client.
            Where the run trained no adapter that is the whole model, also without ``merged``.

    Returns:
        The files.

    Raises:
        ConfigError: this is no run's folder, it trained no adapter, or each client has its own part of it and none is
            named; or there is no such client, it never took part, or no checkpoint has what stayed with it.
        RecordsError: it has no weights.
    """
    source, target = Path(run), Path(folder)
    recorded(source)
    settings = load(source / "config.yaml").settings
    _check(settings, source, merged=merged, client=client)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError([Fault(str(target), "", "is there already; give a new or empty folder")])
    module = _trained(settings, source, client)
    from fedchunk.orchestrator.learning.lora import merge, write_adapter

    target.mkdir(parents=True, exist_ok=True)
    training = settings.training
    if not merged and training.lora_rank is not None:
        is_folder = training.model_type == "huggingface"
        return write_adapter(module, target, str(training.model_options["path"]) if is_folder else None)
    if training.lora_rank is not None:
        merge(module)
    _write_whole(module, target)
    return sorted(path for path in target.rglob("*") if path.is_file())


def _check(settings: Settings, run: Path, *, merged: bool, client: int | None) -> None:
    training, count = settings.training, settings.federation.number_of_clients
    if client is not None and not training.local_parameters:
        message = "this run has none, so no client has a part of its own; leave --client out"
        raise ConfigError([Fault(str(run), "local_parameters", message)])
    if client is not None and not 0 <= client < count:
        raise ConfigError([Fault("--client", "", f"got {client}; the run's clients are 0 to {count - 1}")])
    if training.lora_rank is None and not merged and client is None:
        message = "this run trained the model itself, no adapter; --merged exports the whole model"
        raise ConfigError([Fault(str(run), "lora_rank", message)])
    if training.local_parameters and client is None:
        message = "parts of this run's model stayed with its clients; --client N exports that of one"
        raise ConfigError([Fault(str(run), "local_parameters", message)])


def _trained(settings: Settings, run: Path, client: int | None) -> nn.Module:
    """The run's model with its final weights, or a client's."""
    from fedchunk.analysis.load import load_run
    from fedchunk.analysis.weights import copy_into
    from fedchunk.orchestrator.learning.build import build_model, model_spec
    from fedchunk.orchestrator.learning.data.facts import data_facts

    facts, recorded_run = data_facts(settings), load_run(run)
    module = recorded_run.load_into(build_model(settings, facts.input_shape, facts.num_classes))
    if client is not None:
        spec = model_spec(settings, facts.input_shape, facts.num_classes)
        own = _tensors_of_client(run, recorded_run.num_rounds, spec, client)
        copy_into(module, {**recorded_run.weights, **own}, run)
    return module


def _tensors_of_client(run: Path, rounds: int, spec: ModelSpec, client: int) -> dict[str, NDArray[np.generic]]:
    """What a client has of the model after the last round, by name: the newest checkpoint has it."""
    from fedchunk.actors.coordinator.kept_client import kept_client
    from fedchunk.orchestrator.contract.named_tensors import tensors_by_name
    from fedchunk.orchestrator.recording.checkpoints import FOLDER, newest_checkpoint

    snapshot = newest_checkpoint(run / FOLDER)
    if snapshot is None or snapshot.round_index != rounds:
        found = "none" if snapshot is None else f"one of round {snapshot.round_index}"
        message = (
            f"there is {found}, and what stays with clients is kept in that of the last round, {rounds}; a run writes "
            "it at its end unless checkpoint_interval is 0: go on with fedchunk run --resume, or repeat it"
        )
        raise ConfigError([Fault(str(run / FOLDER), "", message)])
    kept = kept_client(snapshot, client)
    if kept is None:
        message = f"got {client}, which never took part in a round, so nothing has stayed with it; name another client"
        raise ConfigError([Fault("--client", "", message)])
    assert spec.home is not None
    return tensors_by_name(spec, kept.shared) | tensors_by_name(spec.home, kept.home)


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
