"""Flower's simulation on Ray: one worker per core, one node per user (or, ``--option lean``, per client of a round)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

import numpy as np
from flower_client import app as client_app
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from side import Job, Notes, Work, parse_job
from torch_models import build, set_weights


class GivenCohorts(FedAvg):
    """FedAvg that takes the exported cohorts instead of drawing its own."""

    def __init__(self, job: Job, work: Work, notes: Notes, nodes: list[int]) -> None:
        super().__init__(fraction_evaluate=0.0)
        self._job, self._work, self._notes, self._nodes = job, work, notes, nodes

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        cohort = self._work.cohort(server_round)
        by_user = len(self._nodes) == len(self._work.x_NS)
        for place, client in enumerate(cohort):
            order = ConfigRecord(
                {"work_folder": str(self._job.work_folder.resolve()), "round": server_round, "place": place}
            )
            yield Message(
                content=RecordDict({"arrays": arrays, "config": order}),
                message_type=MessageType.TRAIN,
                dst_node_id=self._nodes[client if by_user else place],
            )

    def aggregate_train(self, server_round: int, replies: Iterable[Message]):
        result = super().aggregate_train(server_round, replies)
        self._notes.round_done()
        return result


def run(job: Job) -> None:
    logging.getLogger("flwr").setLevel(logging.WARNING)
    work, notes = Work.load(job.work_folder), Notes()
    num_nodes = work.cohorts_RM.shape[1] if "lean" in job.options else len(work.x_NS)
    server_app = ServerApp()

    @server_app.main()
    def main(grid: Grid, context: Context) -> None:
        while len(nodes := sorted(grid.get_node_ids())) < num_nodes:
            time.sleep(0.02)
        module = build(work.facts)
        set_weights(module, work.initial_P)
        strategy = GivenCohorts(job, work, notes, nodes)
        result = strategy.start(grid, ArrayRecord(module.state_dict()), num_rounds=job.rounds)
        weights_P = np.concatenate([array.ravel() for array in result.arrays.to_numpy_ndarrays()])
        notes.write(job.result, weights_P, ("flwr", "ray", "torch", "numpy"))

    run_simulation(
        server_app,
        client_app,
        num_supernodes=num_nodes,
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {
                "address": "local",
                "num_cpus": job.actors,
                "include_dashboard": False,
                "log_to_driver": False,
                "logging_level": logging.ERROR,
            },
        },
    )


if __name__ == "__main__":
    run(parse_job())
