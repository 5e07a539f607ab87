"""A model of transformers for text, from a folder that save_pretrained wrote: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.learning.lora import TRAINED_WHOLE
from fedchunk.orchestrator.learning.models._sequence import head_of, is_of_head, take_padded, with_outputs
from fedchunk.orchestrator.learning.models._tokens import token_count, whole_numbers

PER_TOKEN = True
PER_SAMPLE = True
FOLDER_OPTION = "path"
"""The option that names the folder which the model is loaded from: its files are a part of what a run is."""
ONCE = ("classification", "multilabel", "regression")
"""Tasks that answer once for a sample."""


def huggingface(input_shape: tuple[int, ...], num_classes: int, task: str, path: str) -> nn.Module:
    """Of a language model for each token the logits of the one that follows, as wide as the model's own vocabulary.

    Of a task that answers once for a sample ``num_classes`` outputs, of a head behind the base model: it is drawn where
    the folder has none. Behind the tokens of a sample may stand -1, at which the model does not look.

    Names of parameters are those that transformers gives them. Weights are float32, whatever they are in the folder.
    Attention is written out: the faster ways do not repeat their bits on every device.

    Args:
        input_shape: tokens of a sample, (T,).
        num_classes: kinds of tokens in the data, and the model's vocabulary may be larger; or outputs of the head.
        task: decides which of both.
        path: the folder, with config.json and safetensors.
    """
    tokens = token_count("huggingface", input_shape)
    transformers = _transformers()
    folder = Path(path).expanduser()
    if not (folder / "config.json").is_file():
        raise _fault(f"path: got {path}, where there is no config.json; give a folder that save_pretrained wrote")
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        form = {"dtype": torch.float32, "attn_implementation": "eager"}
        _check(config, tokens, None if task in ONCE else num_classes)
        if task in ONCE:
            with_outputs(config, num_classes)
        kind = transformers.AutoModelForSequenceClassification if task in ONCE else transformers.AutoModelForCausalLM
        if torch.get_default_device().type == "meta":  # where only names and shapes are asked for
            module = kind.from_config(config, **form)
        else:
            module = _loaded(transformers, kind, folder, config, form)
    except (OSError, ValueError, RuntimeError) as error:
        what = "model for sequences" if task in ONCE else "causal language model"
        raise _fault(f"path: {path} holds no {what} that can be loaded ({_first(error)})") from error
    module.register_forward_hook(_logits)
    if task in ONCE:
        take_padded(module)
        setattr(module, TRAINED_WHOLE, head_of(module))
        classifier: nn.Module = module
        return classifier
    module.register_forward_pre_hook(_tokens_alone)
    module.register_forward_pre_hook(_without_cache, with_kwargs=True)
    answer: nn.Module = module
    return answer


def _loaded(transformers: Any, kind: Any, folder: Path, config: Any, form: dict[str, Any]) -> Any:
    """The model with its weights. Raises ValueError where the folder has not all of them, but for a new head."""
    bars = transformers.utils.logging
    shows, level = bars.is_progress_bar_enabled(), bars.get_verbosity()
    bars.disable_progress_bar()
    bars.set_verbosity_error()  # what lacks, and what is too much, is said below
    try:
        module, info = kind.from_pretrained(
            folder, config=config, local_files_only=True, use_safetensors=True, output_loading_info=True, **form
        )
    finally:
        bars.set_verbosity(level)
        if shows:
            bars.enable_progress_bar()
    head = () if kind is transformers.AutoModelForCausalLM else head_of(module)
    if lacking := sorted(name for name in info["missing_keys"] if not is_of_head(name, head)):
        raise ValueError(f"it lacks {lacking[0]}" + (f" and {len(lacking) - 1} more" if lacking[1:] else ""))
    return module


def _check(config: Any, tokens: int, num_tokens: int | None) -> None:
    """Raises ConfigError where the data have more tokens, or longer samples, than the model knows."""
    vocabulary = getattr(config, "vocab_size", None)
    if vocabulary is not None and num_tokens is not None and num_tokens > vocabulary:
        raise _fault(f"path: the model knows {vocabulary} tokens, but the data have {num_tokens}")
    longest = getattr(config, "max_position_embeddings", None)
    if longest is not None and tokens > longest:
        raise _fault(f"path: the model takes {longest} tokens, but samples have {tokens}")


def _tokens_alone(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (whole_numbers("huggingface", inputs[0]), *inputs[1:])


def _without_cache(module: nn.Module, inputs: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return inputs, {**named, "use_cache": False}


def _logits(module: nn.Module, inputs: Any, output: Any) -> Any:
    return output.logits


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        message = (
            f"huggingface needs transformers, which cannot be imported ({error}): pip install 'fedchunk[huggingface]'"
        )
        raise ConfigError([Fault("", "model_type", message)]) from None
    return transformers


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _fault(message: str) -> ConfigError:
    return ConfigError([Fault("", "model_options", message)])
