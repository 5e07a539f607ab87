"""Rules of the task: which losses, metrics, partitions and models suit its targets, and what a run is judged by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fedchunk.orchestrator.registry import KINDS, Kind, builtin_names, constants, is_place, spelling
from fedchunk.orchestrator.settings.rules.remark import Idle, Remark

if TYPE_CHECKING:
    from fedchunk.orchestrator.settings.joined import Sections

PER_TOKEN, PER_SAMPLE = "PER_TOKEN", "PER_SAMPLE"
"""Facts of a built-in model: that it answers at each place of a sample; that it can answer once for a sample as well,
which is what all others do."""


def contradictions(settings: Sections) -> Iterator[Remark]:
    """What cannot be meant, or cannot be run."""
    yield from _component_contradictions(settings)
    yield from _partition_contradictions(settings)
    yield from _model_contradictions(settings)
    yield from _target_contradictions(settings)
    yield from _stop_contradictions(settings)


def _component_contradictions(settings: Sections) -> Iterator[Remark]:
    """Losses and metrics that are made for other targets."""
    facts, loss = settings.task_facts, KINDS["loss"]
    name = settings.name_of(loss)
    if not name:
        yield Remark(("loss_function", "task"), f"is null, but the task {facts.name} names no loss: name one")
    elif not _suits(settings, loss, name):
        yield _unsuited(settings, ("loss_function", "task"), loss, name)
    metric = KINDS["metric"]
    for name in settings.tracking.metrics:
        if not _suits(settings, metric, name):
            yield _unsuited(settings, ("metrics", "task"), metric, name)


def _suits(settings: Sections, kind: Kind, name: str) -> bool:
    """Whether a component takes the targets of the task; of a user's, on either side, nothing is known."""
    targets = settings.task_facts.targets
    known = {} if settings.components.get(kind, name) else constants(kind, name)
    return not targets or targets in known.get("TARGETS", (targets,))


def _unsuited(settings: Sections, keys: tuple[str, ...], kind: Kind, name: str) -> Remark:
    allowed = ", ".join(one for one in builtin_names(kind) if _suits(settings, kind, one))
    task = settings.data.task
    message = f"got {name} with task {task}, whose targets it is not for; allowed here: {allowed}, or one of your own"
    return Remark(keys, message)


def _partition_contradictions(settings: Sections) -> Iterator[Remark]:
    kind, facts = KINDS["partition"], settings.task_facts
    if facts.one_label or not settings.constants("partition").get("BY_LABEL"):
        return
    others = [name for name in builtin_names(kind) if not constants(kind, name).get("BY_LABEL")]
    yield Remark(
        ("data_distribution_kind", "task"),
        f"got {settings.data.data_distribution_kind}, which goes by the label of each sample, with task "
        f"{settings.data.task}, where there is not one each; allowed here: {', '.join(others)}, or one of your own",
    )


def _model_contradictions(settings: Sections) -> Iterator[Remark]:
    kind, facts, name = KINDS["model"], settings.task_facts, settings.training.model_type
    is_own = settings.components.get(kind, name) is not None
    if is_own or not facts.targets or _answers(name, per_token=facts.per_token):
        return
    others = [one for one in builtin_names(kind) if _answers(one, per_token=facts.per_token)]
    what = "answers once for a sample" if facts.per_token else "answers at each place of a sample"
    allowed = ", ".join([*others, "one of your own"])
    message = f"got {name}, which {what}, with task {settings.data.task}; allowed here: {allowed}"
    yield Remark(("model_type", "task"), message)


def _answers(name: str, *, per_token: bool) -> bool:
    """Whether a built-in model answers at each place of a sample, or once for it."""
    facts = constants(KINDS["model"], name)
    return bool(facts.get(PER_TOKEN)) if per_token else not facts.get(PER_TOKEN) or bool(facts.get(PER_SAMPLE))


def _target_contradictions(settings: Sections) -> Iterator[Remark]:
    metric, federation, facts = KINDS["metric"], settings.federation, settings.task_facts
    target = settings.target.metric
    name = target.partition("/")[0]
    built_in = spelling(metric, name) is not None
    called = [one.rpartition(":")[2] if is_place(one) else one for one in settings.measured]
    if name not in (*called, *settings.measured) and not (built_in and facts.has_accuracy and name == "accuracy"):
        yield Remark(
            ("target_metric", "metrics", "task"),
            f"got {target}, which is not measured; allowed: {', '.join(builtin_names(metric))}, or one of metrics",
        )
    elif built_in and not _suits(settings, metric, name):
        yield _unsuited(settings, ("target_metric", "task"), metric, name)
    if not built_in and federation.target_direction is None:
        yield Remark(
            ("target_direction", "target_metric", "task"),
            f"is missing; of {target} only you know what is better: higher or lower",
        )


def _stop_contradictions(settings: Sections) -> Iterator[Remark]:
    federation, metric = settings.federation, settings.target.metric
    if federation.stop_avg_accuracy is not None and metric != "accuracy":
        yield Remark(
            ("stop_avg_accuracy", "target_metric", "task"),
            f"got {federation.stop_avg_accuracy:g}, but the run is judged by {metric}; use stop_target",
        )
    if federation.stop_avg_accuracy is not None and federation.stop_target is not None:
        yield Remark(("stop_target", "stop_avg_accuracy"), "got both, which say the same; remove one of them")


def idle(settings: Sections) -> Iterator[Idle]:
    """Settings that nothing reads as things are, with the reason."""
    if not settings.task_facts.has_accuracy:
        yield ("vectorize_clients",), f"with task {settings.data.task} clients are trained one by one"
