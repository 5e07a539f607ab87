"""Whether this machine can run experiments: versions, processors, memory, disk, home, Ray's token, ports.

Looks only; changes nothing and imports none of the heavy packages. Everything it looks at is an argument, so each
check can be tried on a machine that is not there.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import psutil
from packaging.requirements import Requirement
from packaging.version import Version

from fedchunk.orchestrator.commands.console import size

Status = Literal["ok", "warn", "fail"]

SHOWN_PACKAGES = ("ray", "torch", "torchvision", "mlflow", "pyarrow")
"""The packages whose versions people ask for first; the least versions stand in pyproject.toml only."""

LEAST_MEMORY = 2_000_000_000
"""Ray's own processes take 0.4 to 0.6 GB, an actor with torch 0.6 GB, the driver with MLflow as much."""

LEAST_SHARED_MEMORY = 200_000_000
"""Ray's object store lies in shared memory, and is refused below 75 MiB."""

LEAST_DISK = 1_000_000_000
FULL_DISK = 0.95
"""Ray stops storing objects on a disk that is fuller than this."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    status: Status
    found: str
    remedy: str = ""
    """What to do; empty if all is well."""


def examine(home: Path, folder: Path, environment: Mapping[str, str], ports: Mapping[int, str]) -> list[Check]:
    """All checks of this machine.

    Args:
        home: the user's home folder, where Ray keeps its token.
        folder: where runs are written.
        environment: the process's environment variables.
        ports: port -> what would like to listen there, and how to choose another.
    """
    memory = psutil.virtual_memory()
    return [
        check_python(sys.version_info[:3]),
        *check_packages(metadata.requires("fedchunk") or []),
        check_pair(),
        Check("cores", "ok", f"{len(psutil.Process().cpu_affinity()) if sys.platform == 'linux' else os.cpu_count()}"),
        check_gpus(shutil.which("nvidia-smi")),
        check_memory(memory.available, memory.total),
        check_shared_memory(Path("/dev/shm")),
        check_disk("disk for runs", shutil.disk_usage(folder)),
        check_disk("disk for temporary files", shutil.disk_usage(tempfile.gettempdir())),
        check_home(home, environment),
        check_token(home, environment),
        *(check_port(port, use) for port, use in ports.items()),
    ]


def worst(checks: Iterable[Check]) -> Status:
    """``fail`` if one failed, else ``warn`` if one warned, else ``ok``."""
    found = {check.status for check in checks}
    return "fail" if "fail" in found else "warn" if "warn" in found else "ok"


def report(checks: Iterable[Check]) -> str:
    """The checks as lines for people, with a remedy below each that is not well."""
    lines = []
    for check in checks:
        lines.append(f"{check.status:4}  {check.name}: {check.found}")
        if check.remedy:
            lines.append(f"      -> {check.remedy}")
    return "\n".join(lines)


def check_python(version: tuple[int, int, int]) -> Check:
    """Python 3.11 or newer."""
    found = ".".join(map(str, version))
    if version < (3, 11, 0):
        return Check("python", "fail", found, "use Python 3.11 or newer: make setup PYTHON=python3.11")
    return Check("python", "ok", found)


def check_packages(requirements: Iterable[str]) -> list[Check]:
    """Every requirement that is missing or too old, and the versions of those that people ask for first."""
    checks = []
    for requirement in map(Requirement, requirements):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            checks.append(Check(requirement.name, "fail", "not installed", "run make setup"))
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            remedy = f"needs {requirement.specifier}: run make setup"
            checks.append(Check(requirement.name, "fail", version, remedy))
        elif requirement.name in SHOWN_PACKAGES:
            checks.append(Check(requirement.name, "ok", version))
    return checks


def check_pair() -> Check:
    """torchvision imports only with the torch it was built for: same version that it names, same build tag."""
    name = "torch with torchvision"
    try:
        torch, torchvision = metadata.version("torch"), metadata.version("torchvision")
        wanted = next(r for r in map(Requirement, metadata.requires("torchvision") or []) if r.name == "torch")
    except (metadata.PackageNotFoundError, StopIteration):
        return Check(name, "fail", "not both installed", "run make setup")
    if not wanted.specifier.contains(torch, prereleases=True) or Version(torch).local != Version(torchvision).local:
        remedy = f"torchvision {torchvision} wants torch{wanted.specifier} of the same build: run make setup"
        return Check(name, "fail", f"{torch} with {torchvision}", remedy)
    return Check(name, "ok", "they fit")


def check_gpus(nvidia_smi: str | None) -> Check:
    """What the NVIDIA driver says; no torch is imported for it."""
    if nvidia_smi is None:
        return Check("gpus", "ok", "none (no nvidia-smi): experiments run on the processors")
    query = [nvidia_smi, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    remedy = "the NVIDIA driver does not answer: run nvidia-smi, mend what it says, or set device=cpu"
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("gpus", "warn", str(error), remedy)
    if answer.returncode:
        return Check("gpus", "warn", (answer.stderr or answer.stdout).strip() or f"exit {answer.returncode}", remedy)
    return Check("gpus", "ok", "; ".join(answer.stdout.strip().splitlines()))


def check_memory(available: int, total: int) -> Check:
    """Enough for Ray, two actors and the driver."""
    found = f"{size(available)} free of {size(total)}"
    if available < LEAST_MEMORY:
        remedy = f"{size(LEAST_MEMORY)} are needed for two actors: close something, or set number_of_actors=1"
        return Check("memory", "warn", found, remedy)
    return Check("memory", "ok", found)


def check_shared_memory(folder: Path) -> Check:
    """Where Ray's object store lies on Linux."""
    if not folder.is_dir():
        return Check("shared memory", "ok", f"no {folder} on this system: Ray uses temporary files")
    usage = shutil.disk_usage(folder)
    found = f"{size(usage.free)} free of {size(usage.total)}"
    if usage.free < LEAST_SHARED_MEMORY:
        remedy = "in a container: docker run --shm-size=2g; else delete what nobody uses below /dev/shm"
        return Check("shared memory", "warn", found, remedy)
    return Check("shared memory", "ok", found)


