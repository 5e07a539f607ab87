"""The command ``fedchunk`` with client actors that note when they train first.

    python benchmarks/startup_run.py NOTES run CONFIG [key=value ...]

Nothing is imported earlier than the command would import it. Each actor adds two lines to the file NOTES, of its first
call to train: ``begins`` and ``ends``, with the clock (``time.monotonic``, which all processes of a machine share).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedchunk.orchestrator import cli, run

if TYPE_CHECKING:
    from fedchunk.actors.client.experiment_data import ExperimentData
    from fedchunk.actors.client.factory import ActorFactory
    from fedchunk.orchestrator.contract.ports import Federation, Observer
    from fedchunk.orchestrator.settings.whole import Settings


def noting(notes: Path) -> ActorFactory:
    """A factory of client actors as the command has them, but for the notes. Pickled by value: no module of ours."""

    def make(settings: Settings, device: str, data: ExperimentData) -> Any:
        import time

        from fedchunk.actors.client.factory import client_class

        def note(what: str) -> None:
            with notes.open("a") as file:
                file.write(f"{what} {time.monotonic()}\n")

        class Noting(client_class(settings)):  # type: ignore[misc] # which class it is, the settings say
            first = True

            def train_group(self, *arguments: Any) -> Any:
                if not self.first:
                    return super().train_group(*arguments)
                self.first = False
                note("begins")
                answer = super().train_group(*arguments)
                note("ends")
                return answer

        return Noting(settings, device, data)

    return make


def main() -> None:
    notes = Path(sys.argv.pop(1))

    def federation(settings: Settings, launch: run.Launch, observer: Observer) -> Federation:
        assert not launch.local
        from fedchunk.actors.backends.memory import uncollected

        with uncollected():
            from fedchunk.actors.backends.ray_backend import RayFederation
        return RayFederation(settings, launch.address, observer, noting(notes))

    run._federation = federation
    cli.app()


if __name__ == "__main__":
    main()
