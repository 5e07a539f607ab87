"""Figures as files. The same figure is the same bytes: no date, no random names, whatever its user has set up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fedchunk.analysis.mpl import Figure, own_style

FORMATS = ("pdf", "svg")
"""What figures can be written as beside PNG, for papers and slides: lines and letters stay sharp at any size."""

_UNDATED: Mapping[str, Mapping[str, None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}


def checked_formats(names: Sequence[str]) -> tuple[str, ...]:
    """The formats, in small letters and each once. Raises ValueError for one that there is not.

    Example:
        >>> checked_formats(["SVG", "pdf", "svg"])
        ('svg', 'pdf')
    """
    formats = tuple(dict.fromkeys(name.strip().lower() for name in names))
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or isinstance(names, str):
        got = names if isinstance(names, str) else unknown[0]
        raise ValueError(f"figures: got {got!r}; allowed: a list of {', '.join(FORMATS)}; PNG is always written")
    return formats


def save_all(figures: Mapping[str, Figure], folder: Path, formats: Sequence[str] = ()) -> tuple[Path, ...]:
    """Writes ``<name>.png`` of each figure into ``folder``, which is made if need be.

    Args:
        figures: by name.
        folder: where to write.
        formats: of :data:`FORMATS`; a figure's files of these follow its PNG.

    Returns:
        The files, figure by figure.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with own_style():
        for name, drawn in figures.items():
            for suffix in ("png", *formats):
                paths.append(folder / f"{name}.{suffix}")
                drawn.savefig(paths[-1], metadata=_UNDATED.get(suffix))
    return tuple(paths)


def pictures(figures: Sequence[Path]) -> tuple[Path, ...]:
    """Those that a page shows: the PNGs."""
    return tuple(path for path in figures if path.suffix == ".png")
