"""20 peers, each with four neighbours: gossip, messages that are handed on, and a tree."""

from __future__ import annotations

from collections.abc import Mapping

from byte_points import BASELINE, Point, Target, Value
from byte_star import feedback

PEERS: dict[str, Value] = {
    "federated_learning_schema": "DecentralizedFederatedLearning",
    "federated_learning_topology": "k_connected",
    "k_value": 4,
    "server_learning_rate": 1.0,
    "evaluation_interval": 25,
}
"""Where models differ, all 20 are measured, so only every 25th round."""
SHARED: dict[str, Value] = PEERS | {"evaluation_interval": 4}
"""One model is measured as often as a star's."""
GOSSIP, AVERAGED = "peers_full_exchange", "peers_averaged_full_exchange"
PLAIN_TUNED, TUNED = "peers_plain_full_exchange", "peers_tuned_full_exchange"


def peers(name: str, group: str, label: str, settings: dict[str, Value], *tried: Mapping[str, Value]) -> Point:
    """Gossip: accuracy is the mean of the peers' models after the last round."""
    return Point(name, group, label, PEERS | settings, baseline=GOSSIP, last_evaluations=1, tried=tried)


def shared(name: str, label: str, settings: dict[str, Value], *tried: Mapping[str, Value]) -> Point:
    """All peers have one model."""
    return Point(name, "ours", label, SHARED | settings, baseline=GOSSIP, tried=tried)


def without(settings: dict[str, Value], *keys: str) -> dict[str, Value]:
    """Settings without some."""
    return {key: value for key, value in settings.items() if key not in keys}


def relay(percentage: float, **more: Value) -> dict[str, Value]:
    """Every message is handed on to all, who add it to one model."""
    star = feedback(percentage, percentage)
    return without(star, "downlink_sensitivity_percentage", "initial_model") | {"chunk_reconstruction": "relay"} | more


def stale_copies(percentage: float, **more: Value) -> dict[str, Value]:
    """Neighbours add up what a peer sends, and what that lacks of its weights is what there is to send."""
    return relay(percentage, chunk_reconstruction="stale_copies", **more)


def cosine(rate: float) -> dict[str, Value]:
    """A learning rate that falls from this one, tried with the usual momentum."""
    return {"momentum": 0.9, "learning_rate": rate, "learning_rate_schedule": "cosine"}


def each_on(first: dict[str, Value], *changes: dict[str, Value]) -> list[dict[str, Value]]:
    """What was tried when the settings were first these."""
    return [first | change for change in changes]


def plain_copies(percentage: float, step: float) -> dict[str, Value]:
    """The same without compression, training from what neighbours know alone, at a step of its own."""
    return without(stale_copies(percentage, stale_copy_step=step), "withheld_share", "chunk_compression")


