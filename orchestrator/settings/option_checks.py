"""Whether the options of a component may have their values: those whose types the component wrote down.

A parameter of a type of :mod:`settings.option_types`, or of float, int, bool or str, is checked; one of any other type
is left to the component.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from fedchunk.orchestrator.settings import option_types
from fedchunk.orchestrator.settings.schema import number_in_words

_PLAIN = {"float": float, "int": int, "bool": bool, "str": str}
_WORDS = {"boolean": "true or false", "string": "text"}
_OR_NONE = " | None"


@cache
def _adapter(name: str) -> TypeAdapter[Any] | None:
    kind: Any = _PLAIN.get(name) or vars(option_types).get(name)
    known = name in _PLAIN or hasattr(kind, "__metadata__")
    return TypeAdapter(kind, config=ConfigDict(strict=True)) if known else None


def fits(type_name: str, value: Any) -> bool:
    """Whether an option may have this value; always so where the type is not one of those that are known.

    Example:
        >>> fits("Share", 1), fits("Share", 1.5), fits("int", 2.0), fits("list[int]", "what"), fits("int | None", None)
        (True, False, False, True, True)
    """
    adapter = _adapter(type_name.removesuffix(_OR_NONE))
    if adapter is None or (value is None and type_name.endswith(_OR_NONE)):
        return True
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


def allowed(type_name: str) -> str:
    """What an option of a known type may be, in words.

    Example:
        >>> allowed("Fading"), allowed("Count | None"), allowed("bool"), allowed("Channels")
        ('a number of at least 0 and below 1', 'a whole number of at least 1, or null', 'true or false', '1 or 3')
        >>> allowed("ImageShape"), allowed("Columns")
        ('a list of 3: a whole number of at least 1 each', 'a list: text each')
        >>> allowed("ColumnOrColumns")
        'text or a list: text each'
    """
    adapter = _adapter(type_name.removesuffix(_OR_NONE))
    assert adapter is not None, "asked for a type that is not known"
    return _in_words(adapter.json_schema()) + (", or null" if type_name.endswith(_OR_NONE) else "")


def _in_words(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        *others, last = map(str, schema["enum"])
        return f"{', '.join(others)} or {last}"
    if "anyOf" in schema:
        return " or ".join(map(_in_words, schema["anyOf"]))
    if schema["type"] == "array":
        length = f" of {schema['maxItems']}" if "maxItems" in schema else ""
        return f"a list{length}: {_in_words(schema['items'])} each"
    return _WORDS.get(schema["type"]) or number_in_words(schema)
