"""Data sets: functions that return arrays. The first reads scikit-learn's wines, the second makes readings of sensors.

dataset_type: ./dataset.py:wine
dataset_options: {test_share: 0.25}
number_of_clients: 4
"""

import numpy as np
from sklearn.datasets import load_wine

from fedchunk import Dataset


def wine(seed, test_share=0.2):
    """178 wines of three growers with 13 measurements each; other seeds put other wines into the test set."""
    x, y = load_wine(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    test, train = np.split(order, [round(test_share * len(y))])
    x = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
    return Dataset(x[train], y[train], x[test], y[test], name="wine")


def sensors(seed, sensors=6, readings=60):
    """Readings in three classes; every sensor is off by an amount of its own, and ``clients`` says whose each is."""
    rng = np.random.default_rng(seed)
    owners, y = np.repeat(np.arange(sensors), readings), rng.integers(3, size=sensors * readings)
    x = rng.normal(size=(3, 8))[y] + 0.5 * rng.normal(size=(sensors, 8))[owners] + rng.normal(size=(len(y), 8))
    test = rng.random(len(y)) < 0.2
    return Dataset(x[~test], y[~test], x[test], y[test], 3, clients=owners[~test])
