"""The sections of one experiment together, and the components that their names stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field, InstanceOf

from fedchunk.orchestrator.components import Bound, Components
from fedchunk.orchestrator.core.target import Target
from fedchunk.orchestrator.registry import KINDS, Kind, Signature, constants, is_place, spelling
from fedchunk.orchestrator.settings.running import RuntimeSettings, TrackingSettings
from fedchunk.orchestrator.settings.sections import (
    ChunkingSettings,
    DataSettings,
    FederationSettings,
    Section,
    TrainingSettings,
)
from fedchunk.orchestrator.settings.task_facts import TaskFacts, task_facts

TELL_LATER = ("error_feedback", "relay_tree")
"""Exchange rules in which ``downlink_sensitivity_percentage`` is in force."""


class Sections(Section):
    """The six sections of one experiment, each by itself right; :class:`~settings.whole.Settings` joins them."""

    chunking: ChunkingSettings = Field(default_factory=ChunkingSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    data: DataSettings = Field(default_factory=DataSettings)
    federation: FederationSettings = Field(default_factory=FederationSettings)
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    tracking: TrackingSettings = Field(default_factory=TrackingSettings)
    components: InstanceOf[Components] = Field(Components(), exclude=True, repr=False)
    """The code behind names that are not built in. Not a setting: it comes with them."""

    def flat(self) -> dict[str, Any]:
        """All fields by their flat names, as they stand in a file."""
        return {name: value for section in self.model_dump(mode="json").values() for name, value in section.items()}

    def name_of(self, kind: Kind) -> str:
        """The component in force of a kind that has one."""
        if kind.name == "score":
            return self.chunking.score
        if kind.name == "policy":
            return self.chunking.policy
        if kind.name == "loss":
            return self.training.loss_function or self.task_facts.loss
        value = self._value(kind.key)
        return value if isinstance(value, str) else "constant"

    def signature(self, kind: str) -> Signature:
        """What the component in force asks for; imports nothing."""
        return self.components.signature(KINDS[kind], self.name_of(KINDS[kind]))

    def changed(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of these settings that do not have their default."""
        return tuple(name for name in names if self._value(name) != self._default(name))

    def unread(self, kind: str) -> tuple[str, ...]:
        """Settings on offer to a kind that were changed, and for which its component in force does not ask."""
        changed = self.changed(KINDS[kind].settings)
        if not changed:
            return ()  # nobody's source need be looked at
        asked = self.signature(kind).names
        return tuple(key for key in changed if key not in asked)

    def constants(self, kind: str) -> Mapping[str, Any]:
        """The facts that a built-in component's file states in capitals; none of a user's. Imports nothing.

        A word that names a setting on offer stands for its value.
        """
        one, offered = KINDS[kind], self.on_offer(kind)
        name = self.name_of(one)
        known = {} if self.components.get(one, name) else constants(one, name)
        return {fact: _filled_in(value, offered) for fact, value in known.items()}

    @property
    def model_folder(self) -> str | None:
        """The folder that a built-in model is loaded from, as it is written; None of others."""
        option = self.constants("model").get("FOLDER_OPTION")
        return None if option is None else str(self.training.model_options[option])

    def bound(self, kind: str) -> Bound:
        """The component in force, with its options, ready to be called."""
        one = KINDS[kind]
        assert one.options_key is not None
        return self.components.bind(one, self.name_of(one), self._value(one.options_key))

    def all_bound(self, kind: str) -> tuple[Bound, ...]:
        """The components of a kind that may have several, in the order of the settings."""
        one = KINDS[kind]
        names = self.measured if kind == "metric" else self._value(one.key)
        return tuple(self.components.bind(one, name) for name in names)

    @property
    def task_facts(self) -> TaskFacts:
        """What the task says of losses, metrics, partitions and engines."""
        return task_facts(self.components, self.data.task)

    @property
    def measured(self) -> tuple[str, ...]:
        """The metrics that are measured: those of the task, of ``metrics``, and ``target_metric``; each once."""
        kind, facts = KINDS["metric"], self.task_facts
        target = spelling(kind, self.federation.target_metric or facts.target_metric)
        has_columns = facts.has_accuracy and target == "accuracy"
        wanted = (*facts.metrics, *self.tracking.metrics, *(() if target is None or has_columns else (target,)))
        return tuple(dict.fromkeys(wanted))

    @property
    def target(self) -> Target:
        """What the run is judged by."""
        metric = self.federation.target_metric or self.task_facts.target_metric
        metric = spelling(KINDS["metric"], metric) or (metric.rpartition(":")[2] if is_place(metric) else metric)
        direction = self.federation.target_direction
        return Target(metric, self.is_lower_better(metric) if direction is None else direction == "lower")

    def is_lower_better(self, metric: str) -> bool:
        """Whether a built-in metric says that less of it is better; of a user's nothing is known."""
        return bool(constants(KINDS["metric"], metric.partition("/")[0]).get("LOWER_IS_BETTER"))

    def target_record(self) -> dict[str, Any]:
        """The same for the records, with which way each built-in metric goes that is measured."""
        known = [name for name in ("accuracy", "loss", *self.measured) if spelling(KINDS["metric"], name) is not None]
        directions = {name: "lower" if self.is_lower_better(name) else "higher" for name in known}
        return {**self.target.recorded(), "directions": directions | {self.target.metric: self.target.better}}

    def method_facts(self) -> dict[str, Any]:
        """What is in force of the exchange, resolved: for the records, so that no reader need guess."""
        chunking = self.chunking
        if not chunking.chunking:
            names = dict.fromkeys(("score", "policy", "exchange_rule"))
            return {**names, "encoding": "float32", "full_exchange": True}
        return {
            "score": chunking.score,
            "policy": chunking.policy,
            "exchange_rule": chunking.chunk_reconstruction,
            "encoding": chunking.chunk_encoding,
            "full_exchange": self.sends_everything and chunking.chunk_encoding == "float32",
        }

    @property
    def sends_everything(self) -> bool:
        """Whether every chunk goes in every round, in both directions; how values are encoded is not asked."""
        chunking = self.chunking
        if not chunking.chunking:
            return True
        downlink = chunking.downlink_sensitivity_percentage
        return (
            chunking.policy == "fixed"
            and chunking.sensitivity_percentage == 100
            and chunking.sensitivity_budget_mb is None
            and (chunking.sensitivity_warmup_rounds == 0 or chunking.sensitivity_warmup_percentage == 100)
            and (downlink in (None, 100) or chunking.chunk_reconstruction not in TELL_LATER)
        )

    def on_offer(self, kind: str) -> dict[str, Any]:
        """The settings that a component of a kind may ask for."""
        return {key: self._value(key) for key in KINDS[kind].settings}

    def _value(self, key: str) -> Any:
        return getattr(self._section_of(key), key)

    def _default(self, key: str) -> Any:
        return type(self._section_of(key)).model_fields[key].get_default(call_default_factory=True)

    def _section_of(self, key: str) -> Section:
        for section in (self.chunking, self.training, self.data, self.federation, self.runtime, self.tracking):
            if key in type(section).model_fields:
                return section
        raise KeyError(key)


def _filled_in(value: Any, offered: Mapping[str, Any]) -> Any:
    if isinstance(value, tuple):
        return tuple(_filled_in(one, offered) for one in value)
    return offered.get(value, value) if isinstance(value, str) else value
