"""pfl-research: ``SimulatedBackend`` and ``FederatedAveraging``, one process or several under torch.distributed.run."""

from __future__ import annotations

from collections.abc import Callable

import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.pytorch import PyTorchTensorDataset
from pfl.hyperparam import NNTrainHyperParams
from pfl.internal.ops.selector import get_framework_module
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel
from side import Job, Notes, Work, parse_job
from torch.nn.functional import cross_entropy
from torch_models import build, get_weights, set_weights


class Module(torch.nn.Module):
    """What pfl asks of a model: its loss and its metrics."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def loss(self, x, y):
        return cross_entropy(self.inner(x), y)

    def metrics(self, x, y):
        return {}


class RoundEnds(TrainingProcessCallback):
    """Notes when a round ended."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def after_central_iteration(self, aggregate_metrics, model, *, central_iteration):
        self._notes.round_done()
        return False, Metrics()


def run(job: Job) -> None:
    torch.set_num_threads(1)
    work, notes = Work.load(job.work_folder), Notes()
    inner = build(work.facts)
    set_weights(inner, work.initial_P)
    module = Module(inner)
    cohort_size = work.cohorts_RM.shape[1]
    model = PyTorchModel(
        model=module,
        local_optimizer_create=torch.optim.SGD,
        central_optimizer=torch.optim.SGD(module.parameters(), lr=1.0),
    )
    world = get_framework_module().distributed
    if cohort_size % world.world_size:
        raise ValueError(
            f"pfl deals users in turn: {cohort_size} clients a round cannot be shared by {world.world_size}"
        )
    users = FederatedDataset(_dataset_maker(work), _turns(work))
    params = NNAlgorithmParams(
        central_num_iterations=job.rounds,
        # Round 0 is evaluated whatever stands here; the report leaves the first rounds out.
        evaluation_frequency=job.rounds + 1,
        train_cohort_size=cohort_size,
        val_cohort_size=None,
    )
    FederatedAveraging().run(
        params,
        SimulatedBackend(training_data=users, val_data=users),
        model,
        NNTrainHyperParams(
            local_num_epochs=1,
            local_learning_rate=work.facts["learning_rate"],
            local_batch_size=work.facts["batch_size"],
        ),
        callbacks=[RoundEnds(notes)],
        send_metrics_to_platform=False,
    )
    if world.global_rank == 0:
        notes.write(job.result, get_weights(inner), ("pfl", "torch", "numpy"))
    if world.world_size > 1:
        # A rank that just leaves while the other still writes may abort in gloo's threads.
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def _turns(work: Work) -> Callable[[], tuple[int, int]]:
    """pfl's user sampler: every call names the next place of the cohort, round after round, in all processes alike."""
    rounds, cohort_size = work.cohorts_RM.shape
    turns = ((round_index, place) for round_index in range(1, rounds + 1) for place in range(cohort_size))
    return lambda: next(turns)


def _dataset_maker(work: Work) -> Callable[[tuple[int, int]], PyTorchTensorDataset]:
    """Makes a client's data set with its samples in the order of the round; pfl then takes batches as they come."""
    x_NS, y_NS = torch.from_numpy(work.x_NS), torch.from_numpy(work.y_NS)

    def make(turn: tuple[int, int]) -> PyTorchTensorDataset:
        round_index, place = turn
        client = work.cohort(round_index)[place]
        order_S = torch.from_numpy(work.orders_RMS[round_index - 1, place])
        return PyTorchTensorDataset((x_NS[client][order_S], y_NS[client][order_S]), user_id=str(client))

    return make


if __name__ == "__main__":
    run(parse_job())
