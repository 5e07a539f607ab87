"""Workers that play whole trials of a sweep, one after the other: torch is imported and data loaded once for each.

A trial runs in its worker as ``--local`` does in a process of its own, and so with the same bits. Only the modules
``actors.backends.ray_*`` import ray.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fedchunk.actors.backends.memory import keep_freed_memory
from fedchunk.actors.backends.ray_start import start_ray
from fedchunk.orchestrator.settings.running import RuntimeSettings

POLL_S = 0.2


class _TrialWorker:
    """Plays trials. One thread plays, another answers questions."""

    def __init__(self, make_player: Callable[[], Any]) -> None:
        keep_freed_memory()
        self._player = make_player()
        self._lock = threading.Lock()

    def play(self, trial: Any) -> Any:
        """What became of a trial."""
        with self._lock:
            return self._player.play(trial)

    def progress(self) -> Any:
        """How far the trial is."""
        return self._player.progress()

    def stop(self) -> None:
        """The trial is to end after its round."""
        self._player.stop()


class TrialPool:
    """Starts workers as there is room, and hands trials out."""

    def __init__(
        self,
        make_player: Callable[[], Any],
        runtime: RuntimeSettings,
        most: int | None,
        address: str | None,
        *,
        spread: bool = False,
    ) -> None:
        """
        Args:
            make_player: makes what plays trials, in a worker's process.
            runtime: what a worker takes: ``cpus_per_actor``, ``gpus_per_actor``.
            most: workers at most; None: as many as fit.
            address: a Ray to join; None: one of its own, or the one that runs in this process already.
            spread: also on other nodes, whose disk must be this one's.
        """
        self._make_player, self._runtime, self._most, self._address = make_player, runtime, most, address
        self._spread = spread
        self._owns_ray = False
        self._workers: list[Any] = []

    def __enter__(self) -> TrialPool:
        if not ray.is_initialized():
            start_ray(self._runtime, self._address)
            self._owns_ray = True
        resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
        room = int(resources.get("CPU", 1) // self._runtime.cpus_per_actor)
        if self._runtime.gpus_per_actor is not None:
            room = min(room, int(resources.get("GPU", 0) // self._runtime.gpus_per_actor))
        self.size = max(1, min(room, self._most or room))
        return self

    def __exit__(self, *exc_info: object) -> None:
        for worker in self._workers:
            ray.kill(worker, no_restart=True)
        if self._owns_ray:
            ray.shutdown()

    def start_worker(self) -> Any:
        """A new worker; it waits for room by itself."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        worker = (
            ray.remote(_TrialWorker)
            .options(
                num_cpus=self._runtime.cpus_per_actor,
                num_gpus=self._runtime.gpus_per_actor or 0,
                max_concurrency=2,
                scheduling_strategy="SPREAD" if self._spread else here,
            )
            .remote(self._make_player)
        )
        self._workers.append(worker)
        return worker

    def drop_worker(self, worker: Any) -> None:
        """Ends a worker."""
        ray.kill(worker, no_restart=True)
        self._workers.remove(worker)

    @staticmethod
    def wait(references: list[Any]) -> list[Any]:
        """Those that are done, after a moment."""
        done: list[Any] = ray.wait(references, num_returns=len(references), timeout=POLL_S)[0]
        return done

    @staticmethod
    def answer(reference: Any) -> Any:
        """What a worker gave back. Raises RuntimeError where it died."""
        try:
            return ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise RuntimeError(str(error.cause or error)) from error
        except ray.exceptions.RayError as error:
            raise RuntimeError(f"its process died ({type(error).__name__})") from error
