"""Accuracy, loss and the settings' metrics as sums, so that shards of a test set add up."""

from __future__ import annotations

import torch
from torch import Tensor

from fedchunk.orchestrator.contract.messages import EvaluationSums, add_parts
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.loss import Loss
from fedchunk.orchestrator.learning.measures import NO_MEASURES, Measures, Parts


def evaluate(
    model: FlatModel, x_S: Tensor, y_S: Tensor, batch_size: int, loss: Loss, measures: Measures = NO_MEASURES
) -> EvaluationSums:
    """Correct answers, the loss (added in float64) and the measures of the model over the samples.

    Args:
        model: in train or eval mode; it is left as it was found.
        x_S: samples (S, ...), as ``preprocess.to_device`` makes them, on the model's device.
        y_S: labels (S,), int64, same device.
        batch_size: samples at a time. Another size may change the last bits.
        loss: the loss of the settings.
        measures: the metrics of the settings.
    """
    correct = torch.zeros((), dtype=torch.int64, device=model.device)
    loss_sum = torch.zeros((), dtype=torch.float64, device=model.device)
    parts: Parts = {}
    num_classes = 0
    was_training = model.module.training
    model.module.eval()
    try:
        with torch.no_grad():
            for start in range(0, len(x_S), batch_size):
                y_B = y_S[start : start + batch_size]
                logits_B = model.logits(x_S[start : start + batch_size])
                loss_B = loss.sum(logits_B, y_B)
                correct += (logits_B.argmax(dim=1) == y_B).sum()
                loss_sum += loss_B
                if measures:
                    num_classes = logits_B.shape[1]
                    parts = add_parts(parts, measures.of(logits_B, y_B, loss_B))
    finally:
        model.module.train(was_training)
    return EvaluationSums(int(correct), float(loss_sum), len(x_S), parts, num_classes)
