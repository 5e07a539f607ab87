"""A plan as text for people: decimal units, bounds beside full exchange, what the bounds mean."""

from __future__ import annotations

from orchestrator.commands.console import percent, size, table
from orchestrator.commands.plan import Bounds, Plan


def plan_text(plan: Plan) -> str:
    """The whole answer of ``fedchunk plan``."""
    return "\n\n".join([_head(plan), _traffic(plan), _notes(plan), _resources(plan)])


def _head(plan: Plan) -> str:
    few, many = plan.chunks_sent.low, plan.chunks_sent.high
    sent = f"{many}" if few == many else f"{few} to {many}"
    return (
        f"{plan.model}: {plan.parameters:,} parameters ({size(4 * plan.parameters)} as float32) in {plan.chunks} "
        f"chunks, of which a client sends {sent} in a round\n"
        f"{plan.clients_per_round} of {plan.clients} clients in each of {plan.rounds} rounds"
    )


def _traffic(plan: Plan) -> str:
    n, one, both = plan.clients_per_round, plan.dense_message, plan.uplink + plan.downlink
    return table(
        [
            ("", "at least", "at most", "full exchange", "at most, of full"),
            _row("upload, one client and round", plan.upload, one),
            _row("upload, one round", plan.upload * n, one * n),
            _row("upload, in all", plan.uplink, plan.dense),
            _row("download, one client and round", plan.download, one),
            _row("download, one round", plan.download * n, one * n),
            _row("download, in all", plan.downlink, plan.dense),
            _row("both directions, in all", both, 2 * plan.dense),
        ]
    )


def _row(name: str, bounds: Bounds, dense: int) -> tuple[str, ...]:
    return name, size(bounds.low), size(bounds.high), size(dense), percent(bounds.high / dense)


def _notes(plan: Plan) -> str:
    notes = [
        "A client's first download is the whole model. Later it is sent what the clients sent, averaged: 'at least' is",
        "when all choose the same chunks, 'at most' when every chunk is sent by somebody.",
    ]
    if plan.chunks_sent.low != plan.chunks_sent.high:
        notes.append("Dynamic sensitivity chooses the number of chunks each round: 'at most' is its ceiling.")
    return "\n".join(notes)


def _resources(plan: Plan) -> str:
    width = max(len(line.what) for line in plan.memory)
    lines = [f"  {line.what.ljust(width)}  {size(line.bytes):>8}  {line.formula}" for line in plan.memory]
    actors = "No client actor fits" if plan.actors is None else f"{plan.actors} client actors"
    return "\n".join([f"{actors} on this machine. Memory, estimated:", *lines])
