"""What settings must know of a task: facts in capitals, of a built-in read from its file without importing it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from fedchunk.orchestrator.components import Components
from fedchunk.orchestrator.registry import KINDS, constants


@dataclass(frozen=True)
class TaskFacts:
    """See :class:`fedchunk.Task`, whose attributes these are."""

    name: str
    loss: str = ""
    metrics: tuple[str, ...] = ()
    target_metric: str = "loss"
    targets: str = ""
    one_label: bool = False
    per_token: bool = False

    @property
    def has_accuracy(self) -> bool:
        """Whether the answer to a sample is one label, right or wrong."""
        return self.one_label and self.targets == "labels"

    @property
    def data_targets(self) -> str:
        """What a data set has for each sample: a label (``labels``), the next ``tokens``, numbers (``values``) or
        ``flags``; empty where only a user's task knows."""
        if self.one_label:
            return "labels"
        if self.targets == "labels":
            return "tokens" if self.per_token else ""
        return self.targets


def task_facts(components: Components, name: str) -> TaskFacts:
    """Of the task of this name: from a built-in's file, or from a user's class."""
    kind = KINDS["task"]
    own = components.get(kind, name)
    known: Any = constants(kind, name) if own is None else _attributes(own.load())
    named = [one.name for one in fields(TaskFacts) if one.name != "name"]
    found = {one: known[one.upper()] for one in named if one.upper() in known}
    return TaskFacts(name.rpartition(":")[2] if own else name, **found)


def _attributes(task: Any) -> dict[str, Any]:
    return {name: getattr(task, name) for name in dir(task) if name.isupper()}
