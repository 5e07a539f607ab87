"""What each encoding makes of real messages: bytes, and what the receiver does not see of them.

    python benchmarks/encoding_table.py                  # one minute on one core
    python benchmarks/encoding_table.py --rounds 3       # a trial

LeNet learns Fashion-MNIST for some rounds by configs/star_1_percent.yaml with server step 1 and 8.5 % of the chunks, in
one process, and every message's values are kept: of chunks of 64 values, of what each client (and the coordinator) has
withheld. Then each encoding packs the values of the last messages. Prints the table of ``docs/encodings.md``.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import fedchunk
from fedchunk.orchestrator.chunking.codecs import BUILT_IN, Codec
from fedchunk.orchestrator.chunking.codecs.qsgd import Qsgd
from fedchunk.orchestrator.chunking.codecs.top_k import TopK

ROOT = Path(__file__).parents[1]
DATA = Path("/usr/share/datasets/fashion-mnist")

Values = tuple[NDArray[np.float32], NDArray[np.int64]]
"""The values of a message's chunks, and how many each chunk has."""


class Keep:
    """An encoding that loses nothing, and writes down what it was asked to encode."""

    wire_id = 200

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def encode(self, values: NDArray[np.float32], sizes_K: NDArray[np.int64]) -> bytes:
        np.savez(self.folder / f"{uuid4().hex}.npz", values=values, sizes=sizes_K)
        return values.tobytes()

    def decode(self, encoded: bytes, sizes_K: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.frombuffer(encoded, np.float32)


def messages(rounds: int) -> list[Values]:
    """The last messages, as many as there are clients."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder, "kept")
        kept.mkdir()
        fedchunk.run(
            ROOT / "configs" / "star_1_percent.yaml",
            sensitivity_percentage=8.5,
            downlink_sensitivity_percentage=8.5,
            server_learning_rate=1.0,
            chunk_encoding=Keep,
            chunk_encoding_options={"folder": str(kept)},
            chunk_compression="none",
            data_dir=str(DATA),
            federated_learning_rounds=rounds,
            record_chunks=False,
            mlflow_enabled=False,
            output=Path(folder, "run"),
            local=True,
            progress=False,
        )
        files = sorted(kept.iterdir(), key=lambda file: file.stat().st_mtime_ns)[-20:]
        return [(arrays["values"], arrays["sizes"]) for arrays in map(np.load, files)]


def contenders() -> Iterator[tuple[str, Codec]]:
    """Every built-in encoding, and some with other options."""
    yield from BUILT_IN.items()
    yield "topk_in_chunk, share 0.5", TopK(8, 0.5)
    yield "topk_in_chunk, share 0.25", TopK(8, 0.25)
    yield "topk_in_chunk, share 0.0156", TopK(8, 1 / 64)
    yield "qsgd, levels 1", Qsgd(10, 1)
    yield "qsgd, by_largest false", Qsgd(10, by_largest=False)


def row(name: str, codec: Codec, sent: list[Values]) -> str:
    """Means over the messages."""
    plain, small, lost, energy = 0, 0, 0.0, 0.0
    for values_V, sizes_K in sent:
        packed, scales = codec.pack(values_V, sizes_K)
        seen_V = codec.unpack(packed, scales, sizes_K)
        plain += len(packed) + len(scales)
        small += min(len(packed), len(pa.compress(packed, codec="zstd", asbytes=True))) + len(scales)
        lost += float(np.square(values_V - seen_V, dtype=np.float64).sum())
        energy += float(np.square(values_V, dtype=np.float64).sum())
    values = sum(len(values_V) for values_V, _ in sent)
    error = math.sqrt(lost / energy)
    return (
        f"| {name} | {plain / len(sent):,.0f} | {8 * plain / values:.2f} | {small / len(sent):,.0f} "
        f"| {8 * small / values:.2f} | {error:.4f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    sent = messages(parser.parse_args().rounds)
    mean = sum(len(values_V) for values_V, _ in sent) / len(sent)
    print(f"{len(sent)} messages of {mean:,.0f} values in {np.mean([len(sizes_K) for _, sizes_K in sent]):,.0f} chunks")
    print("\n| encoding | bytes | bits a value | bytes with zstd | bits a value | relative error |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, codec in contenders():
        print(row(name, codec, sent))


if __name__ == "__main__":
    main()
