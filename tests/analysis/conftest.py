"""Run folders made by hand, in the real schemas: small ones with known answers, and large ones that look real."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fedchunk.orchestrator.core.records import ROUND_TABLES, SCHEMAS, table_from_columns, table_from_rows
from fedchunk.orchestrator.recording import table_files

COORDINATOR = -1


@dataclass
class Recipe:
    """What a made-up run did: scores and choices by round and client, and the rest with defaults."""

    scores: Mapping[tuple[int, int], Sequence[float]]
    selected: Mapping[tuple[int, int], Sequence[int]]
    rejected: frozenset[tuple[int, int]] = frozenset()
    accuracy: Sequence[float | None] = ()
    client_accuracy: Sequence[float | None] = ()
    parameters: Sequence[Sequence[str]] | None = None
    ages: Mapping[tuple[int, int], Sequence[int]] = field(default_factory=dict)
    reasons: Mapping[tuple[int, int], str] = field(default_factory=dict)
    residual: Mapping[tuple[int, int], float] = field(default_factory=dict)
    consensus: Sequence[float | None] = ()
    metrics: Sequence[tuple[int, int | None, str, float]] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    chunk_bytes: int = 1000

    @property
    def num_chunks(self) -> int:
        return len(next(iter(self.scores.values())))

    @property
    def rounds(self) -> list[int]:
        return sorted({round_index for round_index, _ in self.scores})

    def took_part(self, round_index: int) -> list[int]:
        return sorted(client for r, client in self.scores if r == round_index)

    def tables(self) -> dict[str, pa.Table]:
        return {
            "rounds": table_from_rows("rounds", [self._round(i, r) for i, r in enumerate(self.rounds)]),
            "clients": table_from_rows("clients", [self._client(r, c) for r, c in sorted(self.scores)]),
            "chunks": self._chunks(),
            "chunk_summary": SCHEMAS["chunk_summary"].empty_table(),
            "layout": table_from_rows("layout", self._layout()),
            "ledger": table_from_rows("ledger", [row for key in sorted(self.scores) for row in self._traffic(*key)]),
            "metrics": table_from_rows("metrics", self._metrics()),
        }

    def _uplink(self, round_index: int, client: int) -> int:
        return 20 + self.chunk_bytes * len(self.selected[round_index, client])

    def _downlink(self) -> int:
        return 30 + self.chunk_bytes * self.num_chunks

    def _round(self, index: int, round_index: int) -> dict[str, Any]:
        clients = self.took_part(round_index)
        accuracy = self.accuracy[index] if self.accuracy else None
        own = self.client_accuracy[index] if self.client_accuracy else None
        dense = len(clients) * self.chunk_bytes * self.num_chunks
        sent = set().union(*(self.selected[round_index, c] for c in clients))
        return {
            "round": round_index,
            "participants": sum((round_index, c) not in self.rejected for c in clients),
            "failed": sum((round_index, c) in self.rejected for c in clients),
            "accuracy": accuracy,
            "loss": None if accuracy is None else 1 - accuracy,
            "client_accuracy_mean": own,
            "client_accuracy_min": None if own is None else own - 0.05,
            "client_accuracy_max": None if own is None else own + 0.05,
            "consensus_distance": self.consensus[index] if self.consensus else None,
            "residual_norm": np.mean([self.residual[round_index, c] for c in clients]) if self.residual else None,
            "train_loss": 1.0 / round_index,
            "uplink_bytes": sum(self._uplink(round_index, c) for c in clients),
            "downlink_bytes": self._downlink() * len(clients),
            "dense_uplink_bytes": dense,
            "dense_downlink_bytes": dense,
            "dense_bytes": 2 * dense,
            "coverage": len(sent) / self.num_chunks,
            "sensitivity_percentage": 100 * np.mean([len(self.selected[round_index, c]) for c in clients])
            / self.num_chunks,
            "train_s": 1.5, "aggregate_s": 0.1, "evaluate_s": 0.2, "wall_s": 2.0,
        }  # fmt: skip

    def _client(self, round_index: int, client: int) -> dict[str, Any]:
        rejected = (round_index, client) in self.rejected
        sent = len(self.selected[round_index, client])
        return {
            "round": round_index, "client": client, "status": "rejected" if rejected else "ok",
            "reason": "a value is not finite <script>" if rejected else None,
            "samples": 100 + client, "train_loss": 0.5, "chunks_sent": sent,
            "sensitivity_percentage": 100 * sent / self.num_chunks, "accuracy": None,
            "sensitivity_reason": self.reasons.get((round_index, client), "fixed"),
            "energy": self._energy(round_index, client), "residual_norm": self.residual.get((round_index, client)),
            "uplink_bytes": self._uplink(round_index, client), "downlink_bytes": self._downlink(),
            "train_s": 0.1, "attempts": 1,
        }  # fmt: skip

    def _energy(self, round_index: int, client: int) -> float | None:
        squares = np.square(np.asarray(self.scores[round_index, client], np.float64))
        held = squares[list(self.selected[round_index, client])].sum()
        return float(held / squares.sum()) if 0 < squares.sum() < np.inf else None

    def _chunks(self) -> pa.Table:
        if not self.full_config()["record_chunks"]:
            return SCHEMAS["chunks"].empty_table()
        keys, C = sorted(set(self.scores) - self.rejected), self.num_chunks
        masks = [np.isin(np.arange(C), self.selected[key]) for key in keys]
        columns = {
            "round": np.repeat([r for r, _ in keys], C),
            "client": np.repeat([c for _, c in keys], C),
            "chunk": np.tile(np.arange(C), len(keys)),
            "score": np.concatenate([self.scores[key] for key in keys]).astype(np.float32),
            "distance": np.concatenate([self.scores[key] for key in keys]).astype(np.float32) / 10,
            "selected": np.concatenate(masks),
            "age": np.concatenate([self.ages.get(key, [0] * C) for key in keys]).astype(np.int32),
        }
        return table_from_columns("chunks", columns)

    def _metrics(self) -> list[dict[str, Any]]:
        return [dict(zip(("round", "client", "name", "value"), row, strict=True)) for row in self.metrics]

    def _layout(self) -> list[dict[str, Any]]:
        names = self.parameters or [["0.weight"]] * self.num_chunks
        return [
            {"chunk": c, "start": 250 * c, "stop": 250 * (c + 1), "parameters": list(own)}
            for c, own in enumerate(names)
        ]

    def _traffic(self, round_index: int, client: int) -> list[dict[str, Any]]:
        values = self.chunk_bytes * len(self.selected[round_index, client])
        links = [
            (client, COORDINATOR, "header", 16), (client, COORDINATOR, "mask", 4),
            (client, COORDINATOR, "values", values), (COORDINATOR, client, "header", 16),
            (COORDINATOR, client, "shares", 14),
            (COORDINATOR, client, "values", self.chunk_bytes * self.num_chunks),
        ]  # fmt: skip
        names = ("round", "sender", "receiver", "kind", "bytes")
        return [dict(zip(names, (round_index, *link), strict=True)) for link in links]

    def full_config(self) -> dict[str, Any]:
        return {
            "federation_id": "test", "number_of_clients": 10, "chunking": True, "chunking_parts": self.num_chunks,
            "chunking_with_gradients": True, "chunking_random_section": False, "chunk_score": None,
            "sensitivity_percentage": 40.0, "record_chunks": True, **self.config,
        }  # fmt: skip


def write(folder: Path, recipe: Recipe, *, finished: bool = True) -> Path:
    """The folder of a finished run, or of one that was killed, with the tables as the run's own writer leaves them."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(recipe.full_config()))
    tables = recipe.tables()
    table_files.begin(folder / "tables")
    table_files.write_table(folder / "tables", "layout", tables["layout"])
    for r in recipe.rounds:
        of_round = {name: tables[name].filter(pc.equal(tables[name]["round"], r)) for name in ROUND_TABLES}
        table_files.append_rounds(folder / "tables", r, [of_round])
    if finished:
        table_files.compact(folder / "tables")
    summary = {"status": "finished" if finished else "running", "rounds_completed": len(recipe.rounds)}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


