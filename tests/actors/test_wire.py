"""Sockets on the loopback interface: what goes in comes out, is counted by kind, and a lost peer is a clear error."""

import socket
import struct
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fedchunk.actors.backends.wire import Endpoint, KindReader, Wire, connect
from fedchunk.orchestrator.chunking.codecs import BUILT_IN
from fedchunk.orchestrator.chunking.draft import assemble
from fedchunk.orchestrator.chunking.encoding import Packing, decode, encode
from fedchunk.orchestrator.chunking.header import Expected, Flag, Header, Origin
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.score_message import encode_scores
from fedchunk.orchestrator.chunking.sections import COMPRESSIONS
from fedchunk.orchestrator.contract.messages import BufferSpec, ModelSpec, ParameterSpec
from fedchunk.orchestrator.core.errors import ActorsUnavailable, PayloadError

SHORT_S = 0.2


def as_values(payload):
    return {"values": len(payload)}


@hypothesis_settings(deadline=None, max_examples=30)
@given(sizes=st.lists(st.tuples(st.booleans(), st.integers(0, 300_000)), max_size=8))
@example(sizes=[(True, 0), (False, 0), (True, 1)])
@example(sizes=[(True, 40_000_000), (False, 40_000_000)])
def test_messages_of_any_size_come_through_whole_and_counted(sizes):
    with Wire(as_values, 30.0) as wire:
        for i, (is_up, size) in enumerate(sizes):
            payload = np.random.default_rng(i).integers(0, 256, size, np.uint8)
            received = wire.up(payload) if is_up else wire.down(payload)
            assert not received.flags.writeable
            assert not np.shares_memory(received, payload)
            np.testing.assert_array_equal(received, payload)

    counts = wire.counts
    sent = Counter()
    for is_up, size in sizes:
        sent["up" if is_up else "down", "values"] += size
    assert counts.bytes_by == {way: size for way, size in sent.items() if size}
    assert (counts.messages, counts.framing) == (len(sizes), 8 * len(sizes))
    assert counts.total == counts.framing + sum(sent.values())


SPEC = ModelSpec(
    (ParameterSpec("weight", (1000,), 0, 1000),),
    (BufferSpec("mean", (6,), False, 0, 6), BufferSpec("count", (), True, 0, 1)),
)


SAMPLES = (5, 9, 3)
FROM_CLIENT_2 = Origin(20, 2, 3)


def reader_of(layout):
    """Of round 20 among three clients."""
    reader = KindReader(layout, SPEC, SAMPLES)
    reader.round_index = 20
    return reader


@given(
    parts=st.integers(1, 40),
    encoding=st.sampled_from(tuple(BUILT_IN)),
    compression=st.sampled_from(COMPRESSIONS),
    options=st.fixed_dictionaries(
        {name: st.booleans() for name in ("shares", "choice", "buffers", "with_mask", "is_change", "stands")}
    ),
    seed=st.integers(0, 2**16),
)
def test_kinds_read_from_the_bytes_are_those_of_the_encoder(parts, encoding, compression, options, seed):
    rng = np.random.default_rng(seed)
    layout = Layout(1000, parts)
    mask_C = rng.random(parts) < 0.5
    encoded = encode(
        layout,
        np.round(rng.standard_normal(1000)).astype(np.float32),
        mask_C,
        round_index=20,
        sender=2,
        num_samples=3,
        buffers=(np.ones(6, np.float32), np.ones(1, np.int64)) if options["buffers"] else None,
        packing=Packing.built_in(encoding, compression),
        is_change=options["is_change"],
        shares_K=np.ones(int(mask_C.sum()), np.float32) if options["shares"] else None,
        choice_C=mask_C if options["choice"] else None,
        with_mask=options["with_mask"],
    ).over(stands=options["stands"])
    reader, expected = reader_of(layout), Expected(FROM_CLIENT_2, options["stands"])

    assert reader(encoded.payload) == encoded.sizes == decode(encoded.payload, layout, expected, 6, 1, mask_C).sizes
    damaged = encoded.payload.copy()
    damaged[rng.integers(len(damaged))] ^= 1
    assert reader(damaged) == {"rejected": len(damaged)}


@pytest.mark.parametrize(("encoding", "size"), [("float32", 4 * 20), ("byte", 4 + 20)])
def test_scores_are_a_kind_of_their_own(encoding, size):
    layout = Layout(1000, 20)
    scores_C = np.linspace(0, 1, 20, dtype=np.float32)
    fields = {"round_index": 20, "sender": 1, "num_samples": 9}
    for stands, header in ((False, 32), (True, 8)):
        payload, sizes = encode_scores(layout, scores_C, encoding, **fields, stands=stands)
        assert reader_of(layout)(payload) == sizes == {"header": header, "scores": size}


