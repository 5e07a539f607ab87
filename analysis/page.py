"""A plain HTML page without links to anywhere. Whatever comes in as text is escaped here and nowhere else."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from fedchunk.analysis.text import number_text

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2733; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid #d9dfe5; }
img { max-width: 100%; height: auto; }
.scroll { overflow: auto; max-height: 32rem; }
table { border-collapse: collapse; font-size: .85rem; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #edf0f3; white-space: nowrap; }
th { position: sticky; top: 0; background: #f4f6f8; font-weight: 600; }
th:first-child, td:first-child { text-align: left; }
pre { background: #f7f8fa; padding: .8rem 1rem; overflow: auto; max-height: 32rem; font-size: .8rem; }
"""


@dataclass(frozen=True)
class Section:
    """A headed part of the page; ``body`` is HTML that was made here."""

    title: str
    body: str


def page(title: str, sections: Sequence[Section]) -> str:
    """The whole document."""
    parts = "\n".join(f"<section><h2>{escape(part.title)}</h2>\n{part.body}</section>" for part in sections)
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    body = f"<h1>{escape(title)}</h1>\n{parts}"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Headers and rows; a header row of empty names is left out."""
    head = "".join(f"<th>{escape(name)}</th>" for name in headers) if any(headers) else ""
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(number_text(value))}</td>" for value in row) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>'


def preformatted(text: str) -> str:
    """Text as it is, in columns."""
    return f"<pre>{escape(text)}</pre>"


def image(path: Path, title: str) -> str:
    """A PNG file, inside the page."""
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{escape(title)}" src="data:image/png;base64,{data}">'
