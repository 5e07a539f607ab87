"""What chunks cost: a client's scoring, selecting, encoding and decoding, and the aggregation of 50 large payloads.

    python benchmarks/exchange.py [--earlier CHECKOUT]

One thread, medians of interleaved repetitions. A client's steps are given as ratios to copying the vector once,
aggregation as ratios to reading and to copying the same bytes once. With a checkout of an earlier commit (see
``earlier.py``) aggregation takes turns with that commit's. Needs about 2 GiB of memory and some minutes.
Writes ``benchmarks/results/exchange.md``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import earlier
import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import scoring, selection, sensitivity
from fedchunk.orchestrator.chunking.aggregation import RoundSum, Update
from fedchunk.orchestrator.chunking.codecs import Encoding
from fedchunk.orchestrator.chunking.draft import Encoded
from fedchunk.orchestrator.chunking.encoding import Message, Packing, decode, encode
from fedchunk.orchestrator.chunking.header import Expected, Origin
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.reconstruction import from_contributors

SIZES = ((57_000, 1_000), (55_210, 100), (11_000_000, 4_000), (25_600_000, 4_000))
"""Parameters and chunks: a small CNN, an MLP, ResNet-18, ResNet-50."""
PERCENTAGES = (80, 5)
ENCODINGS: tuple[Encoding, ...] = ("float32", "int8", "int4")
REPETITIONS = 15

PAYLOADS = 50
DISTINCT_BYTES = 1 << 30
"""Most memory for payloads: where 50 need more, fewer are made and each is taken several times."""
AT_ONCE = (1, 8, 50)
"""Payloads added at once: as many as have arrived."""
ROUNDS = 7
"""Repetitions of the aggregation."""
MUST_GB_S = {80: 6.0, 5: 4.0}
"""Gigabytes of payload a second that aggregation must reach, by share of the chunks; it aims at one plain copy's."""
EARLIER_GB_S = {80: 5.5, 5: 2.0}
"""What the earlier commit reached on the machine for which these limits were set."""
TURNS = 3
"""Processes of each commit, in turns."""
TURN_ROUNDS = 2
"""Repetitions in each of them."""
RESULT = Path(__file__).parent / "results" / "exchange.md"