def check_disk(name: str, usage: tuple[int, int, int]) -> Check:
    """Room for tables, weights and Ray's sessions; ``usage`` is (total, used, free) bytes."""
    total, _, free = usage
    found = f"{size(free)} free of {size(total)}"
    if free < LEAST_DISK:
        return Check(name, "fail", found, f"free at least {size(LEAST_DISK)}")
    if free < (1 - FULL_DISK) * total:
        return Check(name, "warn", found, f"Ray stops storing objects on a disk over {FULL_DISK:.0%} full: free some")
    return Check(name, "ok", found)


def check_home(home: Path, environment: Mapping[str, str]) -> Check:
    """Ray writes its token below the home folder, unless it is told another place."""
    try:
        with tempfile.TemporaryFile(dir=home):
            return Check("home folder", "ok", f"{home} is writable")
    except OSError as error:
        found = f"{home} is not writable ({error.strerror})"
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(environment):
        return Check("home folder", "warn", found, "Ray has its token elsewhere, but others may want the folder too")
    return Check("home folder", "fail", found, "set HOME to a writable folder, or RAY_AUTH_TOKEN to a secret of yours")


def check_token(home: Path, environment: Mapping[str, str]) -> Check:
    """Whoever can read Ray's token can run code here: only its owner should."""
    name = "ray token"
    if environment.get("RAY_AUTH_MODE", "").lower() == "disabled":
        return Check(name, "warn", "RAY_AUTH_MODE=disabled", "anybody who reaches Ray's ports can run code: unset it")
    if environment.get("RAY_AUTH_TOKEN"):
        return Check(name, "ok", "given by RAY_AUTH_TOKEN")
    path = Path(environment.get("RAY_AUTH_TOKEN_PATH") or home / ".ray" / "auth_token")
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        if environment.get("RAY_AUTH_TOKEN_PATH"):
            return Check(name, "fail", f"{path} cannot be read", "RAY_AUTH_TOKEN_PATH names no file: mend or unset it")
        return Check(name, "ok", f"{path} is not there yet: Ray makes it")
    if mode & 0o077:
        return Check(name, "warn", f"{path} has mode {mode:04o}: others can read it", f"chmod 600 {path}")
    return Check(name, "ok", f"{path} has mode {mode:04o}")


def check_port(port: int, use: str) -> Check:
    """Whether something listens already; only a warning, because another port does as well."""
    name = f"port {port}"
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return Check(name, "warn", f"not free ({error.strerror})", use)
    return Check(name, "ok", "free")
