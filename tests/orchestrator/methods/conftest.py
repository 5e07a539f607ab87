"""What Flower's strategies made of 20 rounds, see benchmarks/peers_side/flower_strategies.py."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def flower() -> Mapping[str, Any]:
    with np.load(Path(__file__).with_name("flower_strategies.npz")) as file:
        return dict(file)


@pytest.fixture(scope="session")
def largest_difference(flower):
    """Runs a strategy beside Flower on the answers that Flower's clients gave, and compares the models.

    ``move(model_P, answers_NP, weights_N)`` returns the model after a round. The model runs freely: it is ours from
    the start to the last round, so what differs adds up.
    """

    def run(case, move):
        model_P = flowers_P = flower["start_P"]
        difference = 0.0
        for moves_NP, next_P in zip(flower["moves_RNP"], flower[case], strict=True):
            answers_NP = flowers_P.astype(np.float32) + moves_NP
            model_P, flowers_P = move(model_P, answers_NP, flower["weights_N"].astype(np.float64)), next_P
            difference = max(difference, float(np.abs(model_P - flowers_P).max()))
        return difference

    return run
