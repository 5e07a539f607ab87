"""Kinds of values that settings have, and the harmless spellings in which people write them."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from fedchunk.orchestrator import registry


def _integral(value: Any) -> Any:
    """FedPilot types counts as floats (``chunking_parts: 5.0``): a float without a fraction is a count."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def text_of(value: Any) -> Any:
    """``data_distribution_kind: 20`` and ``federation_id: 7`` are text that happens to look like a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _fixed(value: Any) -> Any:
    """YAML has lists only; settings are frozen through and through."""
    return tuple(value) if isinstance(value, list) else value


class NameOf:
    """Marks the name of a component: built in (capitals or not), an entry point's, or a place such as ./mine.py:Net."""

    def __init__(self, kind: str) -> None:
        self._kind = registry.KINDS[kind]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Text, spelled as the built-in it names, and refused where it names nothing."""

        def known(value: Any) -> Any:
            return tuple(map(one, value)) if isinstance(value, tuple) else one(value)

        def one(value: str) -> str:
            name = registry.spelling(self._kind, value) or value
            if not registry.is_known(self._kind, name):
                raise PydanticCustomError("component", "no such component")
            return name

        return core_schema.no_info_after_validator_function(known, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A text of which editors are told the kind."""
        return handler(schema) | {"component": self._kind.name}


def _finite(value: Any) -> Any:
    """Options may be of any shape, but as everywhere in settings no number is nan or inf: JSON has none."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    for one in inner:
        _finite(one)
    if isinstance(value, float) and not math.isfinite(value):
        raise PydanticCustomError("finite", "nan and inf are no values of settings")
    return value


class AnyCase:
    """Marks a choice of words that may be written in capitals or not: ``LENET`` is ``lenet``."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The choice itself, behind a function that finds the known spelling."""
        known = {word.lower(): word for word in get_args(source)}

        def spell(value: Any) -> Any:
            return known.get(value.lower(), value) if isinstance(value, str) else value

        return core_schema.no_info_before_validator_function(spell, handler(source))


class WordOrFile:
    """Marks a choice of words, in capitals or not, or the path of a file with this suffix."""

    def __init__(self, suffix: str, *words: str) -> None:
        self._suffix, self._words = suffix, words

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Text, spelled as the word it is, and refused where it is neither."""

        def known(value: str) -> str:
            word = {one.lower(): one for one in self._words}.get(value.lower())
            if word is None and not value.lower().endswith(self._suffix):
                raise PydanticCustomError("word_or_file", "neither a word nor a file")
            return word or value

        return core_schema.no_info_after_validator_function(known, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A text; in words, what it may be."""
        return handler(schema) | {"in_words": f"{', '.join(self._words)}, or the path of a {self._suffix} file"}


RecordedChunks = Annotated[
    Annotated[Literal["full", "summary"], AnyCase()] | bool,
    AfterValidator(lambda value: "full" if value is True else value),
]
"""What is recorded of chunks; ``true`` is ``full``."""

Count = Annotated[int, BeforeValidator(_integral)]
Text = Annotated[str, BeforeValidator(text_of)]
Rates = tuple[Annotated[float, Field(gt=0, le=1e6)], ...]
Percentages = Annotated[tuple[Annotated[float, Field(gt=0, le=100)], ...], BeforeValidator(_fixed)]
Names = Annotated[tuple[str, ...], BeforeValidator(_fixed)]
"""A list of components."""
Schedule = Annotated[Annotated[str, NameOf("learning_rate_schedule")] | Rates, BeforeValidator(_fixed)]
"""A schedule by name, or the rates of the first rounds."""
Options = Annotated[dict[str, Any], AfterValidator(_finite)]
"""A component's own options, by the names of its parameters."""
MOST = 2**31 - 1
"""The largest count: the tables' columns have 32 bits."""
