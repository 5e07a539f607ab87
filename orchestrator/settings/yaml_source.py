"""Reads settings from YAML text, with places. The only reader of YAML, and it makes nothing but plain values.

PyYAML follows YAML 1.1, where ``yes`` is true, ``1e-3`` is text and ``12:30:45`` is 45045, and where the last of two
equal keys wins in silence. So libyaml only cuts the text into events here; values follow the core schema of YAML 1.2.2
(https://yaml.org/spec/1.2.2/#103-core-schema), and tags, anchors and equal keys are faults. Nothing is ever constructed
from a tag, and the caps keep a hostile file as cheap as an honest one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from fedchunk.orchestrator.core.errors import Fault
from fedchunk.orchestrator.core.masking import mask_uri

MAX_BYTES = 2**20
"""Largest settings file, in bytes."""
TOO_LONG = f"more than {MAX_BYTES} bytes; settings are a few dozen lines"
"""What to say of a longer one."""
MAX_DEPTH = 16
"""Deepest nesting of lists and mappings."""
MAX_NODES = 5_000
"""Most keys, values and list items of one document."""
MAX_NUMBER_LENGTH = 100
"""Longer digits stay text: Python refuses to read thousands of them, and no setting needs them."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = yaml.reader.Reader.NON_PRINTABLE
_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED_INTEGER = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(frozen=True)
class Entry:
    """One setting as it was written."""

    key: str
    value: Any
    """None, bool, int, float, str, or lists and mappings of them."""
    written: str
    """The value as the user typed it; empty for a list or a mapping."""
    where: str
    """``file:line:column`` of the key, or the command-line override without an address's password."""


def read_document(text: str, name: str) -> tuple[list[Entry], list[Fault]]:
    """The top-level entries of one YAML document, and what is wrong with it; an empty document has no entries.

    Args:
        text: the whole document.
        name: the file's name, for places.

    Returns:
        Entries in the file's order (a key that stands twice: the first), and faults with places.
    """
    composer = _Composer(text, lambda line, column: f"{name}:{line}:{column}")
    composer.read(composer.document)
    return composer.entries, composer.faults


def read_override(override: str) -> tuple[list[Entry], list[Fault]]:
    """The entry of one ``key=value`` from the command line; the value is read as in a file."""
    key, equals, written = override.partition("=")
    where = mask_uri(override)
    if not equals or not key.strip():
        return [], [Fault(where, "", "an override is written key=value, without spaces around '='")]
    composer = _Composer(written, lambda line, column: where)
    composer.read(lambda: composer.entries.append(Entry(key.strip(), composer.root(), written, where)))
    return ([] if composer.faults else composer.entries), composer.faults


