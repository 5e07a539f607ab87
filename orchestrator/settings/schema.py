"""What the settings are, for people: JSON schema for editors, allowed values for messages, resolved YAML for a run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, get_args, get_origin

from fedchunk.orchestrator.registry import KINDS, Kind, builtin_names, help_of
from fedchunk.orchestrator.settings import fedpilot_keys
from fedchunk.orchestrator.settings.sections import Section
from fedchunk.orchestrator.settings.whole import Settings
from fedchunk.orchestrator.settings.yaml_source import written_value

_DRAFT_7 = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
"""Names that pydantic leaves as they are where it cannot tell what they stand before."""
_LIMITS = {
    "exclusiveMinimum": "above {}",
    "minimum": "of at least {}",
    "exclusiveMaximum": "below {}",
    "maximum": "at most {}",
    "minLength": "of at least {} character",
    "maxLength": "of at most {} characters",
}


@cache
def sections() -> Mapping[str, type[Section]]:
    """The sections by name, in the order in which people read them."""
    annotations = ((name, field.annotation) for name, field in Settings.model_fields.items())
    return {name: kind for name, kind in annotations if isinstance(kind, type) and issubclass(kind, Section)}


@cache
def known_keys() -> frozenset[str]:
    """The names of all settings; without their schemas, which take longer than to read a file."""
    return frozenset(key for section in sections().values() for key in section.model_fields)


@cache
def takes_text(key: str) -> bool:
    """Whether a setting may be text, and a number only as text."""
    annotation = next(s.model_fields[key].annotation for s in sections().values() if key in s.model_fields)
    return _has_text(annotation) and not _has_number(annotation)


def _has_text(annotation: Any) -> bool:
    if annotation is str or isinstance(annotation, str):  # the latter: a word of a choice
        return True
    return get_origin(annotation) not in (tuple, list, dict) and any(map(_has_text, get_args(annotation)))


def _has_number(annotation: Any) -> bool:
    if annotation in (int, float):
        return True
    return get_origin(annotation) not in (tuple, list, dict) and any(map(_has_number, get_args(annotation)))


@cache
def field_schemas() -> Mapping[str, Mapping[str, Any]]:
    """A flat JSON schema of each setting: one ``type``, or a list of those that are allowed, never ``anyOf``."""
    return {
        key: _flat_schema(schema)
        for section in sections().values()
        for key, schema in section.model_json_schema()["properties"].items()
    }


def _flat_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """All alternatives, and perhaps null, folded into one schema."""
    parts = schema.get("anyOf", [schema])
    alternatives = [part for part in parts if part.get("type") != "null"]
    flat: dict[str, Any] = {}
    for part in (schema, *alternatives):
        for name, value in part.items():
            flat[_DRAFT_7.get(name, name)] = value
    flat.pop("title")
    if "const" in flat:
        flat["enum"] = [flat.pop("const")]
    if flat.pop("anyOf", None):
        types = [part["type"] for part in alternatives]
        nullable = len(alternatives) < len(parts)
        flat["type"] = [*types, *(["null"] if nullable else [])]
        if "enum" in flat:
            more = [*([True, False] if "boolean" in types else []), *([None] if nullable else [])]
            flat["enum"] = [*flat["enum"], *more]
    return flat


def component_of(key: str) -> Kind | None:
    """The kind of component that a setting names; None if it names none."""
    schema = field_schemas()[key]
    name = schema.get("component")
    return KINDS[name] if name else None


def kinds(key: str) -> frozenset[str]:
    """JSON's names of the types that a setting may have."""
    kind = field_schemas()[key]["type"]
    return frozenset([kind] if isinstance(kind, str) else kind)


def choices(key: str) -> tuple[str, ...]:
    """The words that a setting may have; empty if it is no choice of words. Of components: those that are built in."""
    kind = component_of(key)
    if kind is not None:
        return builtin_names(kind)
    return tuple(word for word in field_schemas()[key].get("enum", ()) if isinstance(word, str))


