"""What a client pays for chunks: scoring, selecting, encoding and decoding, as a ratio to copying the vector once.

    python benchmarks/exchange.py

One thread, medians of interleaved repetitions. Two copies are measured in the same loop: ``vector.copy()``, which
takes new memory as a message does, and ``numpy.copyto`` into memory that was touched before. Writes
``benchmarks/results/exchange.md``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from orchestrator.chunking import scoring, selection, sensitivity
from orchestrator.chunking.encoding import Packing, decode, encode
from orchestrator.chunking.layout import Layout

SIZES = ((57_000, 1_000), (11_000_000, 4_000), (25_600_000, 4_000))
"""Parameters and chunks: a small CNN, ResNet-18, ResNet-50."""
PERCENTAGES = (80, 5)
ENCODINGS = ("float32", "int8", "int4")
REPETITIONS = 15
RESULT = Path(__file__).parent / "results" / "exchange.md"


def main() -> None:
    rows = [row for size in SIZES for percentage in PERCENTAGES for row in measure(*size, percentage)]
    lines = [
        "# Exchange: time in copies of the vector",
        "",
        "Made by `python benchmarks/exchange.py`. Medians (least to most) of "
        f"{REPETITIONS} interleaved repetitions on one thread, as a ratio to `vector.copy()` (new memory, as a message "
        "needs) and to `numpy.copyto` (memory touched before) of the same vector in the same loop. A small vector lies "
        "in the cache: its copy takes a few microseconds and calls cost more than data.",
        "",
        "| parameters | chunks | sent | step | microseconds | in copies | in warm copies |",
        "| ---: | ---: | ---: | --- | ---: | ---: | ---: |",
        *rows,
    ]
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def measure(num_parameters: int, num_chunks: int, percentage: int) -> list[str]:
    """Rows of the table for one size and share."""
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
        parts = times["score"], times["select"], times[f"encode {name}"]
        shown[f"**score + select + encode {name}**"] = [sum(step) for step in zip(*parts, strict=True)]
    place = f"| {num_parameters:,} | {num_chunks:,} | {percentage} % |"
    copies = times["copy"], times["warm copy"]
    return [f"{place} {name} | {_figures(seconds, *copies)} |" for name, seconds in shown.items()]


def _coding_steps(name, layout, vector_P, mask_C) -> dict[str, Callable[[], object]]:
    fields = {"round_index": 1, "sender": 0, "num_samples": 1, "buffers": None, "packing": Packing(name)}
    payload = encode(layout, vector_P, mask_C, **fields).payload
    return {
        f"encode {name}": lambda: encode(layout, vector_P, mask_C, **fields),
        f"decode {name}": lambda: decode(payload, layout, 0, 0),
    }


def _interleaved(steps: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Seconds of each step, all steps in turn, after one turn that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for repetition in range(REPETITIONS + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if repetition:
                times[name].append(time.perf_counter() - started)
    return times


def _figures(seconds: list[float], *copies: list[float]) -> str:
    cells = [f"{1e6 * statistics.median(seconds):,.0f}"]
    for copy in map(statistics.median, copies):
        ratios = [value / copy for value in seconds]
        cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    return " | ".join(cells)


if __name__ == "__main__":
    main()
