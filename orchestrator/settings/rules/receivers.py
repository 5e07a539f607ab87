"""Rules of the receivers, of agreement and of encoding: how chunks are put together again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fedchunk.orchestrator.registry import KINDS
from fedchunk.orchestrator.settings.rules.chunks import sees_this_round_only
from fedchunk.orchestrator.settings.rules.peers import relays
from fedchunk.orchestrator.settings.rules.remark import Idle, Remark

if TYPE_CHECKING:
    from fedchunk.orchestrator.settings.joined import Sections

SAFE_STEP = 0.3
"""Step of ``stale_copies`` that is allowed however few chunks are sent."""


def largest_step(settings: Sections) -> float:
    """The largest ``stale_copy_step`` allowed: twice the share of the chunks that is sent, 0.3 at least, 1 at most.

    CHOCO-SGD's theory wants a step in proportion to what a message holds. Tried on digits (16 peers with 4 neighbours,
    int4): 36 % of the chunks learned with 0.7 and diverged with 0.9, 10 % diverged with 0.5, 20 % with 0.8.
    """
    if settings.sends_everything:
        return 1.0
    return max(SAFE_STEP, min(1.0, 2 * settings.chunking.sensitivity_percentage / 100))


def contradictions(settings: Sections) -> Iterator[Remark]:
    """What cannot be meant, or cannot be run.

    A mean over contributors of *accumulated* changes has no setting at all: what few clients withheld for many rounds
    would be taken as everybody's change of one round, and the model diverges (9 % accuracy where division by the whole
    cohort gave 82 %, at 5 % of the chunks). So ``error_feedback`` always divides by the whole cohort, and
    ``contributors`` always means models, of which a mean over few is still a model.
    """
    chunking = settings.chunking
    if not chunking.chunking:
        return
    asks = settings.signature("exchange_rule").names
    if "stale_copy_step" in asks and chunking.copy_step > largest_step(settings):
        yield Remark(
            ("stale_copy_step", "chunk_reconstruction", "sensitivity_percentage"),
            f"got {chunking.copy_step:g} with {chunking.sensitivity_percentage:g} % of the chunks, but copies "
            "that are behind pull a client back to where its neighbours were, and large steps diverge; allowed here: "
            f"at most {largest_step(settings):g}",
        )
    if "catch_up" in asks and chunking.catch_up == "approximate" and not settings.federation.clients_have_first_model:
        yield Remark(
            ("catch_up", "initial_model"),
            "got approximate, but clients do not have the first model that the difference is taken to; allowed here: "
            "initial_model: seed, or a file with initial_model_known: true",
        )
    if settings.components.get(KINDS["encoding"], chunking.chunk_encoding) and chunking.chunk_compression != "none":
        yield Remark(
            ("chunk_compression", "chunk_encoding"),
            f"got {chunking.chunk_compression} with an encoding of your own, of whose bytes only it knows the length; "
            "compress in its encode(), and set chunk_compression to none",
        )
    mixes = settings.federation.peer_to_peer and not relays(settings)
    if mixes and chunking.chunk_reconstruction != "contributors":
        strategy = settings.training.aggregation_strategy
        if strategy not in ("FedAvg", "FedProx"):
            yield Remark(
                ("aggregation_strategy", "chunk_reconstruction"),
                f"got {strategy} with {chunking.chunk_reconstruction} peer to peer, which mixes by weights of its own; "
                "allowed here: FedAvg, FedProx, or chunk_reconstruction contributors",
            )


def idle(settings: Sections) -> Iterator[Idle]:
    """Settings that nothing reads as things are, with the reason."""
    chunking = settings.chunking
    if not chunking.chunking:
        return
    if unread := settings.unread("exchange_rule"):
        yield unread, f"chunk_reconstruction is {chunking.chunk_reconstruction}"
    if chunking.chunk_agreement != "consensus":
        yield ("agreement_scores", "agreement_interval"), "chunk_agreement is independent: each client chooses alone"
    elif chunking.agreement_scores == "none":
        yield ("agreement_interval",), "agreement_scores is none: clients never send scores"


def suspicions(settings: Sections) -> Iterator[Remark]:
    """Values that are rarely meant."""
    chunking = settings.chunking
    if not chunking.chunking:
        return
    rule = chunking.chunk_reconstruction
    keeps_rest = settings.constants("exchange_rule").get("KEEPS_REST", False)
    if keeps_rest and sees_this_round_only(settings) and not settings.sends_everything:
        yield Remark(
            ("chunk_score", "chunk_reconstruction"),
            f"is {chunking.score}, which sees this round only; with {rule} a chunk also holds what was not sent "
            "before: accumulated measures both, and is what works",
        )
    if not keeps_rest and settings.constants("encoding").get("LEVELS"):
        yield Remark(
            ("chunk_encoding", "chunk_reconstruction"),
            f"is {chunking.chunk_encoding}, whose rounding {rule} keeps nowhere: it is lost each round; "
            "error_feedback (star), stale_copies and relay (peer to peer) send it later",
        )
