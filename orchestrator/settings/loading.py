"""Settings from a file and the command line: all faults at once, each with its place.

    text --yaml_source--> entries --fedpilot_keys--> known entries --settings--> Settings, checked as a whole

No torch, ray or mlflow on this path: ``fedchunk validate`` answers at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from fedchunk.orchestrator.components import Components
from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.registry import is_known
from fedchunk.orchestrator.settings import fedpilot_keys
from fedchunk.orchestrator.settings.component_loading import find_components, from_objects
from fedchunk.orchestrator.settings.fault_texts import hint, shorten, shown, unknown
from fedchunk.orchestrator.settings.rules import Remark, contradictions, without_effect
from fedchunk.orchestrator.settings.schema import (
    allowed_values,
    component_of,
    json_schema,
    known_keys,
    sections,
    takes_text,
    to_yaml,
)
from fedchunk.orchestrator.settings.sections import Section
from fedchunk.orchestrator.settings.whole import Settings
from fedchunk.orchestrator.settings.yaml_source import MAX_BYTES, TOO_LONG, Entry, read_document, read_override

__all__ = ["Loaded", "json_schema", "load", "parse", "to_yaml"]


@dataclass(frozen=True)
class Loaded:
    """Settings that are right, and what is worth saying about them."""

    settings: Settings
    notices: tuple[str, ...]
    """Accepted but without effect, or rarely meant; each with its place, as a fault would print."""


def load(path: str | Path, overrides: Sequence[str] = (), objects: Mapping[str, Any] = MappingProxyType({})) -> Loaded:
    """Settings of a YAML file, with the code of the components that it names.

    Args:
        path: the file. Places such as ``./mine.py:Net`` count from its folder.
        overrides: ``key=value`` from the command line; they win over the file, and the last over the others. Places in
            them count from the current folder.
        objects: values that win over both, as Python has them: also functions and classes, where names of components
            stand.

    Raises:
        ConfigError: with everything that is wrong, in the file and on the command line.
    """
    return parse(_read_text(path), str(path), overrides, objects)


def _read_text(path: str | Path) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([Fault(str(path), "", f"cannot be read: {error.strerror or error}")]) from None
    if len(content) > MAX_BYTES:
        raise ConfigError([Fault(f"{path}:1:1", "", TOO_LONG)])
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        message = f"the byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise ConfigError([Fault(f"{path}:{line}:{column}", "", message)]) from None


def parse(
    text: str, name: str, overrides: Sequence[str] = (), objects: Mapping[str, Any] = MappingProxyType({})
) -> Loaded:
    """Settings of YAML text; ``name`` stands for the file in places. See :func:`load`."""
    written, faults = read_document(text, name)
    entries, double_faults = _by_setting(written)
    empty = not written and not faults
    notices = [Fault(name, "", "holds no settings; every setting has its default")] if empty else []
    overriding, override_faults, override_notices = _overriding(overrides)
    entries |= overriding
    given, handed_over, object_faults = from_objects(objects)
    entries |= given
    faults += double_faults + override_faults + object_faults
    notices += override_notices
    unreadable = bool(faults)
    values, foreign_faults, foreign_notices = _without_foreign(entries)
    folders = {key: Path.cwd() for key in overriding | given}
    code = find_components(values, folders, Path(name).parent, handed_over)
    found = {key: entry for key, entry in values.items() if key not in code.broken}
    settings, value_faults, clashes = _settings(found, code.components)
    clashes = [clash for clash in clashes if not code.broken & set(clash.keys)]
    faults += foreign_faults + value_faults + code.faults
    # What could not be read might have resolved the contradiction: it is not told then.
    faults += [] if unreadable else [_at(clash, entries) for clash in clashes]
    if faults:
        raise ConfigError(sorted(faults, key=_by_place))
    notices += foreign_notices + [_at(remark, entries) for remark in without_effect(settings)]
    return Loaded(settings, tuple(str(notice) for notice in notices))


def _by_setting(written: Sequence[Entry]) -> tuple[dict[str, Entry], list[Fault]]:
    """Entries by the setting's own name; values under both of its names are a fault that names both places."""
    entries: dict[str, Entry] = {}
    faults = []
    for entry in written:
        key = fedpilot_keys.ALIASES.get(entry.key, entry.key)
        first = entries.get(key)
        if first is None or first.value is None:  # FedPilot's template leaves one of two names null
            entries[key] = entry
        elif entry.value is not None:
            faults.append(Fault(entry.where, entry.key, f"set twice, as {first.key} at {first.where}; keep one"))
    return entries, faults