def allowed_values(key: str) -> str:
    """What a setting may be, in words.

    Example:
        >>> allowed_values("sensitivity_percentage"), allowed_values("chunking")
        ('a number above 0 and at most 100', 'true or false')
    """
    allowed = kinds(key)
    kind = component_of(key)
    if kind is not None:
        named = f"one of {', '.join(builtin_names(kind))}, an entry point's name, or a place such as ./mine.py:name"
        text = f"a list of names, each {named}" if kind.many else named
        text += ", or a list of numbers" if "array" in allowed and not kind.many else ""
    elif in_words := field_schemas()[key].get("in_words"):
        text = in_words
    elif words := choices(key):
        text = f"one of {', '.join(words)}" if len(words) > 1 else words[0]
        text += ", or true or false" if "boolean" in allowed else ""
        text += f", or {number_in_words(field_schemas()[key])}" if "number" in allowed else ""
    elif "object" in allowed:
        text = "a mapping of options to finite values, such as {width: 24}"
    elif "boolean" in allowed:
        text = "true or false"
    elif "string" in allowed:
        text = "text" + _limits(field_schemas()[key])
    elif "array" in allowed:
        items = field_schemas()[key]["items"]
        text = "a list of words" if items["type"] == "string" else "a list of numbers" + _limits(items)
    else:
        text = number_in_words(field_schemas()[key])
    return f"{text}, or null" if "null" in allowed else text


def number_in_words(schema: Mapping[str, Any]) -> str:
    """What a number of this schema may be."""
    return ("a whole number" if "integer" in schema["type"] else "a number") + _limits(schema)


def _limits(schema: Mapping[str, Any]) -> str:
    if {"minimum", "maximum"} <= schema.keys():
        return f" from {schema['minimum']} to {schema['maximum']}"
    limits = [form.format(schema[name]) for name, form in _LIMITS.items() if name in schema]
    return f" {' and '.join(limits)}" if limits else ""


def to_yaml(settings: Settings) -> str:
    """Every setting as flat YAML, a comment before each section; reads back to equal settings."""
    parts = ["# All settings of one experiment, defaults included."]
    for name, section in sections().items():
        values = getattr(settings, name).model_dump(mode="json")
        lines = [f"{key}: {written_value(value)}" for key, value in values.items()]
        parts.append("\n".join([f"# {_summary(section)}", *lines]))
    return "\n\n".join(parts) + "\n"


def _summary(section: type[Section]) -> str:
    return str(section.__doc__).partition("\n")[0]


def json_schema() -> dict[str, Any]:
    """JSON schema, draft 7, of a settings file, for editors. Numbers are let through where text may look like one."""
    properties = {key: _for_editors(key) for key in field_schemas()}
    for alias, key in fedpilot_keys.ALIASES.items():
        properties[alias] = {**properties[key], "description": f"FedPilot's name of {key}."}
    for key in sorted(fedpilot_keys.KEYS - properties.keys()):
        properties[key] = {"description": "FedPilot's; has no counterpart in fedchunk and may only be off or neutral."}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "fedchunk experiment",
        "type": ["object", "null"],
        "properties": properties,
        "additionalProperties": False,
    }


def _for_editors(key: str) -> dict[str, Any]:
    """As it stands in a file: ``data_distribution_kind: 20`` without quotes is as good as ``"20"``."""
    schema = {name: value for name, value in field_schemas()[key].items() if name != "in_words"}
    if (kind := component_of(key)) is not None:
        return _component_for_editors(key, kind, schema)
    spelt = fedpilot_keys.SPELLINGS.get(key, {})
    if (words := schema.get("enum")) and "number" in kinds(key):
        limits = {name: schema.pop(name) for name in _LIMITS if name in schema}
        del schema["enum"], schema["type"]
        schema["anyOf"] = [{"enum": words}, {"type": "number", **limits}]
    elif words:
        schema["enum"] = [*words, *spelt, *(int(word) for word in choices(key) if word.isdigit())]
        del schema["type"]
    elif schema["type"] == "string":
        schema["type"] = ["string", "number"]
    if key in fedpilot_keys.NULL_IS_DEFAULT:
        if "enum" in schema:
            schema["enum"].append(None)
        else:
            schema["type"] = [schema["type"], "null"]
    return schema


def _component_for_editors(key: str, kind: Kind, schema: dict[str, Any]) -> dict[str, Any]:
    """Names with a line of help each, or a place."""
    names = [{"const": name, "description": help_of(kind, name)} for name in builtin_names(kind)]
    spelt = [{"const": word} for word in fedpilot_keys.SPELLINGS.get(key, {})]
    numbers = [{"const": int(name)} for name in builtin_names(kind) if name.isdigit()]
    place = {"type": "string", "description": "An entry point's name, or a place such as ./mine.py:name."}
    one = {"anyOf": [*names, *spelt, *numbers, place]}
    types = kinds(key)
    alternatives = [{"type": "array", "items": one}] if kind.many else list(one["anyOf"])
    if "array" in types and not kind.many:
        alternatives.append({"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}})
    if "null" in types or key in fedpilot_keys.NULL_IS_DEFAULT:
        alternatives.append({"type": "null"})
    return {"anyOf": alternatives, "default": schema.get("default"), "description": schema["description"]}
