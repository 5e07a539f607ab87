"""A server optimizer: Lion (Chen et al. 2023), which steps equally far everywhere and remembers one vector.

server_optimizer: ./server_optimizer.py:lion
server_optimizer_options: {beta_1: 0.8}
server_learning_rate: 0.01
"""

import numpy as np


def lion(change_P, sent_C, state, layout, beta_1=0.9, beta_2=0.99):
    """The step before it is multiplied by ``server_learning_rate``, and what the next round is given as ``state``."""
    mean_P = state.get("mean_P", np.zeros_like(change_P))
    step_P = np.sign(beta_1 * mean_P + (1 - beta_1) * change_P)
    sent_P = np.repeat(sent_C, layout.sizes_C)  # what nobody sent is not moved
    return np.where(sent_P, step_P, 0), {"mean_P": beta_2 * mean_P + (1 - beta_2) * change_P}
