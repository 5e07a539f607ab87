"""One client sends what it should not, in 42 ways: is it refused or bounded, and does the run live?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reliability_bench import BASE, Bench, Row
from reliability_clients import Notes

import fedchunk
from fedchunk.actors.backends.local import LocalFederation
from fedchunk.actors.client.group_task import ClientTask
from fedchunk.actors.client.star import Finished, StarClient
from fedchunk.orchestrator.chunking.encoding import decode, encode
from fedchunk.orchestrator.chunking.header import Expected, Origin
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.experiment import run_experiment
from fedchunk.orchestrator.methods.outgoing import Outgoing

Payload = NDArray[np.uint8]
Make = Callable[[Payload, Layout, Expected], Any]
"""From the honest message, and what the coordinator knows of it, whatever is sent instead."""
ROUNDS, CLIENTS, BAD_CLIENT = 4, 5, 2
SETTINGS: dict[str, Any] = {
    **BASE, "number_of_clients": CLIENTS, "federated_learning_rounds": ROUNDS, "local_steps": 2,
    "data_distribution_kind": "iid", "aggregation_sample_scaling": True,
}  # fmt: skip


def recoded(**changes: Any) -> Make:
    """The same update with other fields; what is a function makes its field from the honest one."""

    def make(payload: Payload, layout: Layout, expected: Expected) -> Payload:
        message = decode(payload, layout, expected, 0, 0)
        vector_P = np.zeros(layout.num_parameters, np.float32)
        layout.paste(message.values, message.mask_C, vector_P)
        fields = {
            "vector_P": vector_P, "mask_C": message.mask_C, **asdict(expected.origin), "is_change": message.is_change,
            "buffers": (np.empty(0, np.float32), np.empty(0, np.int64)),
        }  # fmt: skip
        made = {name: change(fields[name]) if callable(change) else change for name, change in changes.items()}
        return encode(layout, **{**fields, **made}).over(stands=expected.stands).payload

    return make


def filled(value: float) -> Make:
    """All values are this one."""
    return recoded(vector_P=lambda vector_P: np.full_like(vector_P, value))


def times(factor: float) -> Make:
    """All values times a factor."""
    return recoded(vector_P=lambda vector_P: vector_P * np.float32(factor))


def one(value: float) -> Make:
    """One single value is this, in a chunk that is sent."""

    def make(payload: Payload, layout: Layout, expected: Expected) -> Any:
        first = layout.runs(decode(payload, layout, expected, 0, 0).mask_C)[0][0]

        def with_one(vector_P: NDArray[np.float32]) -> NDArray[np.float32]:
            vector_P[first] = value
            return vector_P

        return recoded(vector_P=with_one)(payload, layout, expected)

    return make


def changed(change: Callable[[Payload], Any]) -> Make:
    """The bytes themselves are others, or are none."""
    return lambda payload, layout, expected: change(payload)


def damaged(at: Callable[[int], int], bit: int = 2) -> Make:
    """A bit of one byte is another."""

    def damage(payload: Payload) -> Payload:
        worse = payload.copy()
        worse[at(len(worse))] ^= 1 << bit
        return worse

    return changed(damage)


def other_layout(**changes: int) -> Make:
    """A message of a model that is cut in another way, or is another."""

    def make(payload: Payload, layout: Layout, expected: Expected) -> Payload:
        sizes = {"num_parameters": layout.num_parameters, "num_chunks": layout.num_chunks} | changes
        other = Layout(sizes["num_parameters"], sizes["num_chunks"])
        buffers = np.empty(0, np.float32), np.empty(0, np.int64)
        mask_C = np.arange(other.num_chunks) < 5
        vector_P = np.zeros(other.num_parameters, np.float32)
        message = encode(other, vector_P, mask_C, **asdict(expected.origin), buffers=buffers)
        return message.over(stands=expected.stands).payload

    return make


def noise(length: int | None = None) -> Make:
    """Random bytes, by default as many as the message has."""
    return changed(
        lambda payload: np.random.default_rng(0).integers(
            0, 256, len(payload) if length is None else length, dtype=np.uint8
        )
    )


KINDS: dict[str, Make] = {
    "all nan": filled(np.nan), "all inf": filled(np.inf), "all -inf": filled(-np.inf), "one nan": one(np.nan),
    "one inf": one(-np.inf), "1e30": filled(1e30), "-1e30": filled(-1e30), "one 1e7": one(1e7),
    "largest float": filled(float(np.finfo(np.float32).max)), "sign turned, times 100": times(-100.0),
    "sign turned": times(-1.0), "times 100": times(100.0), "all zeros": filled(0.0),
    "cut short by 4": changed(lambda payload: payload[:-4]),
    "half": changed(lambda payload: payload[: len(payload) // 2]),
    "three bytes": changed(lambda payload: payload[:3]), "nothing": changed(lambda payload: payload[:0]),
    "4 bytes more": changed(lambda payload: np.concatenate([payload, payload[:4]])),
    "twice": changed(lambda payload: np.concatenate([payload, payload])),
    "bytes of zero": changed(lambda payload: np.zeros_like(payload)), "noise": noise(),
    "a megabyte of noise": noise(10**6),
    "first byte damaged": damaged(lambda n: 0), "byte 6 damaged": damaged(lambda n: 6),
    "a tenth in damaged": damaged(lambda n: n // 10), "middle damaged": damaged(lambda n: n // 2),
    "last byte damaged": damaged(lambda n: n - 1, 7), "None": changed(lambda payload: None),
    "text": changed(lambda payload: "hello"), "bytes": changed(lambda payload: payload.tobytes()),
    "a list": changed(lambda payload: payload.tolist()), "floats": changed(lambda payload: payload.astype(np.float32)),
    "two dimensions": changed(lambda payload: payload[: len(payload) // 2 * 2].reshape(2, -1)),
    "another client's name": recoded(sender=3), "the coordinator's name": recoded(sender=-1),
    "another round": recoded(round_index=9), "a billion samples": recoded(num_samples=10**9),
    "changes for values": recoded(is_change=True), "no buffers": recoded(buffers=None),
    "all chunks": recoded(mask_C=np.ones_like), "fewer chunks in its model": other_layout(num_chunks=50),
    "a smaller model": other_layout(num_parameters=1000),
}  # fmt: skip
"""What client 2 sends instead of its update, in every round."""


def bad_updates(bench: Bench) -> Row:
    """Each kind in a run of its own."""
    kinds = dict(list(KINDS.items())[: bench.times(len(KINDS), 6)])
    refused, counted, dead = 0, [], []
    for name, make in kinds.items():
        status, rejected, largest = _run(make)
        if status != "finished" or not largest <= SETTINGS.get("max_update_value", 1e6):
            dead.append(name)
        elif rejected == ROUNDS:
            refused += 1
        else:
            counted.append(name)
    outcome = f"{refused} refused and named in every round; counted, within max_update_value: {', '.join(counted)}"
    return Row(
        f"{len(kinds)} kinds of bad updates", f"{outcome}; {len(dead)} runs ended{': ' * bool(dead)}{', '.join(dead)}"
    )


def _run(make: Make) -> tuple[str, int, float]:
    """How the run ended, in how many rounds the client was refused, and the model's largest value."""

    class Bad(StarClient):
        def _finish(self, task: ClientTask, *rest: Any) -> Finished:
            done = super()._finish(task, *rest)
            if task.client_id != BAD_CLIENT:
                return done
            assert isinstance(done.sent, Outgoing), "scores are sent instead of an update"
            origin = Origin(task.round_index, BAD_CLIENT, self._worker.num_samples(BAD_CLIENT))
            # Bytes instead of a message that is yet to be written: who adds it opens them, as if they came from afar.
            bad = make(done.sent.encoded().payload, self._layout, Expected(origin, task.stands))
            return replace(done, sent=bad)

    settings, notes = fedchunk.load_settings(SETTINGS), Notes()
    with LocalFederation(settings, notes, lambda *arguments: Bad(*arguments)) as federation:
        summary = run_experiment(federation, settings.federation, [notes], notes)
    rejected = [row for row in notes.rows if row["client"] == BAD_CLIENT and row["status"] == "rejected"]
    return summary.status, len(rejected), notes.largest
