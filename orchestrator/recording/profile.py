"""Records where the time of the rounds went, as a table and as a trace."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from fedchunk.orchestrator.contract.messages import ModelSpec, ModelState, RoundResult
from fedchunk.orchestrator.contract.ports import FederationInfo, RunSummary
from fedchunk.orchestrator.recording import table_files
from fedchunk.orchestrator.recording.atomic import write_atomically
from fedchunk.orchestrator.recording.timeline import Timeline
from fedchunk.orchestrator.recording.trace import write_trace

logger = logging.getLogger(__name__)

TRACE = "trace.json"
"""The trace's name in a run's folder."""


class ProfileRecorder:
    """Writes ``tables/profile.parquet`` and ``trace.json`` (an :class:`fedchunk.orchestrator.contract.ports.Recorder`).

    At the end only: of a run that is killed the profile is lost, and nothing else.
    """

    def __init__(self, run_path: Path) -> None:
        self._path = run_path
        self._timeline = Timeline()

    def start(self, info: FederationInfo) -> None:
        """Nothing is known yet."""

    def record_rounds(self, results: Sequence[RoundResult]) -> None:
        """Keeps the rounds' spans in memory."""
        for result in results:
            self._timeline.add(result.round_index, result.spans)

    def finish(self, summary: RunSummary, spec: ModelSpec | None, model: ModelState | None) -> None:
        """Writes both files, whole or not at all; none where no round ended."""
        table = self._timeline.table()
        if not table.num_rows:
            return
        try:
            table_files.write_table(self._path / "tables", "profile", table)
            write_atomically(self._path / TRACE, lambda temporary: write_trace(table, temporary))
        except (OSError, pa.ArrowException) as error:
            logger.warning("%s: the profile could not be written (%s). The results are not touched.", self._path, error)
