"""Writes rounds.jsonl into the run's folder: one JSON object a round, for tail and for other programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from fedchunk.orchestrator.contract.messages import ModelSpec, ModelState, RoundResult
from fedchunk.orchestrator.contract.ports import FederationInfo, Recorder, RunSummary

FILE = "rounds.jsonl"


def jsonl(folder: Path) -> Recorder:
    """The recorder of a run's folder."""
    return JsonLines(folder / FILE)


class JsonLines:
    """Appends lines; each is the round's row of the ``rounds`` table, and its metrics by name."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def start(self, info: FederationInfo) -> None:
        """Makes the file."""
        self._path.touch()

    def record_rounds(self, results: Sequence[RoundResult]) -> None:
        """Adds a line for each round."""
        with self._path.open("a", encoding="utf-8") as file:
            for result in results:
                file.write(json.dumps(result.summary | {"metrics": _metrics(result)}) + "\n")

    def finish(self, summary: RunSummary, spec: ModelSpec | None, model: ModelState | None) -> None:
        """Nothing: every line is there."""


def _metrics(result: RoundResult) -> dict[str, float]:
    """Of the coordinator's model."""
    rows = result.tables["metrics"].to_pylist()
    return {row["name"]: row["value"] for row in rows if row["client"] is None}
