"""An aggregation: what a chunk becomes, of the values of those who sent it. Here a mean that nobody can pull far.

aggregation_strategy: ./aggregation.py:clipped_mean
aggregation_options: {reach: 1.0}
"""

import numpy as np


def clipped_mean(values_NK, weights_N, reach=2.0):
    """The weighted mean, where clients farther from the median than ``reach`` typical distances are drawn nearer."""
    middle_K = np.median(values_NK, axis=0)
    away_NK = values_NK - middle_K
    away_N = np.linalg.norm(away_NK, axis=1)
    kept_N = np.minimum(1, reach * np.median(away_N) / np.maximum(away_N, 1e-12))
    return middle_K + np.average(kept_N[:, None] * away_NK, axis=0, weights=weights_N)
