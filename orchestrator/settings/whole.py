"""The settings of one experiment, checked as a whole."""

from __future__ import annotations

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from fedchunk.orchestrator.settings.joined import Sections
from fedchunk.orchestrator.settings.rules import contradictions


class Settings(Sections):
    """One experiment: sections that do not contradict each other."""

    @model_validator(mode="after")
    def check_as_a_whole(self) -> Settings:
        """Refuses contradictions; the error carries them for :mod:`settings.loading`, which knows their places."""
        if remarks := contradictions(self):
            text = "; ".join(f"{remark.keys[0]}: {remark.message}" for remark in remarks)
            raise PydanticCustomError("contradiction", "{text}", {"text": text, "remarks": remarks})
        return self
