"""A plan as text for people: decimal units, bounds beside full exchange, what the bounds mean."""

from __future__ import annotations

import textwrap

from fedchunk.orchestrator.commands.console import percent, size, table
from fedchunk.orchestrator.commands.plan import Plan
from fedchunk.orchestrator.commands.plan_messages import Bounds

WIDTH = 110
"""Columns of the notes."""


def plan_text(plan: Plan) -> str:
    """The whole answer of ``fedchunk plan``."""
    parts = [_head(plan), _traffic(plan), _notes(plan), _resources(plan)]
    return "\n\n".join(part for part in parts if part)


def _head(plan: Plan) -> str:
    few, many = plan.chunks_sent.low, plan.chunks_sent.high
    sent = f"{many}" if few == many else f"{few} to {many}"
    travels = "" if plan.encoding == "float32" else f", as {plan.encoding}"
    return (
        f"{plan.model}: {plan.parameters:,} parameters ({size(4 * plan.parameters)} as float32) in {plan.chunks} "
        f"chunks, of which a client sends {sent} in a round{travels}\n{_who(plan)}"
    )


def _who(plan: Plan) -> str:
    if plan.edges is None:
        return f"{plan.clients_per_round} of {plan.clients} clients in each of {plan.rounds} rounds"
    return (
        f"{plan.clients} peers, topology {plan.topology} with {plan.edges} edges, {plan.rounds} rounds: "
        f"{2 * plan.edges} messages a round, one per edge and direction"
    )


def _traffic(plan: Plan) -> str:
    n, one, both = plan.clients_per_round, plan.dense_message, plan.uplink + plan.downlink
    rows: list[tuple[str, ...]] = [("", "at least", "at most", "full exchange", "at most, of full")]
    if plan.edges is not None:
        directed = 2 * plan.edges
        rows += [
            _row("one message, per edge", plan.upload, one),
            _row("one round, over all edges", plan.upload * directed, one * directed),
            *([_row("final average", Bounds.exactly(plan.final_average), plan.dense)] if plan.final_average else []),
            _row("sent, in all", plan.uplink, plan.dense),
            _row("received, in all", plan.downlink, plan.dense),
        ]
    else:
        rows += [
            _row("upload, one client and round", plan.upload, one),
            _row("upload, one round", plan.upload * n, one * n),
            _row("upload, in all", plan.uplink, plan.dense),
            _row("download, one client and round", plan.download, one),
            _row("download, one round", plan.download * n, one * n),
            _row("download, in all", plan.downlink, plan.dense),
        ]
    return table([*rows, _row("both directions, in all", both, 2 * plan.dense)])


def _row(name: str, bounds: Bounds, dense: int) -> tuple[str, ...]:
    return name, size(bounds.low), size(bounds.high), size(dense), percent(bounds.high / dense)


def _notes(plan: Plan) -> str:
    return "\n".join(textwrap.fill(note, WIDTH) for note in plan.notes)


def _resources(plan: Plan) -> str:
    width = max(len(line.what) for line in plan.memory)
    lines = [f"  {line.what.ljust(width)}  {size(line.bytes):>8}  {line.formula}" for line in plan.memory]
    actors = "No client actor fits" if plan.actors is None else f"{plan.actors} client actors"
    return "\n".join([f"{actors} on this machine. Memory, estimated:", *lines])
