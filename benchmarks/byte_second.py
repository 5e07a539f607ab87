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
    "learning_rate": 0.05,
}
CHUNKS = 174_600
"""Of 64 values each."""

POINTS = (
    Point(
        BASELINE,
        "baseline",
        "ResNet-18 with GroupNorm, 40 rounds of 5 steps: full exchange, float32, learning rate 0.05",
        TASK,
        SEEDS,
        BASELINE,
        tried=({"learning_rate": 0.02}, {"learning_rate": 0.1}, {"server_learning_rate": 1.0}),
    ),
    Point(
        "resnet_1_percent",
        "ours",
        "ResNet-18: error feedback, the largest eighth of 30 % of 174,600 chunks, 2 bits each, server step 1",
        TASK | feedback(30, 30, "topk_in_chunk", chunking_parts=CHUNKS, server_learning_rate=1.0),
        SEEDS,
        BASELINE,
        tried=({"learning_rate": 0.02}, {"server_learning_rate": 1.4}, feedback(8.5, 8.5, chunking_parts=CHUNKS)),
    ),
)
TARGETS = (Target("must, ResNet-18", 0.01, 0.5, "resnet_1_percent", BASELINE),)
