"""One label for each sample: whole numbers from 0, (S,)."""

from __future__ import annotations

from fedchunk.orchestrator.learning.tasks._task import Task

LOSS = "CrossEntropy"
METRICS = ()
TARGET_METRIC = "accuracy"
TARGETS = "labels"
ONE_LABEL = True


class classification(Task):  # noqa: N801 - the name that it has in settings
    """The plain case. Outputs are (B, classes)."""
