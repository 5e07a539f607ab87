"""Makes pages link to files of the repository as they do on a code forge. A hook of MkDocs.

Pages lie in ``docs/`` and link to ``../examples/score.py``; the README links to ``docs/data.md``. What they reach so
becomes a part of the site: Markdown as it is, code and notebooks as pages, everything else as a file. Links are changed
only in what MkDocs reads, so a link that leads nowhere is found by its own strict check.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PAGES = "docs"
"""The folder of the pages, whose own place is the top of the site."""
ALWAYS = ("README.md", "CHANGELOG.md", "benchmarks/README.md", "examples/README.md")
"""Where the search for what belongs to the site begins, beside the pages."""
LANGUAGES = {".py": "python", ".yaml": "yaml", ".cff": "yaml"}
"""Code that becomes a page, and what it is."""

_LINK = re.compile(r"(?<=\]\()(?P<path>[^()\s#:]+)(?P<rest>(?:#[^()\s]*)?)(?=\))")
_FENCED = re.compile(r"^(?P<fence>```+).*?^(?P=fence)\s*?$", re.DOTALL | re.MULTILINE)


def place_in_site(path: str) -> str:
    """Where a file of the repository lies in the site's sources.

    Example:
        >>> place_in_site("docs/data.md"), place_in_site("README.md"), place_in_site("examples/score.py")
        ('data.md', 'README.md', 'examples/score.py.md')
    """
    inner = path.removeprefix(f"{PAGES}/")
    is_page = inner == path and Path(path).suffix in (*LANGUAGES, ".ipynb")
    return f"{inner}.md" if is_page else inner


def targets(markdown: str, path: str) -> Iterator[str]:
    """The files of the repository to which a page at ``path`` links."""
    for match in _LINK.finditer(_FENCED.sub("", markdown)):
        if target := _file(match["path"], path):
            yield target


def with_site_links(markdown: str, path: str) -> str:
    """The page at ``path`` with its links to files of the repository as the site needs them."""
    here = posixpath.dirname(place_in_site(path)) or "."

    def changed(match: re.Match[str]) -> str:
        target = _file(match["path"], path)
        return posixpath.relpath(place_in_site(target), here) + match["rest"] if target else match[0]

    pieces, end = [], 0
    for block in _FENCED.finditer(markdown):
        pieces += [_LINK.sub(changed, markdown[end : block.start()]), block[0]]
        end = block.end()
    return "".join([*pieces, _LINK.sub(changed, markdown[end:])])


def as_page(path: str, text: str) -> str:
    """A file of the repository as Markdown: code in a block, a notebook cell by cell."""
    if path.endswith(".ipynb"):
        return notebook_page(json.loads(text))
    if language := LANGUAGES.get(Path(path).suffix):
        return f"# {path}\n\n````{language}\n{text.rstrip()}\n````\n"
    return text


def notebook_page(notebook: Mapping[str, object]) -> str:
    """The cells of a notebook, which is kept without outputs, as Markdown."""
    cells = notebook["cells"]
    assert isinstance(cells, list)
    sources = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    return "\n\n".join(text if kind == "markdown" else f"````python\n{text}\n````" for kind, text in sources) + "\n"


def reached(pages: Mapping[str, str]) -> dict[str, str | None]:
    """What belongs to the site beside the pages: paths, with the text of those that become pages.

    Args:
        pages: the text of the site's own pages, by their path in the repository.
    """
    found: dict[str, str | None] = {}
    waiting = [*ALWAYS, *(target for path, text in pages.items() for target in targets(text, path))]
    while waiting:
        path = waiting.pop()
        if path in found or path.startswith(f"{PAGES}/"):
            continue
        is_page = place_in_site(path).endswith(".md")
        found[path] = as_page(path, (ROOT / path).read_text(encoding="utf-8")) if is_page else None
        waiting += targets(found[path] or "", path)
    return found


def _file(link: str, path: str) -> str | None:
    """The file of the repository that ``link`` of the page at ``path`` names; None if there is none."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
    return target if not target.startswith("..") and (ROOT / target).is_file() else None


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files of the repository that pages link to."""
    from mkdocs.structure.files import File

    own = {f"{PAGES}/{file.src_uri}": file.content_string for file in files.documentation_pages()}
    for path, text in reached(own).items():
        source = {"content": text} if text is not None else {"abs_src_path": str(ROOT / path)}
        file = File.generated(config, place_in_site(path), **source)
        file.edit_uri = path
        files.append(file)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Changes a page's links."""
    file = page.file
    path = file.edit_uri if file.generated_by and file.edit_uri else f"{PAGES}/{file.src_uri}"
    return with_site_links(markdown, path)
