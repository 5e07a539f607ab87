"""A round of 20 clients whose pictures lie in a folder, against the same data built in: Fashion-MNIST, LeNet, Ray.

    python benchmarks/folder_data.py [--repetitions 3]

Needs Debian's package dataset-fashion-mnist. The pictures are written as PNG files once, below runs/, and
decoded once by a run that counts for nothing. Then both run in turns, as commands of their own; a ratio is that of two
medians of rounds, the first two left out. Both must end with the same weights.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image

from fedchunk.orchestrator.learning.data.files import IDX_NAMES
from fedchunk.orchestrator.learning.data.idx import read_idx
from fedchunk.orchestrator.learning.datasets.fmnist import DEBIAN

RUNS = Path("runs/folder_data")
SKIPPED = 2
SETTINGS = {
    "number_of_clients": 20, "data_distribution_kind": "dir", "dirichlet_beta": 0.5, "model_type": "lenet",
    "federated_learning_rounds": 22, "local_steps": 10, "train_batch_size": 32, "learning_rate": 0.05,
    "evaluation_interval": 22, "device": "cpu", "mlflow_enabled": False,
}  # fmt: skip
FORMS: dict[str, dict[str, Any]] = {
    "built in": {"dataset_type": "fmnist"},
    "folder": {
        "dataset_type": "imagefolder",
        "data_dir": str(RUNS / "data"),
        "dataset_options": {"folder": "pictures", "cache_dir": str(RUNS / "cache")},
    },
}


def main() -> int:
    """Prints each pair and the median of the ratios; 1 if weights differ or a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=3, help="pairs of runs (default: 3)")
    repetitions = parser.parse_args().repetitions
    write_pictures(RUNS / "data" / "pictures")
    run("folder", "first")
    ratios, weights = [], set()
    for repetition in range(repetitions):
        order = list(FORMS) if repetition % 2 == 0 else list(FORMS)[::-1]
        seconds = {}
        for form in order:
            seconds[form], digest = run(form, f"{form} {repetition}")
            weights.add(digest)
        ratios.append(seconds["folder"] / seconds["built in"])
        spelled = ", ".join(f"{form} {1000 * seconds[form]:.0f} ms" for form in FORMS)
        print(f"{spelled}: {ratios[-1]:.3f}", flush=True)
    print(f"a folder over built in: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
    if len(weights) != 1:
        print(f"the weights differ: {sorted(weights)}", file=sys.stderr)
    return int(len(weights) != 1)


def write_pictures(folder: Path) -> None:
    """The 70,000 pictures as files by class, unless they are there."""
    if folder.is_dir():
        return
    if not DEBIAN.is_dir():
        sys.exit(f"{DEBIAN} is not there; on Debian: apt-get install dataset-fashion-mnist")
    arrays = [read_idx(DEBIAN / f"{name}.gz") for name in IDX_NAMES]
    for part, (images, labels) in {"train": arrays[:2], "test": arrays[2:]}.items():
        for place, (image, label) in enumerate(zip(images, labels, strict=True)):
            file = folder.with_suffix(".part") / part / str(label) / f"{place:05}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(file)
    folder.with_suffix(".part").rename(folder)


def run(form: str, name: str) -> tuple[float, str]:
    """The median of a run's rounds in seconds, and its weights' digest."""
    output, file = RUNS / name.replace(" ", "_"), RUNS / "settings.yaml"
    file.write_text(json.dumps(SETTINGS | FORMS[form]))  # JSON is YAML
    command = [str(Path(sys.executable).with_name("fedchunk")), "run", str(file), "--output", str(output)]
    shutil.rmtree(output, ignore_errors=True)
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr}")
    rounds = pq.read_table(output / "tables" / "rounds.parquet", columns=["wall_s"])["wall_s"].to_pylist()
    summary = json.loads((output / "summary.json").read_text())
    return statistics.median(rounds[SKIPPED:]), summary["weights_sha256"]


if __name__ == "__main__":
    sys.exit(main())
