"""Accuracy and loss as sums, so that shards of a test set (:mod:`learning.datasets.shards`) add up."""

from __future__ import annotations

import torch
from fedchunk.orchestrator.contract.messages import EvaluationSums
from fedchunk.orchestrator.learning.models.flatten import FlatModel
from torch import Tensor
from torch.nn import functional


def evaluate(model: FlatModel, x_S: Tensor, y_S: Tensor, batch_size: int) -> EvaluationSums:
    """Correct answers and cross entropy (nats, added in float64) of the model over the samples.

    Args:
        model: in train or eval mode; it is left as it was found.
        x_S: images (S, c, h, w), as ``preprocess.to_device`` makes them, on the model's device.
        y_S: labels (S,), int64, same device.
        batch_size: samples at a time. Another size may change the last bits.
    """
    correct = torch.zeros((), dtype=torch.int64, device=model.device)
    loss_sum = torch.zeros((), dtype=torch.float64, device=model.device)
    was_training = model.module.training
    model.module.eval()
    try:
        with torch.no_grad():
            for start in range(0, len(x_S), batch_size):
                y_B = y_S[start : start + batch_size]
                logits_B = model.logits(x_S[start : start + batch_size])
                correct += (logits_B.argmax(dim=1) == y_B).sum()
                loss_sum += functional.cross_entropy(logits_B.double(), y_B, reduction="sum")
    finally:
        model.module.train(was_training)
    return EvaluationSums(int(correct), float(loss_sum), len(x_S))