@pytest.mark.parametrize("stands", [False, True])
@pytest.mark.parametrize(
    ("origin", "counts"),
    [
        (Origin(20, 0, 5), True),
        (Origin(20, 2, 3), True),
        (Origin(19, -1, 0), True),
        (Origin(20, -1, 0), True),
        (Origin(19, 2, 3), False),
        (Origin(20, 2, 4), False),
        (Origin(20, 3, 3), False),
    ],
)
def test_only_messages_of_the_round_and_its_clients_have_kinds(stands, origin, counts):
    layout = Layout(1000, 20)
    whence = {"round_index": origin.round_index, "sender": origin.sender, "num_samples": origin.num_samples}
    message = encode(layout, np.ones(1000, np.float32), np.arange(20) < 3, **whence, buffers=None).over(stands=stands)

    assert reader_of(layout)(message.payload) == (message.sizes if counts else {"rejected": len(message.payload)})


@pytest.mark.parametrize(
    "odd",
    [
        Header(Flag.MASK, 99, 0, FROM_CLIENT_2),
        Header(Flag.SHARES, 0, 0, FROM_CLIENT_2),
        Header(Flag.MASK | Flag.BUFFERS, 0, 0, FROM_CLIENT_2),
        Header(Flag.MASK, 0, 3, FROM_CLIENT_2),
    ],
    ids=["an unknown encoding", "more shares than bytes", "more buffers than bytes", "an unknown compression"],
)
def test_a_header_that_says_what_cannot_be_is_rejected(odd):
    layout = Layout(1000, 20)
    payload, _ = assemble(odd, layout, {"mask": bytes([20, 0, 0])})

    assert reader_of(layout)(payload) == {"rejected": 35}
    with pytest.raises(PayloadError):
        decode(payload, layout, Expected(FROM_CLIENT_2, stands=False), 6, 1, np.ones(20, np.bool_))


@pytest.fixture
def end_and_peer():
    """An end that waits a short while, and the bare socket at the other side."""
    near, far = connect(10.0)
    end = Endpoint(near, as_values, SHORT_S)
    yield end, far
    end.close()
    far.close()


def test_a_connection_is_tcp_on_the_loopback_interface_only():
    near, far = connect(10.0)
    with near, far:
        assert near.family == far.family == socket.AF_INET
        assert near.type == far.type == socket.SOCK_STREAM
        assert near.getsockname() == far.getpeername()
        assert near.getsockname()[0] == far.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("sent", "came"),
    [
        (b"", r"0 of 8 bytes of a message's length"),
        (b"\x05\x00\x00", r"3 of 8 bytes of a message's length"),
        (struct.pack("<Q", 5), r"0 of 5 bytes of a message"),
        (struct.pack("<Q", 5) + b"abc", r"3 of 5 bytes of a message"),
    ],
)
@pytest.mark.parametrize("closes", [False, True], ids=["hangs", "closes"])
@pytest.mark.timeout(20)
def test_a_peer_that_stops_early_is_an_error_that_says_how_far_it_came(end_and_peer, sent, came, closes):
    end, peer = end_and_peer
    peer.sendall(sent)
    if closes:
        peer.close()

    said = f"closed it after {came}" if closes else f"only {came} came within 0.2 s"
    with pytest.raises(ActorsUnavailable, match=said):
        end.receive()
    assert end.bytes_read == len(sent)
    assert end.messages_read == 0


@pytest.mark.timeout(20)
def test_the_limit_is_for_the_message_and_not_for_each_of_its_bytes(end_and_peer):
    end, peer = end_and_peer
    peer.sendall(struct.pack("<Q", 10_000))
    enough = threading.Event()

    def drip():
        while not enough.wait(SHORT_S / 20):
            peer.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        with pytest.raises(ActorsUnavailable, match=r"only \d+ of 10000 bytes of a message came within"):
            end.receive()
    finally:
        enough.set()
        thread.join()


@pytest.mark.timeout(20)
def test_a_peer_that_does_not_read_or_is_gone_is_an_error_of_the_sender(end_and_peer):
    end, peer = end_and_peer
    large = np.zeros(64_000_000, np.uint8)

    with pytest.raises(ActorsUnavailable, match="did not take 64000000 bytes within"):
        end.send(large)
    peer.close()
    with pytest.raises(ActorsUnavailable, match="64000000 bytes could not be sent"):
        end.send(large)


@pytest.mark.timeout(20)
def test_closing_an_end_wakes_a_thread_that_waits_for_it():
    near, far = connect(10.0)
    with near, far, ThreadPoolExecutor(1) as thread:
        end = Endpoint(near, as_values, 600.0)
        receiving = thread.submit(end.receive)
        end.close()
        with pytest.raises(ActorsUnavailable):
            receiving.result()
