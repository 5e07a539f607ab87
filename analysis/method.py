"""What was in force of the exchange in a run: what its records say, or for older runs what their settings come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Method:
    """The components of the exchange by their names; the first three are None where chunking is off."""

    score: str | None
    policy: str | None
    exchange_rule: str | None
    encoding: str
    full_exchange: bool
    """Whether the whole model always travels, as it is: every chunk, in every round, both ways, in float32."""


def method_of(config: Mapping[str, Any]) -> Method:
    """The method of a run: ``method`` in its ``config.json``; worked out from the settings where it is older than that.

    Args:
        config: ``run.config``.
    """
    told = config.get("method")
    if not isinstance(told, Mapping):
        return _from_settings(config)
    names = (told.get("score"), told.get("policy"), told.get("exchange_rule"))
    return Method(*names, str(told.get("encoding")), bool(told.get("full_exchange")))


def _from_settings(config: Mapping[str, Any]) -> Method:
    encoding = str(config.get("chunk_encoding") or "float32")
    if config.get("chunking") is False:
        return Method(None, None, None, "float32", True)
    rule = str(config.get("chunk_reconstruction") or "contributors")
    policy = _policy(config)
    whole = policy == "fixed" and _sends_all(config, rule) and encoding == "float32"
    return Method(_score(config), policy, rule, encoding, whole)


def _score(config: Mapping[str, Any]) -> str:
    if config.get("chunk_score"):
        return str(config["chunk_score"])
    if config.get("chunking_random_section"):
        return "random"
    return "gradient" if config.get("chunking_with_gradients", True) else "distance"


def _policy(config: Mapping[str, Any]) -> str:
    if config.get("sensitivity_policy"):
        return str(config["sensitivity_policy"])
    return "energy" if config.get("dynamic_sensitivity_percentage") else "fixed"


def _sends_all(config: Mapping[str, Any], rule: str) -> bool:
    """Whether no ceiling, budget, warm-up or downlink holds a chunk back."""
    warm_up = config.get("sensitivity_warmup_rounds") or 0
    return (
        config.get("sensitivity_percentage") == 100
        and config.get("sensitivity_budget_mb") is None
        and (warm_up == 0 or config.get("sensitivity_warmup_percentage") in (None, 100))
        and (
            rule not in ("error_feedback", "relay_tree") or config.get("downlink_sensitivity_percentage") in (None, 100)
        )
    )
