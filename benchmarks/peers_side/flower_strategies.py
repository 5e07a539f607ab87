"""What Flower's strategies make of 20 rounds of seeded client results, as a file that tests compare fedchunk with.

Runs by hand, in an environment of its own, from the root of the checkout; it needs nothing of fedchunk:

    python -m venv /tmp/flower && /tmp/flower/bin/pip install flwr
    /tmp/flower/bin/python benchmarks/peers_side/flower_strategies.py

It writes ``tests/orchestrator/methods/flower_strategies.npz``, the same bytes of arrays whenever it runs with the same
Flower. Letters are shapes: R rounds, N clients, P values of the model.

    flwr              version of Flower
    script            this file
    start_P           the model before round 1, float32
    weights_N         the clients' samples
    moves_RNP         float32; client n answers round r with float32(model before round r) + moves_RNP[r, n]
    <case>            the models that the strategy returned after each round, (R, P), in Flower's own precision
    <case>.options    the options that are not Flower's defaults, as JSON

Strategies are those of ``flwr.serverapp.strategy``, driven through ``configure_train`` and ``aggregate_train`` as
Flower's own loop drives them. Those of ``flwr.server.strategy`` are its older interface.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import cast

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import (
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedTrimmedAvg,
    FedYogi,
    Krum,
    MultiKrum,
)
from flwr.supercore.task_identity import TaskIdentity

ROUNDS, CLIENTS, VALUES, SEED = 20, 7, 60, 1
TARGET = Path(__file__).parents[2] / "tests" / "orchestrator" / "methods" / "flower_strategies.npz"

CASES: dict[str, tuple[type[FedAvg], dict[str, float]]] = {
    "fedadam": (FedAdam, {}),
    "fedadam_other": (FedAdam, {"eta": 0.03, "beta_1": 0.5, "beta_2": 0.9, "tau": 0.01}),
    "fedyogi": (FedYogi, {}),
    "fedadagrad": (FedAdagrad, {}),
    "fedavgm_without": (FedAvgM, {}),
    "fedavgm": (FedAvgM, {"server_momentum": 0.9, "server_learning_rate": 0.5}),
    "fedmedian": (FedMedian, {}),
    "fedtrimmedavg": (FedTrimmedAvg, {}),
    "krum": (Krum, {"num_malicious_nodes": 1}),
    "multikrum": (MultiKrum, {"num_malicious_nodes": 2, "num_nodes_to_select": 3}),
}


class EverybodyHere:
    """The only question that configure_train asks a grid."""

    def get_node_ids(self) -> list[int]:
        return list(range(1, CLIENTS + 1))


def clients_moves(rng: np.random.Generator) -> np.ndarray:
    """How far clients move: together and each for itself, and in every third round one of them far off.

    Values stay near 1, where a float32 is good to 1e-7, and moves well above that: the adaptive strategies divide by
    the size of moves, which makes rounding errors of small ones large.
    """
    together_RP = rng.normal(0, 0.08, (ROUNDS, VALUES))
    moves_RNP = together_RP[:, None] + rng.normal(0, 0.15, (ROUNDS, CLIENTS, VALUES))
    for round_index in range(0, ROUNDS, 3):
        moves_RNP[round_index, rng.integers(CLIENTS)] += rng.normal(0, 1, VALUES)
    return moves_RNP.astype(np.float32)


def answers(
    orders: list[Message], model_P: np.ndarray, moves_NP: np.ndarray, weights_N: np.ndarray
) -> Iterator[Message]:
    """The clients' replies, in client order; Flower shuffles its orders."""
    for order in sorted(orders, key=lambda order: order.metadata.dst_node_id):
        client = order.metadata.dst_node_id - 1
        content = RecordDict(
            {
                "arrays": ArrayRecord({"model": Array(model_P.astype(np.float32) + moves_NP[client])}),
                "metrics": MetricRecord({"num-examples": int(weights_N[client])}),
            }
        )
        yield Message(content, reply_to=order)


def models_of(strategy: FedAvg, start_P: np.ndarray, moves_RNP: np.ndarray, weights_N: np.ndarray) -> np.ndarray:
    """The models after each round, (R, P)."""
    model_P, models, grid = start_P, [], cast(Grid, EverybodyHere())
    for round_index, moves_NP in enumerate(moves_RNP, start=1):
        arrays = ArrayRecord({"model": Array(model_P)})
        orders = list(strategy.configure_train(round_index, arrays, ConfigRecord(), grid))
        aggregated, _ = strategy.aggregate_train(round_index, list(answers(orders, model_P, moves_NP, weights_N)))
        assert aggregated is not None
        model_P = aggregated["model"].numpy()
        models.append(model_P)
    return np.stack(models)


def main() -> None:
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1  # messages name their run; this is in none
    rng = np.random.default_rng(SEED)
    start_P = rng.normal(0, 0.3, VALUES).astype(np.float32)
    weights_N = rng.permutation(np.arange(1, CLIENTS + 1) * 10)
    moves_RNP = clients_moves(rng)
    content = {
        "flwr": np.array(version("flwr")),
        "script": np.array("benchmarks/peers_side/flower_strategies.py"),
        "start_P": start_P,
        "weights_N": weights_N,
        "moves_RNP": moves_RNP,
    }
    for name, (strategy, options) in CASES.items():
        content[name] = models_of(strategy(**options), start_P, moves_RNP, weights_N)
        content[f"{name}.options"] = np.array(json.dumps(options))
    np.savez_compressed(TARGET, **content)
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes, {len(CASES)} strategies of Flower {version('flwr')}")


if __name__ == "__main__":
    main()
