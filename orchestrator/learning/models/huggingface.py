"""A causal language model of transformers, from a folder that save_pretrained wrote: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.learning.models._tokens import token_count, whole_numbers

PER_TOKEN = True


def huggingface(input_shape: tuple[int, ...], num_classes: int, path: str) -> nn.Module:
    """For each token of a sample the logits of the one that follows, as wide as the model's own vocabulary.

    Names of parameters are those that transformers gives them. Weights are float32, whatever they are in the folder.
    Attention is written out: the faster ways do not repeat their bits on every device.

    Args:
        input_shape: tokens of a sample, (T,).
        num_classes: kinds of tokens in the data; the model's vocabulary may be larger.
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
        _check(config, tokens, num_classes)
        if torch.get_default_device().type == "meta":  # where only names and shapes are asked for
            module = transformers.AutoModelForCausalLM.from_config(config, **form)
        else:
            module = _loaded(transformers, folder, config, form)
    except (OSError, ValueError, RuntimeError) as error:
        raise _fault(f"path: {path} holds no causal language model that can be loaded ({_first(error)})") from error
    module.register_forward_pre_hook(_tokens_alone)
    module.register_forward_pre_hook(_without_cache, with_kwargs=True)
    module.register_forward_hook(_logits)
    answer: nn.Module = module
    return answer


def _loaded(transformers: Any, folder: Path, config: Any, form: dict[str, Any]) -> Any:
    """The model with its weights. Raises ValueError where the folder has not all of them."""
    bars = transformers.utils.logging
    shows = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        module, info = transformers.AutoModelForCausalLM.from_pretrained(
            folder, config=config, local_files_only=True, use_safetensors=True, output_loading_info=True, **form
        )
    finally:
        if shows:
            bars.enable_progress_bar()
    if lacking := sorted(info["missing_keys"]):
        raise ValueError(f"it lacks {lacking[0]}" + (f" and {len(lacking) - 1} more" if lacking[1:] else ""))
    return module


def _check(config: Any, tokens: int, num_classes: int) -> None:
    """Raises ConfigError where the data have more tokens, or longer samples, than the model knows."""
    vocabulary = getattr(config, "vocab_size", None)
    if vocabulary is not None and num_classes > vocabulary:
        raise _fault(f"path: the model knows {vocabulary} tokens, but the data have {num_classes}")
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
