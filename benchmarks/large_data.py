"""A data set of twice the memory that the process may have: arrays on disk, trained in one process.

    python benchmarks/large_data.py [--limit-gb 3]

The file is sparse (zeros that lie nowhere), so that it costs no room; it is read as any other. The limit is that of the
process's own memory (RLIMIT_DATA), which mapped files do not count towards: the kernel keeps or drops their pages as
there is room. What is reserved counts, too: importing torch for CUDA reserves 1.3 GB. Printed is the most of its own
that the process had, beside that of a run with a hundredth of the data.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import yaml

FEDCHUNK = Path(sys.executable).with_name("fedchunk")
VALUES, CLASSES = 256, 4
SETTINGS = {
    "dataset_type": "arrays", "dataset_options": {"file": "arrays"}, "data_distribution_kind": "iid",
    "number_of_clients": 20, "federated_learning_rounds": 3, "local_steps": 5, "mlflow_enabled": False, "device": "cpu",
}  # fmt: skip


def main() -> int:
    """Prints a line for each size; 1 if a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit-gb", type=float, default=3.0, help="what the process may have (default: 3)")
    limit = int(parser.parse_args().limit_gb * 1e9)
    failed = False
    for data_bytes in (limit // 50, 2 * limit):
        with tempfile.TemporaryDirectory(prefix="fedchunk-large-") as folder:
            code, own, seconds = _run(Path(folder), data_bytes, limit)
        failed |= code != 0
        print(f"{data_bytes / 1e9:6.2f} GB of data: exit code {code}, {own / 1e6:.0f} MB of its own, {seconds:.0f} s")
    return int(failed)


def _run(folder: Path, data_bytes: int, limit: int) -> tuple[int, int, float]:
    """Exit code, the most memory of its own, and how long it took."""
    _write_arrays(folder / "arrays", data_bytes // (4 * VALUES))
    (folder / "settings.yaml").write_text(yaml.safe_dump(SETTINGS | {"data_dir": str(folder)}))
    command = [str(FEDCHUNK), "run", str(folder / "settings.yaml"), "--local", "--output", str(folder / "run")]
    began, most = time.monotonic(), 0
    running = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, preexec_fn=partial(resource.setrlimit, resource.RLIMIT_DATA, (limit, limit))
    )
    watched = psutil.Process(running.pid)
    while running.poll() is None:
        memory = watched.memory_info()
        most = max(most, memory.rss - memory.shared)
        time.sleep(0.05)
    return running.returncode, most, time.monotonic() - began


def _write_arrays(folder: Path, samples: int) -> None:
    folder.mkdir()
    np.lib.format.open_memmap(folder / "train_x.npy", "w+", np.float32, (samples, VALUES))
    np.save(folder / "train_y.npy", np.arange(samples) % CLASSES)
    np.save(folder / "test_x.npy", np.zeros((100, VALUES), np.float32))
    np.save(folder / "test_y.npy", np.arange(100) % CLASSES)


if __name__ == "__main__":
    sys.exit(main())
