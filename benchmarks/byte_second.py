"""A second task: ResNet-18 with GroupNorm, 11 million values, in the same star, with three seeds."""

from __future__ import annotations

from byte_points import Point, Target, Value
from byte_star import feedback

SEEDS = (1, 2, 3)
BASELINE = "resnet_full_exchange"
TASK: dict[str, Value] = {
    "model_type": "resnet18",
    "model_options": "{norm: group, groups: 32}",
    "federated_learning_rounds": 40,
    "local_steps": 5,
}
CHUNKS = 174_600
"""Of 64 values each."""

POINTS = (
    Point(
        BASELINE,
        "baseline",
        "ResNet-18 with GroupNorm, 40 rounds of 5 steps: full exchange, float32, learning rate 0.01",
        TASK | {"learning_rate": 0.01},
        SEEDS,
        BASELINE,
        tried=({"learning_rate": 0.05}, {"learning_rate": 0.02}, {"learning_rate": 0.005}),
    ),
    Point(
        "resnet_1_percent",
        "ours",
        "ResNet-18: error feedback, the largest eighth of 30 % of 174,600 chunks, 2 bits each, learning rate 0.02",
        TASK
        | {"learning_rate": 0.02}
        | feedback(30, 30, "topk_in_chunk", chunking_parts=CHUNKS, server_learning_rate=1.4),
        SEEDS,
        BASELINE,
        tried=(
            {"server_learning_rate": 1.0},
            {"server_learning_rate": 1.0, "learning_rate": 0.05},
            feedback(8.5, 8.5, chunking_parts=CHUNKS, server_learning_rate=1.0),
        ),
    ),
)
TARGETS = (Target("must, ResNet-18", 0.01, 0.5, "resnet_1_percent", BASELINE),)
