"""What the sections of the settings have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Base of the sections: frozen, strict, no unknown fields, no nan and no inf."""

    # Built when it is first used: fedchunk --help uses none.
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False, defer_build=True)


def options_of(component: str) -> Any:
    """A field for the options of a component, which ``component`` says in words."""
    return Field(default_factory=dict, description=f"Options of the {component}, by the names of its parameters.")
