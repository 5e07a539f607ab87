"""A recorder: told of every round. This one writes progress.csv into the run's folder, for a spreadsheet.

recorders: [./recorder.py:Progress]
"""

import csv


class Progress:
    """Made once a run; ``folder`` is the run's."""

    def __init__(self, folder):
        self._path = folder / "progress.csv"

    def start(self, info):
        """Before the first round; ``info`` describes model, data and actors. To raise here stops the run."""
        self._path.touch()

    def record_rounds(self, results):
        """Rounds that have ended, one or more. Each has its tables, and its row of ``rounds`` as ``summary``."""
        with self._path.open("a", newline="") as file:
            for row in (result.summary for result in results):
                csv.writer(file).writerow([row["round"], row["accuracy"], row["uplink_bytes"]])

    def finish(self, summary, spec, model):
        """After the last round, also of a run that failed; then ``model`` may be None."""