def plain_value(text: str) -> Any:
    """What an unquoted YAML scalar means in YAML 1.2's core schema: null, bool, int, float or text.

    Example:
        >>> [plain_value(text) for text in ("1e-3", "yes", "0o17", "12:30:45", "010")]
        [0.001, 'yes', 15, '12:30:45', 10]
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) > MAX_NUMBER_LENGTH:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _BASED_INTEGER.fullmatch(text):
        return int(text, base=0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


class _Stop(Exception):
    """Reading cannot go on after this fault."""

    def __init__(self, mark: Any, message: str) -> None:
        super().__init__(message)
        self.mark = mark


@dataclass
class _Composer:
    """Turns libyaml's events into entries; collects faults, and stops only where the text cannot be followed."""

    text: str
    place: Callable[[int, int], str]
    """Maps a line and a column, from 1, to a place."""
    entries: list[Entry] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    nodes: int = 0
    events: Iterator[Any] = field(default_factory=lambda: iter(()))

    def read(self, step: Callable[[], None]) -> None:
        """Runs ``step`` over the text's events; whatever the text holds ends as a fault."""
        try:
            self._check_text()
            self.events = yaml.parse(self.text, Loader=_LOADER)
            step()
        except _Stop as stop:
            self._fault(stop.mark, str(stop))
        except yaml.MarkedYAMLError as error:
            self._fault(error.problem_mark or error.context_mark, self._syntax(error))

    def _check_text(self) -> None:
        if len(self.text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
            raise _Stop(None, TOO_LONG)
        if odd := _UNPRINTABLE.search(self.text):
            before = self.text[: odd.start()]
            mark = yaml.Mark("", 0, before.count("\n"), len(before) - before.rfind("\n") - 1, None, 0)
            raise _Stop(mark, f"the character {odd.group()!a} is not allowed in YAML; remove it")

    def _syntax(self, error: yaml.MarkedYAMLError) -> str:
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        lines = self.text.splitlines()
        line = lines[error.problem_mark.line] if error.problem_mark and error.problem_mark.line < len(lines) else ""
        hint = "indent with spaces, not tabs" if "\t" in line else "write 'key: value', one to a line"
        return f"not valid YAML: {problem}; {hint}"

    def _fault(self, mark: Any, message: str, key: str = "") -> None:
        where = self.place(mark.line + 1, mark.column + 1) if mark else self.place(1, 1)
        self.faults.append(Fault(where, key, message))

    def root(self) -> Any:
        """The value of the only document; None if there is none."""
        next(self.events)
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return None
        value = self._node(next(self.events), 0)
        self._expect_end()
        return value

    def document(self) -> None:
        """Fills ``entries`` from the only document, which must be a mapping."""
        next(self.events)
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return
        event = next(self.events)
        if isinstance(event, yaml.MappingStartEvent):
            self._check_plain(event)
            self.entries.extend(self._pairs(0))
        elif not (isinstance(event, yaml.ScalarEvent) and event.value == "" and event.tag is None):
            raise _Stop(event.start_mark, f"settings are lines of 'key: value'; got {_kind(event)}")
        self._expect_end()

    def _expect_end(self) -> None:
        next(self.events)
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise _Stop(event.start_mark, "a second document; a settings file holds one experiment")

    def _pairs(self, depth: int) -> list[Entry]:
        """The pairs of a mapping up to its end; a key that stands twice is a fault that names both lines."""
        lines: dict[str, int] = {}
        pairs: list[Entry] = []
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            mark, known = event.start_mark, len(self.faults)
            key = self._key(event, depth)
            value_event = next(self.events)
            value = self._node(value_event, depth + 1)
            if key is None:
                continue
            if key in lines:
                both = f"lines {lines[key]} and {mark.line + 1}"
                self._fault(mark, f"set twice, in {both}; keep one", key)
            elif len(self.faults) == known:
                written = value_event.value if isinstance(value_event, yaml.ScalarEvent) else ""
                pairs.append(Entry(key, value, written, self.place(mark.line + 1, mark.column + 1)))
            lines.setdefault(key, mark.line + 1)
        return pairs

    def _key(self, event: Any, depth: int) -> str | None:
        """A key as it is written (``yes`` and ``5`` are names like any other); None for what cannot be one."""
        self._node(event, depth + 1)
        if isinstance(event, yaml.ScalarEvent):
            return str(event.value)
        self._fault(event.start_mark, f"the name of a setting is one word; got {_kind(event)}")
        return None

    def _node(self, event: Any, depth: int) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _Stop(event.start_mark, f"more than {MAX_NODES} keys and values; settings are a few dozen lines")
        if depth > MAX_DEPTH:
            raise _Stop(event.start_mark, f"nested more than {MAX_DEPTH} deep; settings are flat")
        self._check_plain(event)
        if isinstance(event, yaml.ScalarEvent):
            return event.value if event.style else plain_value(event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(item := next(self.events), yaml.SequenceEndEvent):
                items.append(self._node(item, depth + 1))
            return items
        if isinstance(event, yaml.MappingStartEvent):
            return {pair.key: pair.value for pair in self._pairs(depth)}
        return None

    def _check_plain(self, event: Any) -> None:
        if event.anchor is not None:
            sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
            self._fault(
                event.start_mark,
                f"anchors and aliases are not used in settings; got {sign}{event.anchor}: write the value itself, "
                "or put it in quotes if it is text",
            )
        elif event.tag is not None:
            self._fault(event.start_mark, f"tags are not used in settings; got {event.tag}: remove it")


def _kind(event: Any) -> str:
    if isinstance(event, yaml.ScalarEvent):
        return f"the text {event.value[:40]!r}"
    kinds = {yaml.SequenceStartEvent: "a list", yaml.MappingStartEvent: "a mapping"}
    return kinds.get(type(event), "an alias")


def written_value(value: Any) -> str:
    """A setting's value as YAML that :func:`read_document` reads back: null, bool, int, float, text, list, mapping."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(written_value, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written_value(str(key))}: {written_value(part)}" for key, part in value.items()) + "}"
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", value) and isinstance(plain_value(value), str):
        return str(value)
    # Always quoted, never folded: one setting stays on one line.
    return yaml.safe_dump(value, default_style='"', allow_unicode=True, width=2 * MAX_BYTES).strip()
