"""Forks: runs that go on from a checkpoint of another one with other settings, for the command line and for Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedchunk.orchestrator.core.errors import ConfigError, Fault, RecordsError
from fedchunk.orchestrator.run import Fork, Launch, OnRound, play
from fedchunk.orchestrator.settings.whole import Settings

if TYPE_CHECKING:
    from fedchunk.analysis.load import Run


def fork(
    run: Run | str | Path,
    at: int | None = None,
    *,
    output: str | Path | None = None,
    local: bool = False,
    on_round: OnRound | None = None,
    address: str | None = None,
    tracking_uri: str | None = None,
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Goes on from a checkpoint of a recorded run with other settings, as a run of its own, and returns it.

    The run itself stays as it is. The fork's tables begin with the rounds that both have in common; with nothing
    changed it has the bits of the run that went on.

    Args:
        run: the run, or its folder.
        at: the round after which the fork branches off, of which there must be a checkpoint; None: the newest.
        output: folder of the fork's results, new or empty; None: a new one below ``runs``.
        local: in this process, without Ray; the run may have been on Ray, and the other way round.
        on_round: told of each new round, as in :func:`fedchunk.run`.
        address: as in :func:`fedchunk.run`.
        tracking_uri: as in :func:`fedchunk.run`.
        progress: show a line for each round on standard error.
        settings: what is to change: all but what the state after that round does not fit.

    Raises:
        ConfigError: there is no such run or checkpoint, or a setting does not fit; the message says which do.
        FedchunkError: the fork failed.

    Example:
        >>> kinder = fedchunk.fork("runs/first", at=40, sensitivity_percentage=50)  # doctest: +SKIP
    """
    folder = Path(run) if isinstance(run, str | Path) else run.path
    whole, branch = to_fork(folder, at, (), settings)
    where = Path(output) if output is not None else None
    return play(whole, Launch(where, address, local, tracking_uri, fork=branch), on_round, progress)


def to_fork(run: Path, at: int | None, overrides: Sequence[str], objects: Mapping[str, Any]) -> tuple[Settings, Fork]:
    """The settings of a fork, and where it branches off. Raises ConfigError as :func:`fork` does."""
    from fedchunk.orchestrator.experiment import weights_sha256
    from fedchunk.orchestrator.forking import forked
    from fedchunk.orchestrator.recording.checkpoints import FOLDER, digest_of_checkpoint, newest_checkpoint
    from fedchunk.orchestrator.resuming import recorded

    parent = recorded(run)
    at = _round_of_checkpoint(run, at)
    found = forked(run, at, overrides, objects)
    snapshot = newest_checkpoint(run / FOLDER, at)
    if snapshot is None or snapshot.round_index != at:
        raise RecordsError(f"{run}: the checkpoint of round {at} is damaged; fork another round")
    model = snapshot.coordinator.get("weights")
    origin = {
        "run": str(run.resolve()),
        "round": at,
        "weights_sha256": weights_sha256(model) if model is not None else None,
        "checkpoint_sha256": digest_of_checkpoint(run / FOLDER, at),
        "mlflow_run_id": _mlflow_run(run),
        "before": dict(found.before),
    }
    if parent.get("forked_from"):
        origin["forked_from"] = parent["forked_from"]
    return found.settings, Fork(run, at, origin)


def _round_of_checkpoint(run: Path, at: int | None) -> int:
    """The round that is asked for, if there is a checkpoint of it; else the newest."""
    from fedchunk.orchestrator.recording.checkpoints import FOLDER, kept_rounds

    kept = kept_rounds(run / FOLDER)
    if not kept:
        message = "has no checkpoints; a run keeps some with checkpoint_interval=N checkpoints_to_keep=M"
        raise ConfigError([Fault(str(run), "", message)])
    if at is None:
        return kept[-1]
    if at not in kept:
        message = (
            f"got {at}; there are checkpoints of rounds {', '.join(map(str, kept))}. Which are kept, "
            "checkpoint_interval and checkpoints_to_keep of the run say"
        )
        raise ConfigError([Fault("--at", "", message)])
    return at


def _mlflow_run(run: Path) -> str | None:
    """What MLflow calls the run; None where it does not know of it."""
    from fedchunk.orchestrator.tracking.spool import StateFile

    try:
        return StateFile.open(run).state.run_id if StateFile.is_there(run) else None
    except RecordsError:
        return None
