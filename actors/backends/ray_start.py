"""Starts a Ray on this machine or joins a cluster, quietly, and keeps its token to its user."""

from __future__ import annotations

import math
import os
import secrets
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants

from fedchunk.actors.backends.inline import larger_values_inside_calls
from fedchunk.orchestrator.core.errors import ActorsUnavailable
from fedchunk.orchestrator.settings.running import RuntimeSettings

CONNECT_LIMIT_S = 10.0
"""Longest wait for an address to answer at all."""

_CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's own, for systems on which it is for one machine."""

LONGEST_TMPDIR, SHORT_TMPDIR = 40, "/tmp"


def start_ray(runtime: RuntimeSettings, address: str | None, *, large_calls: bool = False) -> None:
    """Starts a Ray on this machine (``address`` None), or joins the cluster at ``address``.

    A Ray of our own counts as many CPUs as the actors ask for, even on a smaller machine: a CPU of Ray is a share,
    and who asks for eight actors on two cores gets them.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Who asks for a node's socket a moment too early sleeps this long before the next attempt; Ray's own is a second.
    os.environ.setdefault("RAY_raylet_client_connect_timeout_milliseconds", "10")
    os.environ.setdefault("RAY_raylet_client_num_connect_attempts", "1000")
    # The first actors' processes start together with the node, not when the driver has joined it.
    os.environ.setdefault("RAY_enable_worker_prestart", "1")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is not None:
        _join(address, runtime.startup_timeout_s, quiet)
        return
    asked = (runtime.number_of_actors or 0) * runtime.cpus_per_actor
    store = runtime.object_store_memory_mb
    prepare_token()
    _shorten_sockets()
    try:
        with _on_loopback(), larger_values_inside_calls() if large_calls else nullcontext():
            ray.init(
                address="local",
                num_cpus=max(os.cpu_count() or 1, math.ceil(asked)),
                include_dashboard=runtime.ray_dashboard,
                dashboard_host="127.0.0.1",
                dashboard_port=runtime.ray_dashboard_port,
                object_store_memory=None if store is None else store * 1_000_000,
                **quiet,
            )
    except Exception as error:  # whatever it is, nothing has begun
        ray.shutdown()
        raise ActorsUnavailable(_why_not_started(error, runtime)) from error
    secure_token()


def _why_not_started(error: Exception, runtime: RuntimeSettings) -> str:
    """What to say of a Ray that does not start, and what to do."""
    text = str(error).strip().partition("\n")[0][:300] or type(error).__name__
    if runtime.object_store_memory_mb is not None and "memory" in text.lower():
        remedy = f"object_store_memory_mb is {runtime.object_store_memory_mb}: lower it, or leave it out"
    elif runtime.ray_dashboard:
        remedy = "its dashboard needs more than fedchunk installs: pip install 'ray[default]', or ray_dashboard=false"
    else:
        remedy = "fedchunk doctor looks at this machine; fedchunk run --local does without Ray"
    return f"Ray cannot be started: {type(error).__name__}: {text}. {remedy}."


def _join(address: str, limit_s: float, quiet: Mapping[str, Any]) -> None:
    """Joins a running Ray; says what is wrong where it cannot."""
    found = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
    answers = _answers(found, min(limit_s, CONNECT_LIMIT_S))
    if answers is False:
        raise ActorsUnavailable(
            f"cannot join Ray at {found}: nothing answers there within {min(limit_s, CONNECT_LIMIT_S):g} s. Is it "
            "running (`ray status` on its machine), and is this the address that it named when it was started?"
        )
    failure: list[BaseException] = []

    def join() -> None:
        try:
            ray.init(address=address, **quiet)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=join, name="fedchunk-joining", daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        raise ActorsUnavailable(f"cannot join Ray at {address} within {limit_s:g} s (startup_timeout_s). {_KEYS}")
    if failure:
        reason = str(failure[0]).strip().partition("\n")[0][:300]
        remedy = f"Something answers there: {_KEYS}" if answers else "Is it running (`ray status`)?"
        raise ActorsUnavailable(f"cannot join Ray at {address}: {reason}. {remedy}") from failure[0]


_KEYS = (
    "If it is running, it may ask for another token than this driver has, or for none: export RAY_AUTH_MODE as it was "
    "where it was started (token, or disabled), and with token have the same ~/.ray/auth_token."
)


def _answers(address: str, limit_s: float) -> bool | None:
    """Whether something listens at an address; None where that cannot be told."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return None
    try:
        socket.create_connection((host, int(port)), timeout=limit_s).close()
    except OSError:
        return False
    return True


@contextmanager
def _on_loopback() -> Iterator[None]:
    """A Ray that is started in here has the loopback's address: nothing of it is for other machines.

    Ray has that as an answer for systems without clusters, and takes whether this is one from the environment, which
    the processes that it starts inherit, and once when it is imported. Afterwards both are what they were.
    """
    before = os.environ.get(_CLUSTERS), getattr(ray_constants, "ENABLE_RAY_CLUSTER", None)
    os.environ[_CLUSTERS] = "0"
    if before[1] is not None:
        ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        if before[0] is None:
            del os.environ[_CLUSTERS]
        else:
            os.environ[_CLUSTERS] = before[0]
        if before[1] is not None:
            ray_constants.ENABLE_RAY_CLUSTER = before[1]


def _shorten_sockets() -> None:
    """Sockets have names of 107 bytes at most, and Ray's own part takes about 60: a long TMPDIR leaves too few."""
    folder = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    if len(folder) > LONGEST_TMPDIR and os.access(SHORT_TMPDIR, os.W_OK):
        os.environ["RAY_TMPDIR"] = SHORT_TMPDIR


def token_path() -> Path:
    """Where Ray keeps the token that its processes show each other."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token")).expanduser()


def prepare_token() -> None:
    """Where the home folder cannot be written, Ray cannot save its token and would not start: give it one."""
    folder = token_path().parent
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK) and not token_path().exists():
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def secure_token() -> None:
    """Ray writes its token readable for everybody; whoever reads it may run code in the cluster."""
    path = token_path()
    if path.is_file() and path.stat().st_uid == os.getuid() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o600)
