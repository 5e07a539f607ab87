"""The task of the settings, as data, training and evaluation use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from fedchunk.orchestrator.components import Bound
from fedchunk.orchestrator.learning.tasks._task import Answers, Task
from fedchunk.orchestrator.settings.joined import Sections
from fedchunk.orchestrator.settings.task_facts import TaskFacts

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TaskInForce:
    """A task with its facts. What a user's raises is said with its file and line."""

    bound: Bound
    task: Task
    facts: TaskFacts

    @classmethod
    def of(cls, settings: Sections) -> TaskInForce:
        """The task that the settings name. Raises ComponentFailed where a user's is none."""
        bound = settings.bound("task")
        task = bound()
        if not isinstance(task, Task):
            raise bound.failed(f"returned {type(task).__name__}, expected a fedchunk Task")
        return cls(bound, task, settings.task_facts)

    @property
    def is_plain(self) -> bool:
        """Whether losses get one label for each sample just as the data set has it: all that clients trained at once
        can be trained on."""
        return self.facts.has_accuracy and type(self.task).prepared is Task.prepared

    def targets(self, field: str, targets: NDArray[Any], samples: NDArray[Any]) -> NDArray[Any]:
        """As :meth:`Task.targets`."""
        with self._named():
            return self.task.targets(field, targets, samples)

    def num_outputs(
        self, given: int | None, targets: tuple[NDArray[Any], ...], samples: tuple[NDArray[Any], ...]
    ) -> int:
        """As :meth:`Task.num_outputs`."""
        with self._named():
            return self.task.num_outputs(given, targets, samples)

    def prepared(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`Task.prepared`."""
        if not self.bound.is_own:
            return self.task.prepared(outputs, targets)
        with self.bound.named():
            return self.task.prepared(outputs, targets)

    def answers(self, input_shape: tuple[int, ...], num_outputs: int) -> Answers:
        """As :meth:`Task.answers`."""
        with self._named():
            return self.task.answers(input_shape, num_outputs)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """A ValueError is what a task says of somebody else's data."""
        try:
            yield
        except ValueError:
            raise
        except Exception as error:
            if not self.bound.is_own:
                raise
            with self.bound.named():
                raise error
