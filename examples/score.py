"""Scores: how much each chunk matters to a client; the chunks with the largest go first.

chunk_score: ./score.py:signed
chunk_score_options: {power: 1.5}
"""

import numpy as np


def signed(change_P, layout, power=1.0):
    """How far a chunk moved in one direction: |sum of its changes| to a power, one number a chunk."""
    return np.abs(layout.sums_C(change_P)) ** power


def gradient(gradient_C):
    """The built-in score ``gradient`` again: the norm of each chunk's gradient. It gives the built-in's bits."""
    return gradient_C


def gradient_by_hand(gradient_P, layout):
    """The same from the gradient itself, (P,): the same choice, with scores that agree to about six digits."""
    return np.sqrt(layout.sums_C(np.square(gradient_P, dtype=np.float64)))
