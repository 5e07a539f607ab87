"""Docstrings name things as ``:func:`~a.b` ``; the API's pages show the name alone. An extension of Griffe."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|mod|meth|data|attr|exc|py:\w+):`(?P<name>[^`]+)`")


def plain(text: str) -> str:
    """Without roles.

    Example:
        >>> plain("as :func:`~fedchunk.run.run` says")
        'as `run` says'
    """

    def shown(match: re.Match[str]) -> str:
        name = match["name"]
        return f"`{name.rpartition('.')[2] if name.startswith('~') else name}`"

    return _ROLE.sub(shown, text)


class Roles(griffe.Extension):
    """Takes the roles out of every docstring."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = plain(obj.docstring.value)
