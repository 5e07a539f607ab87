"""The two times that a start is measured by, in a fresh process: ``ray.init`` as we call it, and torch in an actor.

    python benchmarks/startup_bound.py CONFIG [key=value ...]

Prints one line of JSON, in seconds. The import of ray itself is a third time, counted in neither.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from fedchunk.orchestrator.settings import loading


def import_torch() -> float:
    """Seconds of the import, in the actor."""
    started = time.monotonic()
    import torch  # noqa: F401

    return time.monotonic() - started


class Importer:
    """An actor that has nothing but torch to import."""

    def run(self, function: Callable[[], float]) -> float:
        return function()


def main() -> None:
    runtime = loading.load(sys.argv[1], sys.argv[2:]).settings.runtime
    begun = time.monotonic()
    import ray

    from fedchunk.actors.backends.ray_start import start_ray

    started = time.monotonic()
    start_ray(runtime, None)
    ray_s = time.monotonic() - started
    actor: Any = ray.remote(Importer).remote()  # ray types the methods as those of the plain class
    torch_s = ray.get(actor.run.remote(import_torch))
    ray.shutdown()
    print(json.dumps({"import_s": started - begun, "ray_s": ray_s, "torch_s": torch_s}))


if __name__ == "__main__":
    main()
