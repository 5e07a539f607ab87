"""A task: grades, labels that have an order (Frank and Hall 2001). The model says of each step whether it is passed.

task: ./task.py:Grades
"""

import torch

from fedchunk import Task


class Grades(Task):
    """Labels 0 to C - 1 become C - 1 flags: is it more than 0, more than 1, and so on."""

    LOSS = "binary_cross_entropy"
    METRICS = ("f1_micro",)
    TARGET_METRIC = "f1_micro"
    TARGETS = "flags"
    ONE_LABEL = True

    def num_outputs(self, given, targets, samples):
        """One less than there are grades."""
        return super().num_outputs(given, targets, samples) - 1

    def prepared(self, outputs, targets):
        """A flag for each step."""
        steps = torch.arange(outputs.shape[1], device=outputs.device)
        return outputs, (targets[:, None] > steps).to(outputs.dtype)
