"""How well ``fedchunk plan --links`` and ``compare --links`` foretell transfers: a run through throttled sockets.

    python benchmarks/links.py                # minutes; writes results/links.md
    python benchmarks/links.py --quick        # one rate, nothing is written

``transport: tcp`` carries every encoded message through a TCP connection on this machine. Here each direction goes
through a relay that lets through so many bits a second, and everything that comes out of it takes its way. What is
held against the clock is the sum over all messages of bytes by rate: one connection carries one message after the
other, which is the formula of one client's transfers, without any that run at the same time.
"""

from __future__ import annotations

import argparse
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import fedchunk
from fedchunk.actors.backends import wire
from fedchunk.orchestrator.core.links import BYTES_OF_MBIT, Fixed, Links

RATES_MBIT = (2.0, 8.0, 32.0)
PIECE_S = 0.002
"""How long the pieces take that a relay lets through: short beside a message."""
WAITED_S = 0.001
"""A relay that waits longer than this for the next piece was idle, and not behind."""
SETTINGS = {
    "dataset_type": "digits", "number_of_clients": 1, "federated_learning_rounds": 6, "learning_rate": 0.1,
    "chunking": True, "chunking_parts": 100, "sensitivity_percentage": 50.0, "transport": "tcp", "device": "cpu",
    "mlflow_enabled": False, "checkpoint_interval": 0,
}  # fmt: skip
RESULTS = Path(__file__).parent / "results" / "links.md"


@dataclass
class Throttled:
    """Two connected sockets with a relay between them that carries ``mbit`` a second in each direction."""

    mbit: float
    sockets: list[socket.socket] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def connect(self, limit_s: float) -> tuple[socket.socket, socket.socket]:
        """In place of :func:`wire.connect`."""
        near, relay_near = wire_connect(limit_s)
        far, relay_far = wire_connect(limit_s)
        self.sockets += [near, far, relay_near, relay_far]
        for source, to in ((relay_near, relay_far), (relay_far, relay_near)):
            thread = threading.Thread(target=self._carry, args=(source, to), daemon=True)
            thread.start()
            self.threads.append(thread)
        return near, far

    def close(self) -> None:
        for end in self.sockets:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self.threads:
            thread.join()

    def _carry(self, source: socket.socket, to: socket.socket) -> None:
        """Passes on what comes, no faster than the rate; what a sleep took too long, the next piece makes up for."""
        rate = self.mbit * BYTES_OF_MBIT
        piece, free_at = max(1, int(rate * PIECE_S)), 0.0
        source.settimeout(None)
        to.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a short piece waits for what follows
        with suppress(OSError):
            while True:
                asked = time.perf_counter()
                if not (content := source.recv(piece)):
                    return
                came = time.perf_counter()
                if came - asked > WAITED_S:  # the line was idle: nothing to make up for
                    free_at = max(free_at, came)
                free_at += len(content) / rate
                time.sleep(max(0.0, free_at - time.perf_counter()))
                to.sendall(content)


wire_connect = wire.connect
Carry = Callable[[wire.Wire, wire.Payload], wire.Payload]


@dataclass
class Carried:
    """Times messages on the wire; stands in for :meth:`wire.Wire._carry`."""

    seconds: dict[str, float] = field(default_factory=lambda: {"down": 0.0, "up": 0.0})

    def timed(self, name: str) -> Carry:
        carry: Carry = getattr(wire.Wire, name)

        def method(own: wire.Wire, payload: wire.Payload) -> wire.Payload:
            started = time.perf_counter()
            received = carry(own, payload)
            self.seconds[name] += time.perf_counter() - started
            return received

        return method


def measured(mbit: float, folder: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds on the wire as the clock had them, and as the recorded run's tables foretell them over such links."""
    throttled, carried = Throttled(mbit), Carried()
    timed = patch.multiple(wire.Wire, down=carried.timed("down"), up=carried.timed("up"))
    with timed, patch.object(wire, "connect", throttled.connect):
        run = fedchunk.run(SETTINGS, output=folder, local=True, progress=False)
    throttled.close()
    values = {"up_mbit": mbit, "down_mbit": mbit, "latency_ms": 0.0, "compute_factor": 0.0}
    times = run.link_times(Links("throttled", {name: Fixed(value) for name, value in values.items()}))
    foretold = {name: sum(getattr(one, f"{name}_s") for one in times.rounds) for name in ("down", "up")}
    return carried.seconds, foretold


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one rate; nothing is written")
    quick = parser.parse_args().quick
    lines = [
        "| rate, Mbit/s | direction | foretold | measured | measured / foretold |",
        "| ---: | --- | ---: | ---: | ---: |",
    ]
    for mbit in RATES_MBIT[1:2] if quick else RATES_MBIT:
        with tempfile.TemporaryDirectory() as folder:
            clock, foretold = measured(mbit, Path(folder) / "run")
        for way in ("down", "up"):
            ratio = clock[way] / foretold[way]
            lines.append(f"| {mbit:g} | {way} | {foretold[way]:.3f} s | {clock[way]:.3f} s | {ratio:.3f} |")
    text = "\n".join(lines)
    print(text)
    if not quick:
        head = (
            "# Transfers, foretold and measured\n\n"
            "`python benchmarks/links.py`: one client, MLP on digits, half of 100 chunks, 6 rounds, `transport: tcp`\n"
            "through a relay that carries each direction at the rate; sums over all messages, one run at each rate.\n"
            "What the clock has beyond that is per message: threads that are woken, not bytes.\n\n"
        )
        RESULTS.write_text(head + text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
