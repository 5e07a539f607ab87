"""Components as values that travel, and ready to be called: built in and the user's alike.

    settings ("./mine.py:TinyNet") --find--> Component (pickled code, place, SHA-256) --bind--> Bound (to be called)

:mod:`component_source` finds what is not built in.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from fedchunk.orchestrator import registry
from fedchunk.orchestrator.core.errors import ComponentFailed, FedchunkError
from fedchunk.orchestrator.registry import Kind, Signature


@dataclass(frozen=True)
class Component:
    """A component of a user, with its code."""

    kind: str
    name: str
    """As it stands in the settings."""
    file: str
    """Where its source is; empty where Python does not know."""
    line: int
    sha256: str
    """Of its source, and of the files beside it that it imports."""
    signature: Signature
    pickled: bytes = field(compare=False)
    """Equal sources need not give equal bytes."""
    files: tuple[tuple[str, str], ...] = ()
    """Name and text of its file and of those beside it that it imports, to be kept with the run."""

    @property
    def where(self) -> str:
        """File and line, for people."""
        return f"{self.file}:{self.line}" if self.file else ""

    def load(self) -> Callable[..., Any]:
        """The function or class itself, once a process."""
        return _unpickled(self.pickled)


@lru_cache(maxsize=64)
def _unpickled(code: bytes) -> Callable[..., Any]:
    import pickle  # only where somebody brings something

    loaded: Callable[..., Any] = pickle.loads(code)
    return loaded


@dataclass(frozen=True)
class Components:
    """What the settings' names stand for, where that is not built in."""

    own: tuple[Component, ...] = ()

    def get(self, kind: Kind, name: str) -> Component | None:
        """The user's component of this name; None if there is none."""
        return next((one for one in self.own if one.kind == kind.name and one.name == name), None)

    def signature(self, kind: Kind, name: str) -> Signature:
        """What a component asks for; nothing is imported."""
        own = self.get(kind, name)
        return own.signature if own else registry.builtin_signature(kind, _builtin(kind, name))

    def bind(self, kind: Kind, name: str, options: Mapping[str, Any] | None = None) -> Bound:
        """The component, ready to be called. Nothing ever takes the place of one that is not there."""
        own = self.get(kind, name)
        if own is not None:
            return Bound(kind, name, own.load(), own.signature, options or {}, own.where or own.name)
        name = _builtin(kind, name)
        function = registry.load_builtin(kind, name)
        return Bound(kind, name, function, registry.builtin_signature(kind, name), options or {}, "")

    @cached_property
    def described(self) -> dict[str, dict[str, str]]:
        """What the records say of them: setting (and name, where a setting has several) -> name, place, SHA-256."""
        return {
            registry.KINDS[one.kind].key + (f".{one.name}" if registry.KINDS[one.kind].many else ""): {
                "name": one.name,
                "place": one.where,
                "sha256": one.sha256,
            }
            for one in self.own
        }


def _builtin(kind: Kind, name: str) -> str:
    spelled = registry.spelling(kind, name)
    if spelled is None:
        reason = "is not built in, and its code did not come with the settings; load them with fedchunk, from a file"
        raise ComponentFailed(kind.key, name, "", reason)
    return spelled


class Bound:
    """A component with its options, which is called with what it asks for.

    What a user's component raises becomes a :class:`ComponentFailed` that names file and line.

    Attributes:
        asks: what it asks for. Nobody need work out what is not in here.
        is_own: whether it is the user's.
    """

    def __init__(
        self,
        kind: Kind,
        name: str,
        function: Callable[..., Any],
        signature: Signature,
        options: Mapping[str, Any],
        where: str,
    ) -> None:
        """``where`` is empty for a built-in."""
        self.name = name
        self.asks = tuple(asked for asked in signature.names if asked in kind.on_offer)
        self.is_own = bool(where)
        self.function = function
        self.help = signature.help
        self._kind, self._options, self._where = kind, dict(options), where

    @property
    def short_name(self) -> str:
        """The name without its place."""
        return self.name.rpartition(":")[2]

    def __call__(self, **offered: Any) -> Any:
        """Calls it with those of ``offered`` that it asks for, and with its options."""
        arguments = {name: offered[name] for name in self.asks}
        if not self.is_own and not self._options:
            return self.function(**arguments)
        if not self.is_own:
            with self.named():  # an option may be out of range
                return self.function(**arguments, **self._options)
        arguments = {name: _protected(value) for name, value in arguments.items()}
        with self.named():
            return self.function(**arguments, **self._options)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Inside, what goes wrong is said with the component's name, file and line."""
        try:
            yield
        except FedchunkError:
            raise
        except Exception as error:
            raise self.failed(f"{type(error).__name__}: {error}", _line_of(error, self._where)) from error

    def failed(self, reason: str, where: str = "") -> ComponentFailed:
        """An error that says what is wrong with what it gave back."""
        return ComponentFailed(self._kind.key, self.name, where or self._where, reason)


def _protected(value: Any) -> Any:
    """Arrays as views that cannot be written into: what a user's code is shown is not its own."""
    if type(value).__name__ == "ndarray" and hasattr(value, "flags"):
        view = value.view()
        view.flags.writeable = False
        return view
    return value


def _line_of(error: BaseException, where: str) -> str:
    """The innermost line of the component's own file that an error came through."""
    file = where.rpartition(":")[0]
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{file}:{lines[-1]}" if lines else where
