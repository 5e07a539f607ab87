"""The code behind the names in settings: found, and checked against what its kind offers and what options it gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedchunk.orchestrator import registry
from fedchunk.orchestrator.components import Component, Components
from fedchunk.orchestrator.core.errors import Fault
from fedchunk.orchestrator.registry import KIND_OF_KEY, KINDS, Kind, Signature
from fedchunk.orchestrator.settings.fault_texts import shorten, shown
from fedchunk.orchestrator.settings.schema import field_schemas
from fedchunk.orchestrator.settings.yaml_source import Entry

IN_FORCE = {"score": "gradient", "policy": "fixed", "loss": "CrossEntropy"}
"""What null stands for where nothing else is said."""


@dataclass(frozen=True)
class Code:
    """The users' components that settings name, and what is wrong with them or with anybody's options."""

    components: Components
    faults: list[Fault]
    broken: frozenset[str]
    """Settings that name what is not there."""


def from_objects(objects: Mapping[str, Any]) -> tuple[dict[str, Entry], list[Component], list[Fault]]:
    """Entries for values that Python hands over; functions and classes become components, and their names the value."""
    entries: dict[str, Entry] = {}
    components: list[Component] = []
    faults: list[Fault] = []
    if objects:
        from fedchunk.orchestrator.component_source import NotFound  # only where somebody brings something
    for key, value in objects.items():
        plain: Any = value
        kind = KIND_OF_KEY.get(key)
        if kind is not None:
            try:
                found = [_handed_over(kind, one) for one in (value if _is_list(value) else [value])]
            except NotFound as error:
                faults.append(Fault(f"{key}={value!r}"[:120], key, str(error)))
                continue
            components += [one for one in found if isinstance(one, Component)]
            names = [one.name if isinstance(one, Component) else one for one in found]
            plain = names if _is_list(value) else names[0]
        elif isinstance(value, tuple):
            plain = list(value)
        elif isinstance(value, Path):
            plain = str(value)
        entries[key] = Entry(key, plain, "", f"{key}={value!r}"[:120])
    return entries, components, faults


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _handed_over(kind: Kind, value: Any) -> Any:
    from fedchunk.orchestrator.component_source import from_object

    return from_object(kind, value) if callable(value) else value


def find_components(
    entries: Mapping[str, Entry], folders: Mapping[str, Path], folder: Path, known: list[Component]
) -> Code:
    """Looks at all names of components.

    Args:
        entries: the settings as they were written.
        folders: from where the places of some settings count.
        folder: from where those of the others do.
        known: components that were handed over.
    """
    own = list(known)
    faults: list[Fault] = []
    for kind in KINDS.values():
        entry = entries.get(kind.key)
        for name in _names(kind, entry):
            if any(one.kind == kind.name and one.name == name for one in own):
                continue
            from fedchunk.orchestrator.component_source import NotFound, find

            try:
                assert entry is not None
                own.append(find(kind, name, folders.get(kind.key, folder)))
            except NotFound as error:
                assert entry is not None
                faults.append(Fault(entry.where, entry.key, f"got {shorten(repr(name))}: {error}"))
    components = Components(tuple(own))
    broken = frozenset(key for key in (fault.key for fault in faults))
    for kind in KINDS.values():
        if kind.key not in broken:
            faults += _option_faults(kind, entries, components)
    return Code(components, faults, broken)


def _names(kind: Kind, entry: Entry | None) -> Iterator[str]:
    """Names of a kind that are not built in."""
    if entry is None:
        return
    for value in entry.value if isinstance(entry.value, list) else [entry.value]:
        if isinstance(value, str) and registry.spelling(kind, value) is None and registry.is_known(kind, value):
            yield value


def _option_faults(kind: Kind, entries: Mapping[str, Entry], components: Components) -> Iterator[Fault]:
    """What a component asks for and cannot have, and options that it does not know."""
    entry, options_entry = entries.get(kind.key), entries.get(kind.options_key or "")
    options = options_entry.value if options_entry and isinstance(options_entry.value, dict) else {}
    if entry is None and options_entry is None:
        return
    default = field_schemas()[kind.key].get("default") if entry is None else entry.value
    names = default or IN_FORCE.get(kind.name)
    if options and options_entry is not None and isinstance(names, list) and not kind.many:
        yield Fault(options_entry.where, options_entry.key, f"{kind.key} is a list of rates, which has no options")
    for name in names if isinstance(names, list) else [names]:
        if not isinstance(name, str):
            continue
        own = components.get(kind, name)
        if own is None and registry.spelling(kind, name) is None:
            continue
        for key, message in registry.problems(kind, components.signature(kind, name), options, built_in=own is None):
            at = options_entry if key == kind.options_key and options_entry is not None else entry or options_entry
            assert at is not None
            where = f" ({own.where})" if own and own.where else ""
            yield Fault(at.where, at.key, f"{name}{where} {message}" if key == kind.key else message)
        if options_entry is not None:
            for message in _values_out_of_range(components.signature(kind, name), options):
                yield Fault(options_entry.where, options_entry.key, message)


def _values_out_of_range(signature: Signature, options: Mapping[str, Any]) -> Iterator[str]:
    if options:
        from fedchunk.orchestrator.settings.option_checks import allowed, fits  # only where there are any
    for name, value in options.items():
        type_name = signature.types.get(name, "")
        if not fits(type_name, value):
            yield f"{name}: got {shown(value)}; allowed: {allowed(type_name)}"
