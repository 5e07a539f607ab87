"""How a command plays a run and answers with how it ended."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fedchunk.orchestrator.commands.console import FAILED, INCOMPLETE, INTERRUPTED, OK, Answer
from fedchunk.orchestrator.core.masking import mask_uri
from fedchunk.orchestrator.settings.whole import Settings
from fedchunk.orchestrator.stopping import Stop
from fedchunk.orchestrator.tracking.uri import environment_uri, is_server, resolve_store

if TYPE_CHECKING:
    from fedchunk.orchestrator.run import Launch

EXIT_CODES = {"finished": OK, "failed": FAILED, "interrupted": INTERRUPTED}


def played(answer: Answer, stop: Stop, settings: Settings, launch: Launch) -> None:
    """Plays it with a line of progress; answer and exit code say how it ended."""
    from fedchunk.orchestrator.commands.progress import ProgressLine
    from fedchunk.orchestrator.run import execute

    stop.limit_s = settings.runtime.stop_timeout_s
    with ProgressLine(settings.federation.federated_learning_rounds, settings.target) as progress:
        stop.say = progress.stage
        ended = execute(settings, launch, progress, stop)
    from fedchunk.orchestrator.commands.run_summary import summary_dict, summary_text  # not at the start

    uri = launch.tracking_uri or settings.tracking.mlflow_tracking_uri or environment_uri()
    answer.give(
        summary_dict(ended.summary, ended.folder, ended.run_id),
        summary_text(
            ended.summary, ended.folder, ended.report, _how_to_open(uri) if ended.run_id else None, settings.target
        ),
    )
    if ended.summary.error is not None:
        print(ended.summary.error, file=sys.stderr)
    answer.exit_code = EXIT_CODES[ended.summary.status]
    if ended.summary.unwritten and answer.exit_code == OK:
        answer.exit_code = INCOMPLETE


def _how_to_open(uri: str | None) -> str:
    """What a user types to see the store, or the address of a server."""
    store = resolve_store(uri)
    if is_server(store):
        return mask_uri(store)
    return (
        "fedchunk ui" if store == resolve_store(environment_uri()) else f"fedchunk ui --tracking-uri {mask_uri(store)}"
    )
