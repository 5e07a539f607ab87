"""The coordinator's model as values that a checkpoint can hold, whatever the exchange rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.contract.trees import NotStorable
from fedchunk.orchestrator.methods.exchange_rules._rule import GlobalModel, ServerSide


def saved_model(model: GlobalModel) -> dict[str, Any]:
    """The fields of a model, but for what the settings give it.

    Raises NotStorable for a user's model that is no dataclass.
    """
    if not dataclasses.is_dataclass(model) or isinstance(model, type):
        raise NotStorable(f"{type(model).__name__} is no dataclass, so a checkpoint cannot hold it")
    values = {field.name: getattr(model, field.name) for field in dataclasses.fields(model) if not _is_given(field)}
    return {name: value for name, value in values.items() if not isinstance(value, ServerSide | Layout)}


def _is_given(field: dataclasses.Field[Any]) -> bool:
    return bool(field.metadata.get("of_settings"))


def restored_model(fresh: GlobalModel, saved: Mapping[str, Any]) -> GlobalModel:
    """The model that :func:`saved_model` was given; ``fresh`` is one that the same settings made."""
    given = {field.name for field in dataclasses.fields(fresh) if _is_given(field)}  # type: ignore[arg-type]
    kept = {name: value for name, value in saved.items() if name not in given}
    restored: GlobalModel = dataclasses.replace(fresh, **kept)  # type: ignore[type-var]
    return restored
