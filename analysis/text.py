"""Numbers and small tables as text for people."""

from __future__ import annotations

from collections.abc import Sequence

UNITS = ("kB", "MB", "GB", "TB", "PB")


def bytes_text(count: float) -> str:
    """``1234567`` as ``1.23 MB``; decimal units, as networks are billed."""
    if abs(count) < 1000:
        return f"{count:.0f} B"
    power = 0
    while abs(count) >= 999.5 and power < len(UNITS):
        count, power = count / 1000, power + 1
    return f"{count:.3g} {UNITS[power - 1]}"


def number_text(value: object) -> str:
    """A number in few digits; a dash for None; anything else as it is."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def list_text(numbers: Sequence[int], limit: int = 10) -> str:
    """``0, 1, 2, ... (40 in all)``: the first ``limit`` numbers of a list."""
    shown = ", ".join(map(str, numbers[:limit]))
    return shown if len(numbers) <= limit else f"{shown}, ... ({len(numbers)} in all)"


def table_text(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns of equal width, one line a row, headers first; the first column to the left, others to the right."""
    cells = [list(headers), *[[number_text(value) for value in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    )


def time_text(seconds: float) -> str:
    """``5400`` as ``1.5 h``: seconds, minutes, hours or days, in three digits."""
    for limit, unit, name in ((60, 1, "s"), (3600, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 86_400:.3g} d"
