"""A plan as text for people: decimal units, bounds beside full exchange, what the bounds mean."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from fedchunk.orchestrator.commands.console import percent, size, table
from fedchunk.orchestrator.commands.plan import Plan
from fedchunk.orchestrator.commands.plan_messages import Bounds

WIDTH = 110
"""Columns of the notes."""
SHORT_S = 360.0
"""A tenth of an hour: less is told in seconds."""


def plan_text(plan: Plan) -> str:
    """The whole answer of ``fedchunk plan``."""
    parts = [_head(plan), _traffic(plan), _spent(plan), _notes(plan), _resources(plan)]
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
        f"{plan.clients} peers, topology {plan.topology} with {plan.edges} edges, {plan.rounds} rounds: {_hops(plan)}"
    )


def _hops(plan: Plan) -> str:
    assert plan.hops is not None
    assert plan.edges is not None
    if plan.hops.down:
        return f"{plan.hops.up} messages a round up a tree, hop by hop, and {plan.hops.down} down it"
    if plan.hops.up != 2 * plan.edges:
        return f"{plan.hops.up} messages a round, one from each to each of the others"
    return f"{plan.hops.up} messages a round, one per edge and direction"


def _traffic(plan: Plan) -> str:
    n, one, both = plan.clients_per_round, plan.dense_message, plan.uplink + plan.downlink
    rows: list[tuple[str, ...]] = [("", "at least", "at most", "full exchange", "at most, of full")]
    if plan.edges is not None:
        assert plan.hops is not None
        in_round = plan.upload * plan.hops.up + plan.download * plan.hops.down
        rows += [
            _row("one message, per edge", plan.upload, one),
            *([_row("one message down, per edge", plan.download, one)] if plan.hops.down else []),
            _row("one round, over all edges", in_round, one * 2 * plan.edges),
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


def _spent(plan: Plan) -> str:
    """Time and money, where there is anything to count them with."""
    rows: list[tuple[str, ...]] = [("", "at least", "at most", "full exchange")]
    if (time := plan.time) is not None:
        rows.append(("time, all rounds", *(_hours(seconds) for seconds in (time.low_s, time.high_s, time.dense_s))))
    if (price := plan.price) is not None:
        rows.append(("money, all bytes", *map(_money, (price.low, price.high, price.dense))))
    return table(rows) if len(rows) > 1 else ""


def _hours(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds < SHORT_S else f"{seconds / 3600:#.3g}".rstrip(".") + " h"


def _money(amount: float) -> str:
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.3g}"


def _notes(plan: Plan) -> str:
    return "\n".join(textwrap.fill(note, WIDTH) for note in (*plan.notes, *_of_time(plan)))


def _of_time(plan: Plan) -> Iterator[str]:
    if (time := plan.time) is not None and time.train_seconds is None:
        yield f"Time over the links {time.links} is that of messages alone: --train-seconds adds local training."
    elif time is not None:
        each = f"{time.train_seconds:g} s of local training in each round, times the compute factor"
        yield f"Time over the links {time.links} is that of messages and of {each}."
    if plan.price is not None:
        yield f"A gigabyte costs {plan.price.per_gb:g}, and every byte is paid for once."


def _resources(plan: Plan) -> str:
    width = max(len(line.what) for line in plan.memory)
    lines = [f"  {line.what.ljust(width)}  {size(line.bytes):>8}  {line.formula}" for line in plan.memory]
    actors = "No client actor fits" if plan.actors is None else f"{plan.actors} client actors"
    return "\n".join([f"{actors} on this machine. Memory, estimated:", *lines])
