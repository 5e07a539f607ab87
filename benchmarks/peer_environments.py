"""A virtual environment for each peer, made once: their requirements contradict each other and fedchunk's."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

REQUIREMENTS = {
    "flower": ("torch==2.13.0", "flwr[simulation]==1.41.0"),
    "pfl": ("torch==2.13.0", "pfl[pytorch]==0.6.0"),
    "fedjax": ("fedjax==0.0.17", "jax==0.10.2"),
}
"""What is installed into each, in this order, so that a peer's wishes do not bring another torch."""


def python_of(folder: Path, name: str | None) -> Path:
    """The interpreter of an environment below ``folder``; None: the running one, which has fedchunk."""
    return Path(sys.executable) if name is None else folder / name / "bin" / "python"


def ensure(folder: Path, name: str) -> None:
    """Makes the environment ``name`` below ``folder`` unless it is there with these requirements.

    Raises:
        subprocess.CalledProcessError: pip could not install; what it said is on standard error.
    """
    place, wanted = folder / name, "\n".join(REQUIREMENTS[name])
    stamp = place / "requirements.txt"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    print(f"making the environment {place} (minutes)", flush=True)
    shutil.rmtree(place, ignore_errors=True)
    venv.create(place, with_pip=True)
    for requirement in REQUIREMENTS[name]:
        pip = [str(python_of(folder, name)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, requirement], check=True)
    stamp.write_text(wanted, encoding="utf-8")
