"""Takes secrets out of what is about to be recorded. Everything that fedchunk writes about settings passes here.

Rather too much than too little: a masked word can be looked up where it was set, a published one cannot be taken back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"

# A tokenizer makes words of text, and is no secret.
_SECRET_WORDS = r"(?:token(?!iz)|passw(?:or)?d|passphrase|secret|api[_-]?key|access[_-]?key|credential|signature)"
_SECRET_NAME = re.compile(_SECRET_WORDS, re.IGNORECASE)
# Up to the last @: SQLAlchemy takes '/' and '@' in a password. A local path (sqlite:///...) has no user and stays.
_USER = re.compile(r"(?<=://)(?![/\s])[^\s'\"<>]*@")
_QUERY = re.compile(rf"([?&;][^=&;\s]*(?:{_SECRET_WORDS}|key|sig|auth|code)[^=&;\s]*=)[^&;\s'\"<>]+", re.IGNORECASE)
_KEY_LINE = re.compile(
    rf"^(\s*[\"']?[\w.-]*{_SECRET_WORDS}[\w.-]*[\"']?\s*[:=][ \t]*)(?!null\b)(\S.*)$", re.IGNORECASE | re.MULTILINE
)


def mask_uri(text: str) -> str:
    """``text`` without the user, password and secret query parameters of any address in it.

    Example:
        >>> mask_uri("https://me:hunter2@host:5000/x?token=abc&page=2")
        'https://***@host:5000/x?token=***&page=2'
    """
    return _QUERY.sub(rf"\g<1>{MASK}", _USER.sub(f"{MASK}@", text))


def mask_text(text: str) -> str:
    """A document of ``key: value`` lines with its addresses and the values of secret keys masked."""
    return _KEY_LINE.sub(rf"\g<1>{MASK}", mask_uri(text))


def mask_settings(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Flat settings with addresses and the values of keys that sound secret masked; None stays None."""
    return {key: _masked(key, value) for key, value in flat.items()}


def _masked(key: str, value: Any) -> Any:
    if value is None:
        return None
    if _SECRET_NAME.search(key):
        return MASK
    return mask_uri(value) if isinstance(value, str) else value
