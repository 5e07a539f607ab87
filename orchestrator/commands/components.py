"""What settings can name, with a line of help each, as text and as JSON."""

from __future__ import annotations

import difflib
from typing import Any

from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.registry import KINDS, Kind, builtin_names, builtin_signature, entry_points


def listing(kind: str | None) -> dict[str, Any]:
    """The components of one kind, or of all, by kind.

    Raises:
        ConfigError: there is no such kind.
    """
    return {one.name: _described(one) for one in _kinds(kind)}


def listed(kind: str | None) -> str:
    """The same for people."""
    return "\n\n".join(_text(one) for one in _kinds(kind))


def _kinds(kind: str | None) -> list[Kind]:
    if kind is None:
        return list(KINDS.values())
    word = kind.lower().replace("-", "_")
    named = {one.name: one for one in KINDS.values()} | {one.key: one for one in KINDS.values()}
    if word not in named:
        near = difflib.get_close_matches(word, named, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError([Fault("KIND", "", f"got {kind!r}; allowed: {', '.join(KINDS)}{hint}")])
    return [named[word]]


def _described(kind: Kind) -> dict[str, Any]:
    return {
        "setting": kind.key,
        "options": kind.options_key,
        "may_ask_for": list(kind.on_offer),
        "returns": kind.returns,
        "built_in": {name: builtin_signature(kind, name).help for name in builtin_names(kind)},
        "entry_points": {name: point.value for name, point in entry_points(kind).items()},
    }


def _text(kind: Kind) -> str:
    names = {name: builtin_signature(kind, name).help for name in builtin_names(kind)}
    names |= {name: f"from {point.value}" for name, point in entry_points(kind).items()}
    width = max(map(len, names), default=0)
    options = f", with {kind.options_key}" if kind.options_key else ""
    lines = [f"{kind.name}: setting {kind.key}{options}"]
    lines += [f"  {name:{width}}  {text}" for name, text in names.items()]
    asks = f"asks for any of {', '.join(kind.on_offer)};" if kind.on_offer else "asks for nothing but its options;"
    return "\n".join([*lines, f"  one of your own {asks} returns {kind.returns}"])
