"""Where a report was written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Report:
    """Where the parts of a report are."""

    run: Path
    html: Path
    rounds_csv: Path
    clients_csv: Path
    figures: tuple[Path, ...]
    data: tuple[Path, ...]
    """The numbers behind the figures, as CSV."""

    def to_dict(self) -> dict[str, str | list[str]]:
        """The same as JSON's types."""
        named = {name: str(getattr(self, name)) for name in ("run", "html", "rounds_csv", "clients_csv")}
        listed = {name: [str(path) for path in getattr(self, name)] for name in ("figures", "data")}
        return {**named, **listed}

    def __str__(self) -> str:
        paths = (self.html, self.rounds_csv, self.clients_csv, *self.figures)
        numbers = [f"  {self.data[0].parent} ({len(self.data)} tables of the figures' numbers)"] if self.data else []
        return "\n".join([f"report of {self.run}:", *(f"  {path}" for path in paths), *numbers])
