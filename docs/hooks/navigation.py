"""Puts pages that ``mkdocs.yml`` does not name at the end of its last section. A hook of MkDocs.

So a new page needs no line there, and none can be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig


def named(nav: Any) -> Iterator[str]:
    """All pages of a navigation, which is lists in mappings in lists."""
    if isinstance(nav, str):
        yield nav
        return
    for part in nav.values() if isinstance(nav, dict) else nav:
        yield from named(part)


def with_all_pages(nav: list[dict[str, Any]], pages: list[str]) -> list[dict[str, Any]]:
    """The navigation with those of ``pages`` that it does not name behind its last section's.

    Example:
        >>> with_all_pages([{"Start": "a.md"}, {"More": ["b.md"]}], ["a.md", "b.md", "c.md"])
        [{'Start': 'a.md'}, {'More': ['b.md', 'c.md']}]
    """
    known = set(named(nav))
    ((title, last),) = nav[-1].items()
    return [*nav[:-1], {title: [*last, *(page for page in pages if page not in known)]}]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Before MkDocs looks for the pages."""
    assert config.nav is not None
    config.nav = with_all_pages(config.nav, sorted(path.name for path in Path(config.docs_dir).glob("*.md")))
    return config
