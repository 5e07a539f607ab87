"""Encoded messages through TCP sockets on this machine, counted where they are read: the proof of the ledger.

A frame is a length of 8 bytes, little-endian, and the message as it was encoded. Whoever reads a frame counts the
bytes that the socket gave, the lengths apart as framing, and looks into the message to say of which kind they are:
nothing is taken from the sender's own figures. The receiver goes on with the bytes that came out of the socket.

Both ends live in this process. A thread sends while the caller receives, so that a message may be larger than what
the kernel keeps between two sockets.
"""

from __future__ import annotations

import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import header
from fedchunk.orchestrator.chunking.codecs import FIRST_OWN_ID, FLOAT32
from fedchunk.orchestrator.chunking.header import Expected, Flag, Header, Origin
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.sections import take_apart
from fedchunk.orchestrator.contract.messages import COORDINATOR, ModelSpec
from fedchunk.orchestrator.core.errors import ActorsUnavailable, PayloadError

LOOPBACK = "127.0.0.1"
_LENGTH = struct.Struct("<Q")
FRAMING = _LENGTH.size
"""Bytes in front of each message."""

Payload = NDArray[np.uint8]
Direction = Literal["down", "up"]
Sizes = Callable[[Payload], Mapping[str, int]]
"""The bytes of a received message by kind."""


class Transport(Protocol):
    """What carries messages between the coordinator and its clients."""

    def down(self, payload: Payload) -> Payload:
        """Coordinator to client: what the client receives, read-only."""
        ...

    def up(self, payload: Payload) -> Payload:
        """Client to coordinator: what the coordinator receives, read-only."""
        ...


@dataclass(frozen=True)
class WireCounts:
    """What was read off the sockets so far."""

    bytes_by: Mapping[tuple[Direction, str], int]
    """Bytes of the messages by direction and kind, as the ledger names kinds."""
    framing: int
    """Bytes of the lengths in front of the messages, which are not billed."""
    messages: int
    total: int
    """All bytes that the sockets gave, framing among them."""


class KindReader:
    """Tells the bytes of received messages by kind, from the messages alone; they add up to a message's length.

    A later message of a connection does not say where it comes from, so its checksum is compared for all of whom a
    message of the round may be. A message without a mask says how many chunks it holds: that is enough. Bytes that are
    no message of the round and layout are all ``rejected``, as in the ledger.
    """

    def __init__(self, layout: Layout, spec: ModelSpec, samples_per_client: Sequence[int]) -> None:
        self._layout = layout
        self._spec = spec
        self._samples = samples_per_client
        self._next = 0
        self.round_index = 0
        """The round in progress."""

    def __call__(self, payload: Payload) -> dict[str, int]:
        """The bytes of a message by kind."""
        stands = payload[: len(header.MAGIC)].tobytes() != header.MAGIC
        for origin in self._origins():
            expected = Expected(origin, stands)
            try:
                head = header.read(payload, self._layout, expected)
                header.verify(payload, head, self._layout, expected, len(payload))
            except PayloadError:
                continue
            self._next = origin.sender + 1
            return self._sizes(payload, head)
        return {"rejected": len(payload)}

    def _origins(self) -> Iterator[Origin]:
        """Of whom a message may be, the client after the last one first: they mostly come in order."""
        yield from (Origin(index, COORDINATOR, 0) for index in (self.round_index - 1, self.round_index))
        count = len(self._samples)
        for client in (at % count for at in range(self._next, self._next + count)):
            yield Origin(self.round_index, client, self._samples[client])

    def _sizes(self, payload: Payload, head: Header) -> dict[str, int]:
        if Flag.SCORES in head.flags:
            return {"header": head.size, "scores": len(payload) - head.size}
        counts = self._spec.num_float_buffers, self._spec.num_integer_buffers
        try:
            # A user's encoding has no scales: its values are all that is left, as those of float32 are.
            own = replace(FLOAT32, wire_id=head.encoding) if head.encoding >= FIRST_OWN_ID else None
            return take_apart(payload, head, self._layout, *counts, own).sizes
        except PayloadError:
            return {"rejected": len(payload)}


