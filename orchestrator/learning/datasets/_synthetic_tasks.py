"""The synthetic data set for tasks without one label a sample: targets that the same patterns, or chains, give."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Part = tuple[NDArray[np.generic], NDArray[np.generic]]
"""Samples and targets."""

PRESENT = 0.4
"""How often a label is there, of several that a sample may have."""

EVENNESS = 0.2
"""Of the next token: concentration of the Dirichlet draw of each row of the chain."""


def mixed(
    patterns: NDArray[np.float32], weights_SC: NDArray[np.float64], noise: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Images of mean grey 128 in which each pattern is as strong as its weight, under noise: (S, c, h, w)."""
    contrast_CP = (patterns - 128).reshape(len(patterns), -1)
    clean = 128 + (weights_SC @ contrast_CP).reshape(len(weights_SC), *patterns.shape[1:])
    noisy = clean + noise * rng.standard_normal(clean.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def regression_part(patterns: NDArray[np.float32], samples: int, noise: float, rng: np.random.Generator) -> Part:
    """How strong the first pattern is, which is as often below 0 as above; the others are not there. Targets (S,)."""
    strength_S = rng.standard_normal(samples)
    return mixed(patterns[:1], strength_S[:, np.newaxis], noise, rng), strength_S.astype(np.float32)


def multilabel_part(patterns: NDArray[np.float32], samples: int, noise: float, rng: np.random.Generator) -> Part:
    """Which patterns are there, each for itself. Targets (S, classes)."""
    there_SC = rng.random((samples, len(patterns))) < PRESENT
    return mixed(patterns, there_SC.astype(np.float64), noise, rng), there_SC.astype(np.uint8)


def chain(tokens: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """How likely each token follows each: rows of a Markov chain, (V, V)."""
    return rng.dirichlet(np.full(tokens, EVENNESS), size=tokens)


def token_part(chances_VV: NDArray[np.float64], samples: int, length: int, rng: np.random.Generator) -> Part:
    """Walks along the chain: samples (S, T), and the next tokens (S, T)."""
    reached_VV = np.cumsum(chances_VV, axis=1)
    walk = np.empty((samples, length + 1), np.int64)
    walk[:, 0] = rng.integers(len(chances_VV), size=samples)
    for step in range(length):
        drawn_S = rng.random((samples, 1))
        walk[:, step + 1] = (drawn_S > reached_VV[walk[:, step]]).sum(axis=1).clip(max=len(chances_VV) - 1)
    return walk[:, :-1].copy(), walk[:, 1:].copy()


IMAGES: dict[str, Callable[[NDArray[np.float32], int, float, np.random.Generator], Part]] = {
    "regression": regression_part,
    "multilabel": multilabel_part,
}
"""What makes images with the targets of a task."""
