"""fedchunk on its product path: ``RayFederation``, ``run_experiment``, and the run's folder as recorder."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from side import Job, Notes, parse_job

from fedchunk.actors.backends.ray_backend import RayFederation
from fedchunk.orchestrator.contract.messages import RoundResult
from fedchunk.orchestrator.experiment import run_experiment
from fedchunk.orchestrator.recording.run_folder import RunFolder
from fedchunk.orchestrator.settings import loading


class RoundEnds:
    """Notes when a round ended, after it was recorded."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def stage(self, name: str) -> None:
        """Not of interest here."""

    def clients_done(self, round_index: int, done: int, cohort: int) -> None:
        """Not of interest here."""

    def round_done(self, result: RoundResult) -> None:
        self._notes.round_done()


def run(job: Job) -> None:
    asked = [*job.options, f"number_of_actors={job.actors}", f"federated_learning_rounds={job.rounds}"]
    settings = loading.load(job.work_folder / "settings.yaml", asked).settings
    notes = Notes()
    observer = RoundEnds(notes)
    folder = Path(tempfile.mkdtemp(prefix="peers-run-"))
    try:
        recorder = RunFolder.create(folder, settings, loading.to_yaml(settings))
        with RayFederation(settings, None, observer) as federation:
            summary = run_experiment(federation, settings.federation, [recorder], observer)
            if summary.error is not None:
                raise RuntimeError(summary.error)
            weights_P = federation.final_model().weights_P
    finally:
        shutil.rmtree(folder)
    notes.write(job.result, weights_P, ("fedchunk", "ray", "torch", "numpy"))


if __name__ == "__main__":
    run(parse_job())
