"""Models of transformers that answer once for a text: the head, and what stands behind texts that are shorter.

Samples have a fixed length, with NO_TOKEN behind the last token of a shorter text. There the model is given its own
padding token, which attention leaves out.
"""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn

from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.learning.data.tokens import NO_TOKEN
from fedchunk.orchestrator.learning.models._tokens import whole_numbers

CLASSIFIER = "ForSequenceClassification"
"""How the names of such architectures end."""
POOLER = "pooler"
"""What stands between some base models and the head, which models that were trained for something else lack."""


def with_outputs(config: Any, num_outputs: int) -> None:
    """Sets how many outputs the head has. Raises ConfigError where the folder has another head, or no padding token."""
    if config.pad_token_id is None:
        raise _fault("config.json has no pad_token_id, which stands behind short texts; set one that no text has")
    if any(name.endswith(CLASSIFIER) for name in config.architectures or ()):
        if config.num_labels != num_outputs:
            raise _fault(f"the model answers {config.num_labels} labels, but the data have {num_outputs}")
    else:
        config.num_labels = num_outputs


def head_of(module: Any) -> tuple[str, ...]:
    """The parts of a model that are no base model's, by name: trained beside adapters, drawn where a folder lacks them.

    Example: ``("classifier", "bert.pooler")``, ``("score",)``
    """
    base = module.base_model_prefix
    parts = [name for name, _ in module.named_children() if name != base]
    if getattr(getattr(module, base), POOLER, None) is not None:
        parts.append(f"{base}.{POOLER}")
    return tuple(name for name in parts if any(True for _ in module.get_submodule(name).parameters()))


def is_of_head(parameter: str, head: tuple[str, ...]) -> bool:
    """Whether a parameter's name is that of a part of the head."""
    return parameter.startswith(tuple(f"{name}." for name in head))


def take_padded(module: nn.Module) -> None:
    """Lets a model take samples of tokens with :data:`NO_TOKEN` at their ends, (B, T)."""
    plain: dict[str, Any] = {"use_cache": False} if "use_cache" in inspect.signature(module.forward).parameters else {}

    def padded(module: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
        tokens_BT: Tensor = whole_numbers("huggingface", inputs[0])
        largest, known = int(tokens_BT.max()), module.config.vocab_size
        if largest >= known:
            raise ValueError(f"'huggingface' knows {known} tokens, 0 to {known - 1}; a sample has the token {largest}")
        there_BT = tokens_BT != NO_TOKEN
        ids_BT = tokens_BT.where(there_BT, module.config.pad_token_id)
        return (), {**named, **plain, "input_ids": ids_BT, "attention_mask": there_BT.long()}

    module.register_forward_pre_hook(padded, with_kwargs=True)


def _fault(message: str) -> ConfigError:
    return ConfigError([Fault("", "model_options", f"path: {message}")])