class Endpoint:
    """One end of a connection: sends and receives messages, and counts what it reads off its socket."""

    def __init__(self, end: socket.socket, sizes: Sizes, limit_s: float) -> None:
        """``limit_s`` is the longest that one message may take to send, or to arrive, in seconds."""
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a short message must not wait for the next one
        self._socket = end
        self._sizes = sizes
        self._limit_s = limit_s
        self.bytes_read = 0
        self.messages_read = 0
        self.bytes_by_kind: Counter[str] = Counter()

    def send(self, payload: Payload) -> None:
        """Sends one message. Raises ActorsUnavailable when the other end does not take it within the limit."""
        try:
            self._socket.settimeout(self._limit_s)
            self._socket.sendall(_LENGTH.pack(len(payload)))
            self._socket.sendall(payload.data)
        except TimeoutError as error:
            raise self._failed(f"the other end did not take {len(payload)} bytes {self._within}") from error
        except OSError as error:
            raise self._failed(f"{len(payload)} bytes could not be sent: {error}") from error

    def receive(self) -> Payload:
        """The next message, read-only. Raises ActorsUnavailable when it is not complete within the limit."""
        deadline = time.monotonic() + self._limit_s
        (length,) = _LENGTH.unpack(self._read(FRAMING, "a message's length", deadline).data)
        payload = self._read(length, "a message", deadline)
        payload.setflags(write=False)
        self.messages_read += 1
        self.bytes_by_kind.update(self._sizes(payload))
        return payload

    def close(self) -> None:
        """Closes the socket and wakes a thread that waits for it."""
        with suppress(OSError):  # the other end may have closed already
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _read(self, size: int, what: str, deadline: float) -> Payload:
        buffer = np.empty(size, np.uint8)
        free = buffer.data
        while len(free):
            progress = f"{size - len(free)} of {size} bytes of {what}"
            try:
                self._socket.settimeout(max(deadline - time.monotonic(), _SHORTEST_WAIT_S))
                count = self._socket.recv_into(free)
            except TimeoutError as error:
                raise self._failed(f"only {progress} came {self._within}") from error
            except OSError as error:
                raise self._failed(f"lost after {progress}: {error}") from error
            if not count:
                raise self._failed(f"the other end closed it after {progress}")
            self.bytes_read += count
            free = free[count:]
        return buffer

    @property
    def _within(self) -> str:
        return f"within {self._limit_s:g} s (client_timeout_s)"

    @staticmethod
    def _failed(reason: str) -> ActorsUnavailable:
        return ActorsUnavailable(f"TCP connection on {LOOPBACK}: {reason}")


_SHORTEST_WAIT_S = 1e-3
"""A timeout of 0 would mean not to wait at all, one below 0 is refused."""


class Wire:
    """A :class:`Transport` over one TCP connection. A context manager: leaving it ends sockets and thread."""

    def __init__(self, sizes: Sizes, limit_s: float) -> None:
        """``sizes`` tells the kinds of a received message; ``limit_s`` is the limit for one message, in seconds."""
        self._sizes = sizes
        self._limit_s = limit_s

    def __enter__(self) -> Wire:
        coordinator, clients = connect(self._limit_s)
        self._coordinator = Endpoint(coordinator, self._sizes, self._limit_s)
        self._clients = Endpoint(clients, self._sizes, self._limit_s)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fedchunk-wire")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._coordinator.close()
        self._clients.close()
        self._thread.shutdown()

    def down(self, payload: Payload) -> Payload:
        """Coordinator to client: what came out of the client's socket."""
        return self._carry(self._coordinator, self._clients, payload)

    def up(self, payload: Payload) -> Payload:
        """Client to coordinator: what came out of the coordinator's socket."""
        return self._carry(self._clients, self._coordinator, payload)

    @property
    def counts(self) -> WireCounts:
        """What both ends read so far; stays when the wire is closed."""
        readers: dict[Direction, Endpoint] = {"down": self._clients, "up": self._coordinator}
        messages = sum(end.messages_read for end in readers.values())
        return WireCounts(
            bytes_by={(way, kind): n for way, end in readers.items() for kind, n in end.bytes_by_kind.items() if n},
            framing=FRAMING * messages,
            messages=messages,
            total=sum(end.bytes_read for end in readers.values()),
        )

    def _carry(self, sender: Endpoint, receiver: Endpoint, payload: Payload) -> Payload:
        sending = self._thread.submit(sender.send, payload)
        received = receiver.receive()
        sending.result()
        return received


def connect(limit_s: float) -> tuple[socket.socket, socket.socket]:
    """Two connected TCP sockets on the loopback interface, on a port that is free.

    Raises ActorsUnavailable when that does not succeed within ``limit_s`` seconds.
    """
    try:
        with socket.create_server((LOOPBACK, 0)) as listener, ExitStack() as until_done:
            listener.settimeout(limit_s)
            near = until_done.enter_context(socket.create_connection(listener.getsockname(), limit_s))
            far, caller = listener.accept()
            until_done.enter_context(far)
            if caller != near.getsockname():
                raise ConnectionError(f"another program connected to the port first, from {caller}; start again")
            until_done.pop_all()
            return near, far
    except OSError as error:
        raise ActorsUnavailable(f"no TCP connection on {LOOPBACK} within {limit_s:g} s: {error}") from error
