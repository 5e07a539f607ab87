"""Stars in which only some clients take part in a round: ten of 40, of 100 and of 1,000."""

from __future__ import annotations

from byte_points import Point, Target, Value
from byte_star import feedback

QUARTER: dict[str, Value] = {"number_of_clients": 40, "client_sampling_rate": 0.25, "dirichlet_beta": 0.1}
QUARTER_BASELINE = "quarter_full_exchange"
TENTH: dict[str, Value] = {"number_of_clients": 100, "client_sampling_rate": 0.1, "dirichlet_beta": 0.1}
TENTH_BASELINE = "tenth_full_exchange"
SELDOM: dict[str, Value] = {
    "number_of_clients": 1000,
    "client_sampling_rate": 0.01,
    "dirichlet_beta": 0.1,
    "federated_learning_rounds": 300,
    "evaluation_interval": 12,
}
SELDOM_BASELINE = "seldom_full_exchange"
RATES: tuple[dict[str, Value], ...] = (
    {"learning_rate": 0.05, "server_learning_rate": 0.7},
    {"learning_rate": 0.05, "server_learning_rate": 1.0},
    {"learning_rate": 0.1, "server_learning_rate": 1.0},
    {"learning_rate": 0.03, "server_learning_rate": 1.0},
    {"learning_rate": 0.05, "server_learning_rate": 1.4},
)
"""What full exchange was tried with instead of 0.1 and 0.7."""


def quarter(name: str, label: str, settings: dict[str, Value], *tried: dict[str, Value]) -> Point:
    """40 clients, ten a round, very uneven labels."""
    return Point(name, "ours", label, QUARTER | settings, baseline=QUARTER_BASELINE, tried=tried)


def seldom(name: str, label: str, settings: dict[str, Value], *tried: dict[str, Value]) -> Point:
    """1,000 clients of 60 samples, ten a round: each comes about three times in all."""
    return Point(name, "ours", label, SELDOM | settings, baseline=SELDOM_BASELINE, tried=tried)


def share(uplink: float, downlink: float) -> dict[str, Value]:
    """Percentages of the chunks."""
    return {"sensitivity_percentage": uplink, "downlink_sensitivity_percentage": downlink}


QUARTER_POINTS = (
    Point(
        QUARTER_BASELINE,
        "baseline",
        "40 clients, 25 % a round: full exchange, float32",
        QUARTER,
        baseline=QUARTER_BASELINE,
        tried=RATES,
    ),
    quarter(
        "quarter_1_5_percent",
        "25 % a round: error feedback, the largest eighth of 23 % of 964 chunks up, 19 % down, server step 1",
        feedback(23, 19, "topk_in_chunk", server_learning_rate=1.0),
        {"server_learning_rate": 0.7},
        feedback(6.8, 5.7, server_learning_rate=0.7),
        feedback(9, 4.7, server_learning_rate=0.7),
        {"withheld_fading": 0.0},
        {"withheld_share": 0.0},
    ),
)
TENTH_POINTS = (
    Point(
        TENTH_BASELINE,
        "baseline",
        "100 clients, 10 % a round: full exchange, float32",
        TENTH,
        baseline=TENTH_BASELINE,
        tried=RATES,
    ),
    Point(
        "tenth_3_percent",
        "ours",
        "10 % a round: error feedback, the largest eighth of 30 % of 964 chunks up, 19 % down, server step 1",
        TENTH | feedback(30, 19, "topk_in_chunk", server_learning_rate=1.0),
        baseline=TENTH_BASELINE,
        tried=(
            share(30, 10),
            {"server_learning_rate": 0.7},
            feedback(13.5, 6),
            {"withheld_fading": 0.9},
            {"catch_up": "approximate"},
        ),
    ),
)
SELDOM_POINTS = (
    Point(
        SELDOM_BASELINE,
        "baseline",
        "1,000 clients, 1 % a round, 300 rounds: full exchange, float32, learning rate 0.05",
        SELDOM | {"learning_rate": 0.05},
        baseline=SELDOM_BASELINE,
        tried=({"learning_rate": 0.1}, *RATES[1:]),
    ),
    seldom(
        "seldom_10_percent",
        "1 % a round: error feedback, 50 % of 964 chunks up, lossy catching up",
        feedback(50, 100, catch_up="approximate", learning_rate=0.05),
        {"learning_rate": 0.1},
        {"learning_rate": 0.1, "withheld_fading": 0.0},
        {"learning_rate": 0.1, "withheld_share": 0.0},
        {"learning_rate": 0.1, "server_learning_rate": 1.0},
        {"withheld_fading": 0.0},
    ),
    seldom(
        "seldom_3_percent",
        "1 % a round: error feedback, the largest eighth of 50 % of 964 chunks up, of 1.4 % down, server step 2",
        feedback(50, 1.4, "topk_in_chunk", server_learning_rate=2.0, learning_rate=0.05),
        {"server_learning_rate": 1.0},
        {"learning_rate": 0.1, "server_learning_rate": 1.0},
        {"withheld_fading": 0.0},
        feedback(50, 100, "drive", catch_up="approximate", server_learning_rate=0.7),
        feedback(15, 100, "ternary", catch_up="approximate", server_learning_rate=0.7, learning_rate=0.1),
    ),
)
TARGETS = (
    Target("must, 25 % a round", 0.025, 0.5, "quarter_1_5_percent", QUARTER_BASELINE),
    Target("aim, 25 % a round", 0.015, 0.5, "quarter_1_5_percent", QUARTER_BASELINE),
    Target("must, 1 % a round", 0.10, 1.0, "seldom_10_percent", SELDOM_BASELINE),
    Target("aim, 1 % a round", 0.03, 1.0, "seldom_3_percent", SELDOM_BASELINE),
)
