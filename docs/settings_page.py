"""Writes ``docs/settings.md`` from what checks settings: ``python docs/settings_page.py``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fedchunk.orchestrator.registry import builtin_names, help_of
from fedchunk.orchestrator.settings import fedpilot_keys
from fedchunk.orchestrator.settings.schema import allowed_values, component_of, field_schemas, kinds, sections
from fedchunk.orchestrator.settings.section import Section

PAGE = Path(__file__).parent / "settings.md"

HEAD = """# Every setting

{count} settings in {sections} sections; a file has them flat, in any order, and none is needed. `docs/settings_page.py`
makes this page from what checks them, and a test compares; `fedchunk schema` gives the same to an editor. What may be
one's own is said in [extending.md](extending.md); which settings fit together, `fedchunk validate` finds out.
"""

FEDPILOT = """## FedPilot's names

A file of FedPilot works as it is. These are second names:

{aliases}

These have no counterpart here. They are let through where they ask for nothing, and refused otherwise: {foreign}.
"""


def settings_page() -> str:
    """The page: a section with a heading for each setting, then FedPilot's second names."""
    named = sections()
    count = sum(len(section.model_fields) for section in named.values())
    parts = [HEAD.format(count=count, sections=len(named))]
    for name, section in named.items():
        parts.append(f"## Section {name}\n\n{_first_line(section)}\n")
        parts += [_entry(key) for key in section.model_fields]
    aliases = "\n".join(f"- `{alias}` is [`{key}`](#{key})." for alias, key in fedpilot_keys.ALIASES.items())
    foreign = ", ".join(f"`{key}`" for key in sorted(fedpilot_keys.KEYS - field_schemas().keys()))
    return "\n".join([*parts, FEDPILOT.format(aliases=aliases, foreign=foreign)])


def _entry(key: str) -> str:
    """Heading, what it means, and type, default and allowed values."""
    schema = field_schemas()[key]
    default = f"`{json.dumps(schema.get('default', {}), ensure_ascii=False)}`"
    cells = " | ".join(_cell(text) for text in (_types(key), default, allowed_values(key)))
    texts = [_text(schema["description"]), *_second_names(key)]
    table = f"| type | default | allowed |\n| --- | --- | --- |\n| {cells} |\n"
    return f"### {key}\n\n{' '.join(texts)}\n\n{table}{_names(key)}"


def _types(key: str) -> str:
    known = {"object": "mapping", "array": "list", "string": "text", "boolean": "true or false"}
    words = [known.get(kind, kind) for kind in sorted(kinds(key)) if kind != "null"]
    return ", ".join(words) + (", or null" if "null" in kinds(key) else "")


def _second_names(key: str) -> Iterator[str]:
    """What FedPilot calls it, and how it spells its values."""
    aliases = [f"`{alias}`" for alias, name in fedpilot_keys.ALIASES.items() if name == key]
    if aliases:
        yield f"Also called {', '.join(aliases)}."
    if spelt := fedpilot_keys.SPELLINGS.get(key):
        yield f"Also spelt {', '.join(f'`{word}` for `{value}`' for word, value in spelt.items())}."
    if key in fedpilot_keys.NULL_IS_DEFAULT:
        yield "null is the default."


def _names(key: str) -> str:
    """What is built in of a kind of component, with a line each."""
    kind = component_of(key)
    if kind is None:
        return ""
    rows = "\n".join(f"| `{name}` | {_cell(_text(help_of(kind, name)))} |" for name in builtin_names(kind))
    return f"\n| built in | |\n| --- | --- |\n{rows}\n"


def _first_line(section: type[Section]) -> str:
    return str(section.__doc__).partition("\n")[0]


def _text(description: str) -> str:
    """A description says things as they are; Markdown would take some of their signs for its own."""
    return description.replace("\\", "\\\\").replace("*", "\\*").replace("<", "&lt;").replace("||", "&#124;&#124;")


def _cell(text: Any) -> str:
    return str(text).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(settings_page(), encoding="utf-8")
