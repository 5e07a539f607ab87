"""A partition: who holds which samples. Here each client gets whole owners, as the data set's natural column says.

data_distribution_kind: ./partition.py:by_owner
dataset_type: ./dataset.py:sensors
number_of_clients: 3
"""

import numpy as np


def by_owner(clients_S, number_of_clients, rng):
    """The owners are dealt out at random; of 6 sensors each of 3 clients gets two."""
    hands = np.array_split(rng.permutation(np.unique(clients_S)), number_of_clients)
    return [np.flatnonzero(np.isin(clients_S, owners)) for owners in hands]
