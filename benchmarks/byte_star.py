"""A star in which all 20 clients take part in every round: what fedchunk recommends, and what else there is."""

from __future__ import annotations

from byte_points import BASELINE, Point, Target, Value


def feedback(uplink: float, downlink: float, encoding: str = "int4", **more: Value) -> dict[str, Value]:
    """Error feedback in both directions: chunks of 64 values, the most withheld first, packed tightly."""
    rule: dict[str, Value] = {
        "chunking": True,
        "chunking_parts": 964,
        "chunk_score": "accumulated",
        "chunk_reconstruction": "error_feedback",
        "chunk_encoding": encoding,
        "chunk_compression": "zstd",
        "initial_model": "seed",
        "sensitivity_percentage": uplink,
        "downlink_sensitivity_percentage": downlink,
        "withheld_share": 0.5,
    }
    return rule | more


def contributors(score: str, percentage: float, **more: Value) -> dict[str, Value]:
    """FedPilot's rule: whoever sent a chunk decides it, in float32.

    A chunk becomes the mean of one or two clients here, and at the common learning rate of 0.1 that ends in nan (10 %
    of random chunks: two seeds of three, before round 20). So these opponents get 0.05.
    """
    rule: dict[str, Value] = {
        "chunking": True,
        "chunking_parts": 964,
        "chunk_score": score,
        "sensitivity_percentage": percentage,
        "learning_rate": 0.05,
    }
    return rule | more


def ours(name: str, label: str, settings: dict[str, Value], *tried: dict[str, Value]) -> Point:
    """A point of fedchunk's."""
    return Point(name, "ours", label, settings, tried=tried)


STEPS: tuple[dict[str, Value], ...] = (
    {"server_learning_rate": 0.7},
    {"server_learning_rate": 1.4},
    {"withheld_share": 0.0},
    {"withheld_share": 0.0, "server_learning_rate": 0.7},
)
"""What ours at 1 % was tried with instead of server step 1 and half of what is withheld."""

AT_1_PERCENT = "feedback_1_percent"

FULL = Point(
    BASELINE,
    "baseline",
    "full exchange, float32",
    tried=(
        {"learning_rate": 0.05, "server_learning_rate": 1.0},
        {"learning_rate": 0.1, "server_learning_rate": 1.0},
        {"learning_rate": 0.2, "server_learning_rate": 0.7},
        {"learning_rate": 0.03, "momentum_start": "quasi_global"},
        {"learning_rate": 0.05, "momentum_start": "quasi_global"},
    ),
)
OURS = (
    ours("feedback_10_percent", "error feedback, 93 % of 964 chunks, int4", feedback(93, 93)),
    ours(
        "feedback_2_5_percent",
        "error feedback, 22 % of 964 chunks, int4, server step 1",
        feedback(22, 22, server_learning_rate=1.0),
    ),
    ours(
        AT_1_PERCENT,
        "error feedback, 8.5 % of 964 chunks, int4, server step 1",
        feedback(8.5, 8.5, server_learning_rate=1.0),
        *STEPS,
    ),
    ours(
        "feedback_0_5_percent",
        "error feedback, 3.8 % of 964 chunks, int4, server step 1.4",
        feedback(3.8, 3.8, server_learning_rate=1.4),
    ),
    ours(
        "feedback_0_3_percent",
        "error feedback, the largest eighth of 9.3 % of 964 chunks, 2 bits each, server step 1.4",
        feedback(9.3, 9.3, "topk_in_chunk", server_learning_rate=1.4),
        feedback(2.7, 2.7),
        feedback(5.3, 5.3, "ternary"),
        feedback(5.3, 5.3, "ternary", chunking_parts=1928),
        {"server_learning_rate": 1.0},
        {"server_learning_rate": 2.0},
    ),
    ours(
        "feedback_0_1_percent",
        "error feedback, the largest eighth of 2.9 % of 964 chunks, 2 bits each, server step 2",
        feedback(2.9, 2.9, "topk_in_chunk", server_learning_rate=2.0),
        feedback(1.5, 1.5, "ternary", chunking_parts=1928, server_learning_rate=1.4),
        {"server_learning_rate": 1.0},
        {"server_learning_rate": 1.4},
        {"server_learning_rate": 1.4, "learning_rate": 0.03, "momentum_start": "quasi_global"},
        {"server_learning_rate": 1.4, "withheld_share": 0.75},
    ),
)


def at_random(point: Point) -> Point:
    """The same, but clients choose at random."""
    label = f"as {point.name}, but clients choose at random"
    return Point(f"random_{point.name}", "rival", label, {**point.settings, "chunk_score": "random"})


FEW_ROUNDS: dict[str, Value] = {"federated_learning_rounds": 10, "evaluation_interval": 10}
RIVALS = (
    Point(
        "random_10",
        "rival",
        "10 % of random chunks, contributors, float32, learning rate 0.05",
        contributors("random", 10),
    ),
    Point(
        "random_1",
        "rival",
        "1 % of random chunks, contributors, float32, learning rate 0.05",
        contributors("random", 1),
    ),
    *(at_random(point) for point in OURS if point.name != "feedback_0_3_percent"),
    Point(
        "gradient_10",
        "rival",
        "seed's rule: 10 % by gradient, contributors, float32, learning rate 0.05",
        contributors("gradient", 10),
    ),
    Point(
        "fedavg_float16",
        "rival",
        "FedAvg in float16",
        {"chunking": True, "chunking_parts": 1, "sensitivity_percentage": 100, "chunk_encoding": "float16"},
    ),
    Point("fedavg_10_rounds", "rival", "FedAvg, float32, 10 rounds", FEW_ROUNDS),
    Point(
        "fedavg_10_long_rounds",
        "rival",
        "FedAvg, float32, 10 rounds of 100 local steps, learning rate 0.02",
        # At 0.1 the model is lost in so long a round: 10 % accuracy with seed 1.
        FEW_ROUNDS | {"local_steps": 100, "learning_rate": 0.02},
    ),
)

TARGETS = (
    Target("must", 0.10, 0.5, "feedback_10_percent"),
    Target("must", 0.025, 0.5, "feedback_2_5_percent"),
    Target("must", 0.01, 0.5, "feedback_1_percent"),
    Target("must", 0.0043, 0.5, "feedback_0_5_percent"),
    Target("must", 0.003, 0.5, "feedback_0_3_percent", surely=1.0),
    Target("aim", 0.003, 0.5, "feedback_0_3_percent", surely=0.5),
    Target("must", 0.001, 4.0, "feedback_0_1_percent"),
    Target("aim", 0.001, 2.0, "feedback_0_1_percent"),
)
