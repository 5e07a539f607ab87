"""How a run begins in its store: at the first moment at which the store answers, and once.

<run>/mlflow/begin.json     all that the store must be told of the run, kept until it knows
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from fedchunk.orchestrator.core.errors import RecordsError
from fedchunk.orchestrator.recording.atomic import write_text_atomically
from fedchunk.orchestrator.tracking.description import RunDescription
from fedchunk.orchestrator.tracking.spool import FOLDER


@dataclass(frozen=True)
class Beginning:
    """What a run is created with."""

    experiment: str
    begun_ms: int
    """When it began, milliseconds since 1970."""
    description: RunDescription
    uid: str
    """Ours: by it a run is found again that was created, but whose id did not come back."""

    @classmethod
    def of(cls, experiment: str, begun_ms: int, description: RunDescription) -> Beginning:
        """A run that nobody knows yet."""
        return cls(experiment, begun_ms, description, uuid.uuid4().hex)

    @classmethod
    def load(cls, run_path: Path) -> Beginning:
        """Of a run's folder. Raises RecordsError."""
        file = _file(run_path)
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            return cls(**{**values, "description": RunDescription(**values["description"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RecordsError(
                f"{file} cannot be read ({error}); it is needed to begin the run in MLflow, which does not know it yet"
            ) from error

    def save(self, run_path: Path) -> None:
        """Raises OSError."""
        write_text_atomically(_file(run_path), json.dumps(asdict(self)) + "\n")


def _file(run_path: Path) -> Path:
    return run_path / FOLDER / "begin.json"
