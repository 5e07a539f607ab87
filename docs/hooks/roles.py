"""Docstrings as Griffe understands them: no roles of Sphinx, and examples by the name that it knows. Its extension."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|mod|meth|data|attr|exc|py:\w+):`(?P<name>[^`]+)`")


_EXAMPLE = re.compile(r"^(\s*)Example:$", re.MULTILINE)


def plain(text: str) -> str:
    """A docstring that is ready to be shown.

    Example:
        >>> plain("as :func:`~fedchunk.run.run` says")
        'as `run` says'
    """

    def shown(match: re.Match[str]) -> str:
        name = match["name"]
        return f"`{name.rpartition('.')[2] if name.startswith('~') else name}`"

    return _EXAMPLE.sub(r"\1Examples:", _ROLE.sub(shown, text))


class Roles(griffe.Extension):
    """Prepares every docstring."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = plain(obj.docstring.value)
