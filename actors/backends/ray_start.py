"""Starts a Ray on this machine or joins a cluster, quietly, and keeps its token to its user."""

from __future__ import annotations

import math
import os
import secrets
import stat
from pathlib import Path
from typing import Any

import ray

from fedchunk.orchestrator.core.errors import ActorsUnavailable
from fedchunk.orchestrator.settings.running import RuntimeSettings


def start_ray(runtime: RuntimeSettings, address: str | None) -> None:
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
        try:
            ray.init(address=address, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ActorsUnavailable(f"cannot join Ray at {address}: {error}. Is it running (`ray status`)?") from error
        return
    asked = (runtime.number_of_actors or 0) * runtime.cpus_per_actor
    store = runtime.object_store_memory_mb
    prepare_token()
    ray.init(
        address="local",
        num_cpus=max(os.cpu_count() or 1, math.ceil(asked)),
        include_dashboard=runtime.ray_dashboard,
        dashboard_host="127.0.0.1",
        dashboard_port=runtime.ray_dashboard_port,
        object_store_memory=None if store is None else store * 1_000_000,
        **quiet,
    )
    secure_token()


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
