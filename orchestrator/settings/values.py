"""Kinds of values that settings have, and the harmless spellings in which people write them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


def _integral(value: Any) -> Any:
    """FedPilot types counts as floats (``chunking_parts: 5.0``): a float without a fraction is a count."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def text_of(value: Any) -> Any:
    """``data_distribution_kind: 20`` and ``federation_id: 7`` are text that happens to look like a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _fixed(value: Any) -> Any:
    """YAML has lists only; settings are frozen through and through."""
    return tuple(value) if isinstance(value, list) else value


Score = Literal["gradient", "distance", "random", "update", "accumulated", "relative", "round_robin"]
Policy = Literal["fixed", "energy", "threshold", "knee", "utopia", "schedule", "budget"]
Reconstruction = Literal["contributors", "own_weights", "error_feedback", "stale_copies"]
Encoding = Literal["float32", "float16", "bfloat16", "int8", "int4"]
Topology = Literal["star", "ring", "k_connected", "complete", "custom"]


class AnyCase:
    """Marks a choice of words that may be written in capitals or not: ``LENET`` is ``lenet``."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The choice itself, behind a function that finds the known spelling."""
        known = {word.lower(): word for word in get_args(source)}

        def spell(value: Any) -> Any:
            return known.get(value.lower(), value) if isinstance(value, str) else value

        return core_schema.no_info_before_validator_function(spell, handler(source))


Count = Annotated[int, BeforeValidator(_integral)]
Text = Annotated[str, BeforeValidator(text_of)]
Percentages = Annotated[tuple[Annotated[float, Field(gt=0, le=100)], ...], BeforeValidator(_fixed)]
MOST = 2**31 - 1
"""The largest count: the tables' columns have 32 bits."""
