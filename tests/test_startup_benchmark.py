"""What benchmarks/startup.py makes of its measurements."""

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
startup = importlib.import_module("startup")


def repetition(ray_s, torch_s, begins_s):
    starts = {name: startup.Start(begins_s + place, begins_s + place + 0.5) for place, name in enumerate(startup.RUNS)}
    return startup.Repetition(0.3, ray_s, torch_s, starts)


def test_each_repetition_is_held_against_its_own_bound():
    """Bounds of 4, 5 and 9 seconds; training begins 0.5 s before, at, and 0.25 s after them, with MLflow 1 s later."""
    page = startup.report([repetition(2, 1, 3.5), repetition(2, 2, 5.0), repetition(5, 3, 9.25)])
    without, with_mlflow = (line for line in page.splitlines() if "training begins" in line)
    assert "5.00 (4.00 to 9.00)" in page
    assert "5.00 (3.50 to 9.25) | 0.00 (-0.50 to 0.25) | reached" in without
    assert "6.00 (4.50 to 10.25) | 1.00 (0.50 to 1.25) | missed" in with_mlflow