QUASI_GLOBAL: dict[str, Value] = {"momentum_start": "quasi_global", "learning_rate": 0.03}
PLAIN: dict[str, Value] = {"momentum_start": "zero", "learning_rate": 0.1}
INT4: dict[str, Value] = {"chunk_encoding": "int4"}
STALE = stale_copies(13, chunk_encoding="ternary", final_average=True, final_average_encoding="float16")
FIRST: dict[str, Value] = {"final_average_encoding": "float32", "stale_copy_step": "auto"}
"""What the first trials of ``stale_1_percent`` had."""
PLAIN_STALE: dict[str, Value] = {
    "sensitivity_percentage": 15.5,
    "final_average_encoding": "int8",
    "withheld_share": 0.25,
}
FLOAT16: dict[str, Value] = {
    "sensitivity_percentage": 13,
    "final_average_encoding": "float16",
    "withheld_share": 0.5,
}
"""What the first trials of ``stale_plain_1_percent`` had."""
POINTS = (
    peers(GOSSIP, "baseline", "20 peers with 4 neighbours: full exchange, float32, by gossip", {}),
    peers(AVERAGED, "baseline", "the same, and the mean of all models at the end", {"final_average": True}),
    peers(
        PLAIN_TUNED,
        "baseline",
        "the same, tuned: momentum 0.8",
        {"final_average": True, "momentum": 0.8},
        {"momentum": 0.9},
        *({"learning_rate": rate} for rate in (0.15, 0.2)),
        *({"momentum": 0.95, "learning_rate": rate} for rate in (0.03, 0.05)),
        *(cosine(rate) for rate in (0.12, 0.15)),
    ),
    peers(
        TUNED,
        "baseline",
        "the same with quasi-global momentum, tuned",
        {"final_average": True} | QUASI_GLOBAL | {"learning_rate": 0.1, "momentum": 0.85},
        *({"momentum": 0.9} | PLAIN | {"learning_rate": rate} for rate in (0.03, 0.05, 0.07, 0.1, 0.15)),
        {"momentum": 0.9} | PLAIN | {"learning_rate_schedule": "cosine"},
        *({"momentum": 0.9, "learning_rate": rate} for rate in (0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1)),
        *({"momentum": 0.95, "learning_rate": rate} for rate in (0.03, 0.05)),
        *({"momentum": 0.8, "learning_rate": rate} for rate in (0.07, 0.1, 0.15)),
        {"learning_rate": 0.07},
        *(cosine(rate) for rate in (0.07, 0.1)),
        {"momentum": 0.9, "learning_rate_schedule": "linear"},
    ),
    shared(
        "relay_5_percent",
        "peers: relay, 9.5 % of 964 chunks, int4, quasi-global momentum",
        relay(9.5) | QUASI_GLOBAL | {"learning_rate": 0.05},
        PLAIN,
        {"learning_rate": 0.07},
    ),
    shared(
        "relay_1_percent",
        "peers: relay, the largest eighth of 6.4 % of 964 chunks, 2 bits each, step 1.5",
        relay(6.4, chunk_encoding="topk_in_chunk", relay_step=1.5),
        relay(1.7, relay_step=1.2),
        relay(1.7, relay_step=1.5),
        relay(3.4, relay_step=1.2, chunk_encoding="ternary"),
        relay(6.0, relay_step=1.2, chunk_encoding="topk_in_chunk"),
        QUASI_GLOBAL,
    ),
    peers(
        "stale_1_percent",
        "ours",
        "peers: stale copies, 13 % of 964 chunks, ternary, quasi-global momentum, mean of all models at the end",
        STALE | QUASI_GLOBAL | {"learning_rate": 0.05, "stale_copy_step": 0.15},
        {"stale_copy_step": "auto"},
        {"stale_copy_step": 0.1},
        {"learning_rate": 0.06},
        {"stale_copy_step": "auto", "learning_rate": 0.03},
        {"stale_copy_step": "auto", "withheld_share": 0.35},
        {"stale_copy_step": "auto", "withheld_share": 0.65},
        {"stale_copy_step": "auto", "withheld_share": 1.0},
        {"stale_copy_step": "auto", "learning_rate": 0.03, "momentum": 0.95},
        {"stale_copy_step": "auto", "sensitivity_percentage": 11.7, "chunking_parts": 1928},
        {"stale_copy_step": "auto", "sensitivity_percentage": 20, "chunk_encoding": "sign"},
        {"sensitivity_percentage": 24, "chunk_encoding": "topk_in_chunk"},
        {"learning_rate": 0.07, "learning_rate_schedule": "cosine"},
        {"learning_rate": 0.07, "momentum": 0.85},
        *each_on(
            FIRST,
            {"sensitivity_percentage": 9},
            {"sensitivity_percentage": 9, "learning_rate": 0.07},
            {"sensitivity_percentage": 10},
            INT4 | {"sensitivity_percentage": 4.6},
            INT4 | {"sensitivity_percentage": 4.6, "stale_copy_step": 0.2},
            INT4 | {"sensitivity_percentage": 8},
            INT4 | {"sensitivity_percentage": 8, "learning_rate": 0.03},
            INT4 | {"sensitivity_percentage": 8, "learning_rate": 0.03, "stale_copy_step": 0.2},
            INT4 | {"sensitivity_percentage": 8} | PLAIN,
            {"chunk_encoding": "int2", "sensitivity_percentage": 8},
            {"chunk_encoding": "topk_in_chunk", "sensitivity_percentage": 16},
        ),
    ),
    peers(
        "stale_plain_1_percent",
        "ours",
        "peers: stale copies, 15.5 % of 964 chunks, ternary, mean of all models at the end as int8",
        STALE | {"learning_rate": 0.07} | PLAIN_STALE,
        {"withheld_share": 0.0},
        {"withheld_share": 0.1},
        {"withheld_share": 0.5},
        {"withheld_share": 0.75},
        {"learning_rate": 0.1},
        {"momentum": 0.8, "learning_rate": 0.1},
        {"momentum": 0.8, "learning_rate": 0.14},
        {"momentum": 0.85, "learning_rate": 0.1},
        {"stale_copy_step": 0.2},
        {"withheld_share": 0.5, "stale_copy_step": 0.2},
        {"withheld_share": 0.5, "momentum": 0.95, "learning_rate": 0.03},
        {"withheld_share": 0.5, "chunk_encoding": "int4", "sensitivity_percentage": 9.2, "stale_copy_step": 0.2},
        *each_on(
            FLOAT16,
            {"learning_rate": 0.07},
            {"learning_rate": 0.05},
            {"learning_rate": 0.1},
            {"stale_copy_step": 0.15},
            {"stale_copy_step": 0.3},
            {"stale_copy_step": 0.3, "learning_rate": 0.1},
        ),
    ),
    peers("peers_20_percent", "ours", "peers: stale copies, every chunk, int4, step 1", plain_copies(100, 1.0)),
    peers("peers_5_percent", "ours", "peers: stale copies, 36 % of 964 chunks, int4, step 0.7", plain_copies(36, 0.7)),
    shared(
        "relay_tree_0_4_percent",
        "peers: relay along a tree, 3.8 % of 964 chunks, int4, server step 1.4",
        feedback(3.8, 3.8, chunk_reconstruction="relay_tree", server_learning_rate=1.4),
    ),
)
TARGETS = (
    Target("must, peers", 0.20, 1.0, "peers_20_percent", GOSSIP),
    Target("aim, peers", 0.05, 1.0, "peers_5_percent", GOSSIP),
    Target("must, peers", 0.05, -3.0, "relay_5_percent", GOSSIP),
    Target("must, peers", 0.05, 0.5, "relay_5_percent", TUNED),
    Target("aim, peers", 0.05, 0.0, "relay_5_percent", BASELINE),
    Target("must, peers", 0.01, -2.0, "relay_1_percent", GOSSIP),
    Target("aim, peers", 0.01, 0.5, "relay_1_percent", BASELINE),
    Target("must, peers, without momentum between rounds", 0.01, 0.5, "stale_plain_1_percent", AVERAGED),
    Target("the same, opponent tuned as long", 0.01, 0.5, "stale_plain_1_percent", PLAIN_TUNED),
    Target("must, peers, with it", 0.01, 0.5, "stale_1_percent", TUNED),
    Target("must, peers", 0.004, 0.5, "relay_tree_0_4_percent", BASELINE),
)