_Result = TypeVar("_Result")
Times = dict[str, list[float]]
Payload = NDArray[np.uint8]
NO_BUFFERS = np.empty(0, np.float32), np.empty(0, np.int64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--earlier", type=Path, metavar="CHECKOUT", help="a checkout of an earlier commit")
    checkout = parser.parse_args().earlier
    lines = [*aggregation_section(), *(earlier_section(checkout) if checkout else ()), "", *client_section()]
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def client_section() -> list[str]:
    """What one client pays."""
    rows = [row for size in SIZES for percentage in PERCENTAGES for row in client_rows(*size, percentage)]
    return [
        "## What a client pays, in copies of the vector",
        "",
        f"Medians (least to most) of {REPETITIONS} interleaved repetitions on one thread, as a ratio to "
        "`vector.copy()` (new memory, as a message needs) and to `numpy.copyto` (memory touched before) of the same "
        "vector in the same loop. A small vector lies in the cache: its copy takes a few microseconds and calls cost "
        "more than data.",
        "",
        "| parameters | chunks | sent | step | microseconds | in copies | in warm copies |",
        "| ---: | ---: | ---: | --- | ---: | ---: | ---: |",
        *rows,
    ]


def client_rows(num_parameters: int, num_chunks: int, percentage: int) -> list[str]:
    """Rows of a client's table for one size and share."""
    layout = Layout(num_parameters, num_chunks)
    vector_P = np.random.default_rng(0).normal(size=num_parameters).astype(np.float32)
    target_P = np.empty_like(vector_P)
    count = sensitivity.fixed(num_chunks, percentage)
    scores_C = scoring.norms(vector_P, layout)
    mask_C = selection.best(scores_C, count)
    steps: dict[str, Callable[[], object]] = {
        "copy": vector_P.copy,
        "warm copy": lambda: np.copyto(target_P, vector_P),
        "score": lambda: scoring.norms(vector_P, layout),
        "select": lambda: selection.best(scores_C, count),
    }
    for name in ENCODINGS:
        steps |= _coding_steps(name, layout, vector_P, mask_C)
    times = _interleaved(steps)
    shown = dict(times)
    for name in ENCODINGS:
        shown[f"**score + select + encode {name}**"] = _summed(times, "score", "select", f"encode {name}")
    place = f"| {num_parameters:,} | {num_chunks:,} | {percentage} % |"
    copies = times["copy"], times["warm copy"]
    return [
        f"{place} {name} | {1e6 * statistics.median(seconds):,.0f} | {_ratios(seconds, *copies)} |"
        for name, seconds in shown.items()
    ]


def _coding_steps(
    name: Encoding, layout: Layout, vector_P: NDArray[np.float32], mask_C: NDArray[np.bool_]
) -> dict[str, Callable[[], object]]:
    packing = Packing.built_in(name)

    def encoded() -> Encoded:
        return encode(layout, vector_P, mask_C, round_index=1, sender=0, num_samples=1, buffers=None, packing=packing)

    payload = encoded().payload
    return {
        f"encode {name}": encoded,
        f"decode {name}": lambda: decode(payload, layout, EXPECTED, 0, 0),
    }


def _interleaved(steps: dict[str, Callable[[], object]]) -> Times:
    """Seconds of each step, all steps in turn, after one turn that is not counted."""
    times: Times = {name: [] for name in steps}
    for repetition in range(REPETITIONS + 1):
        for name, step in steps.items():
            seconds, _ = _timed(step)
            if repetition:
                times[name].append(seconds)
    return times


def aggregation_section() -> list[str]:
    """What a coordinator pays for 50 payloads, and a receiver for their mean."""
    num_parameters, num_chunks = SIZES[-1]
    layout = Layout(num_parameters, num_chunks)
    measured = {percentage: aggregation_times(layout, percentage) for percentage in PERCENTAGES}
    return [
        "# Exchange",
        "",
        "Made by `python benchmarks/exchange.py`. Steps of a message on one thread, without a network.",
        "",
        f"## {PAYLOADS} payloads of {num_parameters:,} values, aggregated and reconstructed",
        "",
        f"Each payload holds a random share of {num_chunks:,} chunks as float32. Medians (least to most) of "
        f"{ROUNDS} interleaved repetitions, as ratios to what the same payloads take to be read once (the largest of "
        "their 64-bit words), to be copied once to memory touched before, and to new memory. "
        f"Payloads take at most {DISTINCT_BYTES >> 30} GiB: of larger ones fewer are made, and each is taken several "
        "times. *Check*: checksum, finite values, header and mask. *Add*: float64 sums in client order, made anew for "
        "each round, one payload at a time or as many as have arrived. *Means*: division into a new model, and adding "
        "what had waited for that: up to four times as many values as the vector has. "
        "*Reconstruct*: a receiver checks the message with the means and takes them into a copy of its own weights. "
        "*Float64 sums in cache*: as many values widened to float64 and added, none of them from memory: the part of "
        "*add* that no order of steps can save.",
        "",
        "| sent | MB | at once | step | milliseconds | in reads | in copies | in new copies |",
        "| ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: |",
        *(row for percentage, (size, times) in measured.items() for row in _aggregation_rows(percentage, size, times)),
        "",
        "Aggregation (check + add + means, the fastest of the ways above), in gigabytes of payload a second:",
        "",
        "| sent | GB/s (least to most) | must | one plain read | one plain copy | |",
        "| ---: | ---: | ---: | ---: | ---: | --- |",
        *(_verdict(percentage, *sized) for percentage, sized in measured.items()),
    ]


def earlier_section(checkout: Path) -> list[str]:
    """How long aggregation takes beside an earlier commit's."""
    today = Path(__file__).resolve().parents[1]
    return [
        "",
        f"In turns with commit {earlier.COMMIT}, {TURNS} processes of each with {TURN_ROUNDS} repetitions:",
        "",
        f"| sent | GB/s of {earlier.COMMIT} | where the must was set | now, GB/s | time, of the earlier |",
        "| ---: | ---: | ---: | ---: | ---: |",
        *(_turns(percentage, checkout, today) for percentage in PERCENTAGES),
    ]


def _turns(percentage: int, checkout: Path, today: Path) -> str:
    layout = "exchange.Layout(*exchange.SIZES[-1])"
    timed = f"exchange.__dict__.update(ROUNDS={TURN_ROUNDS}) or exchange.aggregation_times({layout}, {percentage})"
    now: list[float] = []
    before: list[float] = []
    for _ in range(TURNS):
        for found, where in ((before, checkout), (now, today)):
            size, times = earlier.result_of(where, timed)
            found.append(statistics.median(_quickest(times)))
    was, must = EARLIER_GB_S[percentage], MUST_GB_S[percentage]
    its_rate, rate = (size / 1e9 / statistics.median(found) for found in (before, now))
    return f"| {percentage} % | {its_rate:.2f} | {was} | {rate:.2f} | {earlier.verdict(now, before, was / must)} |"


def aggregation_times(layout: Layout, percentage: int) -> tuple[int, Times]:
    """Bytes of the payloads of a round, and seconds of each step."""
    payloads = _payloads(layout, percentage)
    target = np.zeros(max(map(len, payloads)), np.uint8)
    own_P = np.ones(layout.num_parameters, np.float32)
    plain: dict[str, Callable[[Payload], object]] = {
        "read": lambda payload: payload[: len(payload) // 8 * 8].view(np.uint64).max(),
        "copy": lambda payload: np.copyto(target[: len(payload)], payload),
        "new copy": lambda payload: payload.copy(),
    }
    times: Times = {}
    for repetition in range(ROUNDS + 1):
        turn = {name: sum(_timed(step, payload)[0] for payload in payloads) for name, step in plain.items()}
        turn["float64 sums in cache"] = _in_cache(sum(map(len, payloads)) // 4)
        for at_once in AT_ONCE:
            turn |= {f"{at_once} {step}": s for step, s in _aggregation(layout, payloads, at_once, own_P).items()}
        for name, seconds in turn.items() if repetition else ():
            times.setdefault(name, []).append(seconds)
    return sum(map(len, payloads)), times


def _in_cache(num_values: int) -> float:
    """Seconds that the additions take where no value comes from memory: what widening and adding cost by themselves."""
    block, passes = 1 << 14, 400
    values, widened, sums = np.ones(block, np.float32), np.zeros(block), np.zeros(block)

    def add() -> None:
        for _ in range(passes):
            np.copyto(widened, values)
            np.add(sums, widened, out=sums)

    return _timed(add)[0] * num_values / (block * passes)


def _payloads(layout: Layout, percentage: int) -> list[Payload]:
    """The payloads of a round; the same ones again where all of them would take too much memory."""
    made: list[Payload] = []
    count = sensitivity.fixed(layout.num_chunks, percentage)
    for sender in range(PAYLOADS):
        if sum(map(len, made)) > DISTINCT_BYTES - (len(made[0]) if made else 0):
            break
        rng = np.random.default_rng(sender)
        vector_P = rng.standard_normal(layout.num_parameters, dtype=np.float32)
        mask_C = selection.best(rng.random(layout.num_chunks, dtype=np.float32), count)
        made.append(_encoded(layout, vector_P, mask_C))
    return (made * PAYLOADS)[:PAYLOADS]


EXPECTED = Expected(Origin(1, 0, 1), stands=False)


def _encoded(layout: Layout, vector_P: NDArray[np.float32], mask_C: NDArray[np.bool_]) -> Payload:
    return encode(layout, vector_P, mask_C, round_index=1, sender=0, num_samples=1, buffers=NO_BUFFERS).payload


def _update(message: Message) -> Update:
    assert message.buffers_B is not None
    assert message.counters_I is not None
    return Update(message.mask_C, message.values, message.buffers_B, message.counters_I, 1.0)


def _aggregation(
    layout: Layout, payloads: Sequence[Payload], at_once: int, own_P: NDArray[np.float32]
) -> dict[str, float]:
    """Seconds of each step of one round."""
    seconds = dict.fromkeys(("check", "add", "means", "reconstruct"), 0.0)

    def timed(step: str, run: Callable[..., _Result], *arguments: object) -> _Result:
        took, result = _timed(run, *arguments)
        seconds[step] += took
        return result

    def reconstructed(payload: Payload) -> NDArray[np.float32]:
        message = decode(payload, layout, EXPECTED, 0, 0)
        return from_contributors(own_P, message.mask_C, message.values, layout)

    total = timed("add", RoundSum, layout, 0, 0)
    for first in range(0, len(payloads), at_once):
        arrived = [
            timed("check", decode, payload, layout, EXPECTED, 0, 0) for payload in payloads[first : first + at_once]
        ]
        timed("add", total.add_all, [_update(message) for message in arrived])
    model_P, sent_C = timed("means", total.chunks.means_in, own_P), total.chunks.sent_C
    del total
    timed("reconstruct", reconstructed, _encoded(layout, model_P, sent_C))
    return seconds


def _aggregation_rows(percentage: int, size: int, times: Times) -> list[str]:
    plain = {name: times[name] for name in ("read", "copy", "new copy")}
    rows: list[tuple[int | str, str, list[float]]] = [("", f"plain {name}", seconds) for name, seconds in plain.items()]
    rows.append(("", "float64 sums in cache", times["float64 sums in cache"]))
    for at_once in AT_ONCE:
        steps = [f"{at_once} {step}" for step in ("check", "add", "means", "reconstruct")]
        rows += [(at_once, name.split()[1], times[name]) for name in steps]
        rows.append((at_once, "**aggregation**", _summed(times, *steps[:3])))
        rows.append((at_once, "**aggregation + reconstruct**", _summed(times, *steps)))
    return [
        f"| {percentage} % | {size / 1e6:,.0f} | {at_once} | {name} | {1e3 * statistics.median(seconds):,.0f} "
        f"| {_ratios(seconds, *plain.values())} |"
        for at_once, name, seconds in rows
    ]


def _verdict(percentage: int, size: int, times: Times) -> str:
    """A row: what the best way of adding reaches, beside each plain pass over the bytes."""
    best = _quickest(times)
    rate, read, copy = (size / 1e9 / statistics.median(seconds) for seconds in (best, times["read"], times["copy"]))
    must = MUST_GB_S[percentage]
    reached = "aim reached" if rate >= copy else "must reached, aim missed" if rate >= must else "must missed"
    spread = f"{rate:.1f} ({size / 1e9 / max(best):.1f} to {size / 1e9 / min(best):.1f})"
    return f"| {percentage} % | {spread} | {must:g} | {read:.1f} | {copy:.1f} | {reached} |"


def _quickest(times: Times) -> list[float]:
    """Seconds of check, add and means together, of the quickest way."""
    totals = [_summed(times, *(f"{at_once} {step}" for step in ("check", "add", "means"))) for at_once in AT_ONCE]
    return min(totals, key=statistics.median)


def _timed(run: Callable[..., _Result], *arguments: object) -> tuple[float, _Result]:
    started = time.perf_counter()
    result = run(*arguments)
    return time.perf_counter() - started, result


def _summed(times: Times, *steps: str) -> list[float]:
    """Seconds of several steps together, repetition by repetition."""
    return [sum(parts) for parts in zip(*(times[step] for step in steps), strict=True)]


def _ratios(seconds: list[float], *plain: list[float]) -> str:
    cells = []
    for base in map(statistics.median, plain):
        ratios = [value / base for value in seconds]
        cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    return " | ".join(cells)


if __name__ == "__main__":
    main()