def _overriding(overrides: Sequence[str]) -> tuple[dict[str, Entry], list[Fault], list[Fault]]:
    """The command line's entries, faults and notices; of two for one setting the last counts, and it is said."""
    entries: dict[str, Entry] = {}
    faults, notices = [], []
    for override in overrides:
        given, override_faults = read_override(override)
        faults += override_faults
        for key, entry in _by_setting(given)[0].items():
            if key in entries:
                notices.append(Fault(entry.where, key, f"set twice; this one counts, not {entries[key].where}"))
            entries[key] = entry
    return entries, faults, notices


def _without_foreign(entries: dict[str, Entry]) -> tuple[dict[str, Entry], list[Fault], list[Fault]]:
    """The entries that are settings of fedchunk; faults and notices about the others."""
    known: dict[str, Entry] = {}
    faults, notices, ignored = [], [], []
    values = {key: entry.value for key, entry in entries.items()}
    for key, entry in entries.items():
        if key in known_keys() and not fedpilot_keys.is_foreign(key, entry.value):
            if entry.value is None and key in fedpilot_keys.NULL_IS_DEFAULT:
                notices.append(Fault(entry.where, entry.key, "null; its default is used"))
            else:
                known[key] = entry
        elif key not in fedpilot_keys.KEYS:
            faults.append(Fault(entry.where, shorten(key), unknown(key)))
        elif (feature := fedpilot_keys.asks_for(key, entry.value, values)) is not None:
            message = f"got {shown(entry.value)}, but fedchunk does not support {feature}; remove this line"
            faults.append(Fault(entry.where, key, message))
        else:
            ignored.append(entry)
    if ignored:
        names = ", ".join(entry.key for entry in ignored)
        notices.append(Fault(ignored[0].where, names, "FedPilot's; no counterpart in fedchunk, ignored"))
    return known, faults, notices


def _settings(entries: dict[str, Entry], components: Components) -> tuple[Settings, list[Fault], list[Remark]]:
    """Settings, the fields' faults, and contradictions. Where there are any, the settings are not for use."""
    values = {key: _meant(key, entry) for key, entry in entries.items()}
    wrong = _wrong_fields(values)
    faults = [_field_fault(key, entry) for key, entry in entries.items() if key in wrong]
    right = {key: value for key, value in values.items() if key not in wrong}
    parts = {name: section.model_validate(_of(section, right)) for name, section in sections().items()}
    # Its parts are checked; to have pydantic do it once more for the whole takes longer than all else.
    whole: Settings = Settings.model_construct(**{**parts, "components": components})  # type: ignore[arg-type]
    # A default that stands in for a wrong value cannot contradict anything.
    clashes = [clash for clash in contradictions(whole) if not wrong & set(clash.keys)]
    return whole, faults, clashes


def _wrong_fields(values: dict[str, Any]) -> set[str]:
    """The settings whose own type or range is not kept."""
    wrong: set[str] = set()
    for section in sections().values():
        try:
            section.model_validate(_of(section, values))
        except ValidationError as error:
            wrong |= {str(detail["loc"][0]) for detail in error.errors(include_url=False, include_input=False)}
    return wrong


def _of(section: type[Section], values: dict[str, Any]) -> dict[str, Any]:
    return {key: values[key] for key in section.model_fields.keys() & values.keys()}


def _meant(key: str, entry: Entry) -> Any:
    """The value in fedchunk's spelling; text that looks like a number is text where text is wanted."""
    value = entry.value
    if isinstance(value, int | float) and not isinstance(value, bool) and takes_text(key):
        return entry.written or str(value)
    if isinstance(value, str):
        spelt = {word.lower(): meant for word, meant in fedpilot_keys.SPELLINGS.get(key, {}).items()}
        return spelt.get(value.lower(), value)
    return value


def _field_fault(key: str, entry: Entry) -> Fault:
    parts = (f"got {shown(_wrong_part(key, entry.value))}", f"allowed: {allowed_values(key)}", hint(key, entry.value))
    return Fault(entry.where, entry.key, "; ".join(part for part in parts if part))


def _wrong_part(key: str, value: Any) -> Any:
    """Of a list of names the first that names nothing; else the whole value."""
    kind = component_of(key)
    if kind is None or not isinstance(value, list):
        return value
    return next((one for one in value if not (isinstance(one, str) and is_known(kind, one))), value)


def _at(remark: Remark, entries: dict[str, Entry]) -> Fault:
    """A remark at the first of its settings that the user wrote."""
    entry = next(entries[key] for key in remark.keys if key in entries)
    message = remark.message if entry.key == remark.keys[0] else f"{remark.keys[0]} {remark.message}"
    return Fault(entry.where, entry.key, message)


def _by_place(fault: Fault) -> tuple[bool, int, int]:
    """Sorts faults of the file by line and column, before those of the command line."""
    *_, line, column = ("", "", *fault.where.rsplit(":", 2))
    in_file = line.isdecimal() and column.isdecimal()
    return (not in_file, int(line), int(column)) if in_file else (True, 0, 0)