MLP = (
    ("0.weight", 64 * 200),
    ("0.bias", 200),
    ("2.weight", 40_000),
    ("2.bias", 200),
    ("4.weight", 2_000),
    ("4.bias", 10),
)


def covered(sizes: Sequence[tuple[str, int]], num_chunks: int) -> list[list[str]]:
    """The ``parameters`` column of a balanced layout over tensors of these sizes."""
    stops = np.cumsum([size for _, size in sizes])
    starts = stops - [size for _, size in sizes]
    edges = np.arange(num_chunks + 1) * int(stops[-1]) // num_chunks
    return [
        [name for (name, _), a, b in zip(sizes, starts, stops, strict=True) if a < high and b > low]
        for low, high in pairwise(edges)
    ]


def realistic(
    rounds: int = 40,
    clients: int = 20,
    chunks: int = 50,
    *,
    share: float = 0.2,
    sizes: Sequence[tuple[str, int]] = MLP,
    evaluate_clients: bool = True,
    seed: int = 3,
) -> Recipe:
    """Scores with structure over chunks and layers, noise over clients, decay over rounds; the best are sent."""
    rng = np.random.default_rng(seed)
    parameters = covered(sizes, chunks)
    of_layer = {name: rng.lognormal(0, 0.8) for name, _ in sizes}
    base = np.array([of_layer[own[0]] for own in parameters]) * rng.lognormal(0, 0.5, chunks)
    scores, selected, ages = {}, {}, {}
    waited = np.zeros((clients, chunks), int)
    for r in range(1, rounds + 1):
        for c in range(clients):
            own = base * rng.lognormal(0, 0.5, chunks) / np.sqrt(r)
            keep = max(1, int(np.ceil(chunks * share * (1 + rng.random()) / 2)))
            scores[r, c], selected[r, c] = own, np.argsort(-own)[:keep].tolist()
            ages[r, c] = waited[c].tolist()
            waited[c] = np.where(np.isin(np.arange(chunks), selected[r, c]), 0, waited[c] + 1)
    curve = [0.96 - 0.8 * float(np.exp(-r / 8)) + float(rng.normal(0, 0.006)) for r in range(1, rounds + 1)]
    own_curve = [value - 0.06 for value in curve] if evaluate_clients else ()
    return Recipe(
        scores, selected, accuracy=curve, client_accuracy=own_curve, parameters=parameters, ages=ages, chunk_bytes=4416
    )


