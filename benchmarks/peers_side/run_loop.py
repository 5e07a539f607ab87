"""The floor: federated averaging as a plain PyTorch loop, one process, one thread, nothing recorded."""

from __future__ import annotations

import time

import torch
from side import Job, Notes, Work, parse_job
from torch.nn.functional import cross_entropy
from torch_models import build, get_weights, set_weights


def run(job: Job) -> None:
    torch.set_num_threads(1)
    work, notes = Work.load(job.work_folder), Notes()
    module = build(work.facts)
    set_weights(module, work.initial_P)
    parameters = list(module.parameters())
    optimizer = torch.optim.SGD(parameters, lr=work.facts["learning_rate"])
    x_NS, y_NS = torch.from_numpy(work.x_NS), torch.from_numpy(work.y_NS)
    weights = [parameter.detach().clone() for parameter in parameters]
    train_s, cohort_size = [], work.cohorts_RM.shape[1]
    for round_index in range(1, job.rounds + 1):
        sums = [torch.zeros_like(weight) for weight in weights]
        training = 0.0
        for place, client in enumerate(work.cohort(round_index)):
            _assign(parameters, weights)
            started = time.perf_counter()
            for batch in work.batches(round_index, place):
                chosen = torch.from_numpy(batch)
                optimizer.zero_grad()
                cross_entropy(module(x_NS[client][chosen]), y_NS[client][chosen]).backward()
                optimizer.step()
            training += time.perf_counter() - started
            _add_changes(sums, parameters, weights)
        weights = [weight.add_(total, alpha=1 / cohort_size) for weight, total in zip(weights, sums, strict=True)]
        train_s.append(training)
        notes.round_done()
    _assign(parameters, weights)
    notes.write(job.result, get_weights(module), ("torch", "numpy"), train_s=train_s)


@torch.no_grad()
def _assign(parameters: list[torch.nn.Parameter], weights: list[torch.Tensor]) -> None:
    for parameter, weight in zip(parameters, weights, strict=True):
        parameter.copy_(weight)


@torch.no_grad()
def _add_changes(sums: list[torch.Tensor], parameters: list[torch.nn.Parameter], weights: list[torch.Tensor]) -> None:
    """Adds changes, not weights: they are small, so that a float32 sum of a hundred of them stays exact enough."""
    for total, parameter, weight in zip(sums, parameters, weights, strict=True):
        total.add_(parameter.sub_(weight))


if __name__ == "__main__":
    run(parse_job())
