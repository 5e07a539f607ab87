"""Words for faults in the settings: what was got, and what to do about it."""

from __future__ import annotations

import difflib
from typing import Any

from fedchunk.orchestrator.settings import fedpilot_keys
from fedchunk.orchestrator.settings.schema import choices, component_of, field_schemas, kinds
from fedchunk.orchestrator.settings.yaml_source import plain_value

_LONGEST = 60
_NEAR = 0.75
"""How alike a key must be to a known one (difflib's ratio): less is a guess that leads astray."""
_YES_NO = ("yes", "no", "on", "off", "y", "n", "0", "1")


def shown(value: Any) -> str:
    """A value as a user would recognise it, never longer than a line.

    Example:
        >>> shown(None), shown(True), shown("a b"), shown([1, 0.5]), shown([[1], {}])
        ('null', 'true', "'a b'", '[1, 0.5]', '[a list, a mapping]')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        items = ("a list" if isinstance(item, list) else shown(item) for item in value)
        return shorten(f"[{', '.join(items)}]")
    return "a mapping" if isinstance(value, dict) else shorten(repr(value))


def shorten(text: str) -> str:
    """Text cut to what fits into a message."""
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def unknown(key: str) -> str:
    """What to say of a key that nobody knows: the nearest known one, if one is near."""
    known = [*field_schemas(), *fedpilot_keys.ALIASES]
    words = key.lower().replace("-", "_").replace(" ", "_")
    near = difflib.get_close_matches(words, known, n=1, cutoff=_NEAR) if len(key) <= _LONGEST else []
    return f"no such setting; did you mean {near[0]}?" if near else "no such setting; fedchunk schema lists them all"


def hint(key: str, value: Any) -> str:
    """What to do about a value that is often got wrong in this way; empty if there is nothing to add."""
    if isinstance(value, dict):
        return "" if "object" in kinds(key) else "settings are flat: write every key at the left margin"
    if "object" in kinds(key):
        return ""
    if value is None:
        return "leave the line out for the default"
    if "array" in kinds(key) and component_of(key) is None:
        such = "[head.*]" if field_schemas()[key]["items"]["type"] == "string" else "[50, 20, 5]"
        return "" if isinstance(value, list) else f"write it as a list, such as {such}"
    if isinstance(value, str):
        return _hint_for_text(key, value)
    if "boolean" in kinds(key):
        return "write true or false" if str(value) in _YES_NO else ""
    if "string" in kinds(key) and "number" not in kinds(key) and isinstance(value, bool):
        return "put text in quotes"
    is_share = field_schemas()[key].get("maximum") == 1 and not isinstance(value, bool | list)
    return f"it is a share: write {value / 100:g} for {value:g} %" if is_share and 1 < value <= 100 else ""


def _hint_for_text(key: str, value: str) -> str:
    if "boolean" in kinds(key):
        return "write true or false, without quotes" if value.lower() in (*_YES_NO, "true", "false") else ""
    if kinds(key) & {"number", "integer"}:
        is_number = isinstance(plain_value(value), int | float)
        return "write the number without quotes" if is_number else ""
    if key in fedpilot_keys.UNSUPPORTED_VALUES:
        return fedpilot_keys.UNSUPPORTED_VALUES[key]
    spelt = {word.lower(): word for word in choices(key)}
    near = difflib.get_close_matches(value.lower(), spelt, n=1, cutoff=0.75) if len(value) <= _LONGEST else []
    return f"did you mean {spelt[near[0]]}?" if near else ""