@pytest.fixture
def small() -> Recipe:
    """Two rounds, three clients, five chunks. Client 2 is absent from round 2; client 1 is rejected there."""
    return Recipe(
        scores={
            (1, 0): [4, 3, 2, 1, 0], (1, 1): [1, 1, 1, 1, 1], (1, 2): [0, 0, 0, 0, 5],
            (2, 0): [0, 1, 2, 3, 4], (2, 1): [9, 9, 9, 9, 9],
        },
        selected={(1, 0): [0, 1], (1, 1): [0, 1], (1, 2): [4], (2, 0): [3, 4], (2, 1): [2]},
        rejected=frozenset({(2, 1)}),
        accuracy=[0.5, 0.75],
        client_accuracy=[0.4, 0.6],
        parameters=[
            ["a.weight"], ["a.weight", "a.bias", "b.weight"], ["b.weight"], ["b.weight"], ["b.weight", "b.bias"],
        ],
        ages={(1, 0): [0, 0, 0, 0, 0], (2, 0): [0, 0, 1, 1, 1]},
    )  # fmt: skip


WriteRun = Callable[..., Path]


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Writes a recipe into a fresh folder."""

    def written(recipe: Recipe, name: str = "run", *, finished: bool = True) -> Path:
        return write(tmp_path / name, recipe, finished=finished)

    return written


@pytest.fixture
def realistic_recipe() -> Callable[..., Recipe]:
    return realistic
