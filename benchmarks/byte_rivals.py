"""Encodings and rules of others at 1 % of the bytes, each with as many trials."""

from __future__ import annotations

from byte_points import Point, Value
from byte_star import feedback

STEPS: tuple[dict[str, Value], ...] = (
    {"server_learning_rate": 0.7},
    {"server_learning_rate": 1.0},
    {"withheld_share": 0.0, "server_learning_rate": 1.0},
    {"withheld_share": 0.0, "server_learning_rate": 0.7},
)
"""What each was tried with instead of server step 1.4 and half of what is withheld; ours, of 1 and a half, likewise."""


def rival(name: str, label: str, settings: dict[str, Value]) -> Point:
    """One at 1 % of the bytes."""
    step: dict[str, Value] = {"server_learning_rate": 1.4}
    return Point(f"{name}_1_percent", "rival", f"{label}, server step 1.4", step | settings, tried=STEPS)


def by_value(uplink: float, encoding: str) -> dict[str, Value]:
    """Every chunk is one value."""
    return feedback(uplink, uplink, encoding, chunking_parts=61_706)


POINTS = (
    rival("stc", "Sparse Ternary Compression: single values, one size and a sign each", by_value(2.9, "stc")),
    rival("topk", "the largest single values in float16, with error feedback", by_value(1.2, "float16")),
    rival("sparseloco", "SparseLoCo: the largest eighth of each chunk, 2 bits each", feedback(30, 30, "topk_in_chunk")),
    rival("ternary", "ternary values, scaled by chunk", feedback(18, 18, "ternary")),
    rival("int2", "three levels by the largest value of a chunk", feedback(28, 28, "int2")),
    rival("sign", "a sign, scaled by chunk", feedback(26, 26, "sign")),
    rival("drive", "DRIVE: a rotation and a sign, scaled by chunk", feedback(26, 26, "drive")),
    rival("qsgd", "FedPAQ's drawn levels, 15 of them", feedback(8.5, 8.5, "qsgd")),
)
