"""A metric: how often the right class is among the two that the model finds most likely.

metrics: [f1_macro, "./metric.py:top2"]
"""


def top2(outputs, targets):
    """A sum and its weight, so that the parts of a test set add up."""
    hits = outputs.topk(2, dim=1).indices == targets[:, None]
    return hits.sum(), len(targets)
