"""Runs benchmarks of an earlier commit in turns with today's, for figures that no ratio within one run gives.

Milliseconds and gigabytes a second of another day, or of another machine, say nothing; the same benchmark of both
commits, one after the other, does.

    git worktree add ../earlier 96995ee
    python benchmarks/scale.py --earlier ../earlier
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COMMIT = "96995ee"
"""The commit whose figures the limits were set against. Its packages lie at the root of its checkout."""


def result_of(checkout: Path, expression: str) -> Any:
    """The value of an expression about the modules of a checkout's ``benchmarks``, worked out in its own process."""
    module = expression.partition(".")[0]
    command = [sys.executable, "-c", f"import json, {module}; print(json.dumps({expression}))"]
    places = os.pathsep.join((str(checkout.resolve()), str(checkout.resolve() / "benchmarks")))
    answer = subprocess.run(
        command, cwd=checkout, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": places}
    )
    return json.loads(answer.stdout.splitlines()[-1])


def verdict(now: Sequence[float], earlier: Sequence[float], must: float) -> str:
    """How many times as much now as earlier, turn by turn, and whether that is at most ``must``."""
    ratios = [mine / its for mine, its in zip(now, earlier, strict=True)]
    middle = statistics.median(ratios)
    reached = "reached" if middle <= must else "missed"
    return f"{middle:.2f} times ({min(ratios):.2f} to {max(ratios):.2f}; must {must:.2f}: {reached})"
