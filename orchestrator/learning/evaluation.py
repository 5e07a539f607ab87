"""Right answers, loss and the settings' metrics as sums, so that shards of a test set add up."""

from __future__ import annotations

import torch
from torch import Tensor

from fedchunk.orchestrator.contract.evaluation import EvaluationSums, add_parts
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.loss import Loss
from fedchunk.orchestrator.learning.measures import NO_MEASURES, Measures, Parts, num_classes_of


def evaluate(
    model: FlatModel, x_S: Tensor, y_S: Tensor, batch_size: int, loss: Loss, measures: Measures = NO_MEASURES
) -> EvaluationSums:
    """Correct answers (of one label a sample), the loss (added in float64) and the measures over the samples.

    Args:
        model: in train or eval mode; it is left as it was found.
        x_S: samples (S, ...), as ``preprocess.to_device`` makes them, on the model's device.
        y_S: targets (S, ...), as the data set has them, same device.
        batch_size: samples at a time. Another size may change the last bits.
        loss: the loss of the settings, with the task that says what outputs and targets are.
        measures: the metrics of the settings.
    """
    has_labels = loss.task.facts.has_accuracy
    correct = torch.zeros((), dtype=torch.int64, device=model.device)
    loss_sum = torch.zeros((), dtype=torch.float64, device=model.device)
    parts: Parts = {}
    num_classes = num_answers = 0
    was_training = model.module.training
    model.module.eval()
    try:
        with torch.no_grad():
            for start in range(0, len(x_S), batch_size):
                logits_B = model.logits(x_S[start : start + batch_size])
                outputs_N, targets_N = loss.task.prepared(logits_B, y_S[start : start + batch_size])
                loss_N = loss.sum(outputs_N, targets_N)
                if has_labels:
                    correct += (outputs_N.argmax(dim=1) == targets_N).sum()
                loss_sum += loss_N
                num_answers += len(targets_N)
                if measures:
                    num_classes = num_classes_of(outputs_N)
                    parts = add_parts(parts, measures.of(outputs_N, targets_N, loss_N))
    finally:
        model.module.train(was_training)
    return EvaluationSums(int(correct) if has_labels else None, float(loss_sum), num_answers, parts, num_classes)
