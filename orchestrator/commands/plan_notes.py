"""What the bounds of a plan mean for its settings, in words."""

from __future__ import annotations

from collections.abc import Iterator

from fedchunk.orchestrator.commands.console import size
from fedchunk.orchestrator.commands.plan_messages import Messages
from fedchunk.orchestrator.settings.sections import ChunkingSettings
from fedchunk.orchestrator.settings.whole import Settings


def notes(settings: Settings, messages: Messages) -> Iterator[str]:
    """One sentence or two for each thing that the figures do not say."""
    peers, relays = settings.federation.peer_to_peer, messages.method.rule.relays
    if relays == "to_all":
        yield (
            "There is no coordinator and no first download: every message is handed on from peer to peer until all "
            "have it, and each hop is counted. A peer that missed rounds is sent what changed meanwhile as full "
            "float32 values."
        )
    elif relays == "to_root":
        yield (
            "One peer plays the coordinator: messages go to it and from it along a tree, and each hop is counted. A "
            "message that goes to all crosses each edge of the tree once."
        )
        yield from _downloads(settings, messages)
    elif peers:
        yield "There is no coordinator and no first download: what one peer sends over an edge, the other receives."
        if settings.federation.final_average:
            links, encoding = settings.federation.number_of_clients - 1, settings.federation.final_average_encoding
            yield (
                f"After the last round the peers' models are averaged over {links} of the edges, once each way and as "
                f"{encoding}: it is in the figures of the whole run."
            )
    else:
        yield from _downloads(settings, messages)
    if (home := messages.spec.home) is not None:
        which = ", ".join(settings.training.local_parameters)
        yield (
            f"{home.num_parameters:,} parameters more stay with each client ({which}) and are never sent: no bytes "
            "here are theirs, of full exchange neither."
        )
    if messages.spec.num_frozen:
        yield (
            f"{messages.spec.num_frozen:,} values more are frozen: everybody has them from the start, and they are "
            "never sent."
        )
    if settings.chunking.chunking:
        yield from _cut(settings.chunking, messages)
        yield from _agreement(settings.chunking, messages)
        yield from _counts(messages, peers=peers)
        if (budget_mb := settings.chunking.sensitivity_budget_mb) is not None:
            yield (
                f"sensitivity_budget_mb caps the upload in all at {size(budget_mb * 1_000_000)}; what is left over "
                "goes to later rounds."
            )
        if settings.chunking.chunk_compression != "none":
            yield (
                "How small compression makes the values is in the data: 'at least' counts none of them, 'at most' all."
            )
    if settings.federation.stop_at is not None:
        key = "stop_avg_accuracy" if settings.federation.stop_target is None else "stop_target"
        yield f"{key} may end the run before its last round; 'at least' is for all rounds."


def _downloads(settings: Settings, messages: Messages) -> Iterator[str]:
    chunking, federation = settings.chunking, settings.federation
    feeds_back = messages.method.rule.keeps_residual
    if federation.initial_file is not None and federation.initial_model_known:
        first = f"Clients have the first model already, from {federation.initial_file}."
    elif federation.initial_model == "seed":
        first = "Clients make the first model themselves, from random_seed."
    else:
        first = "A client's first download is the whole model."
    if not chunking.chunking:
        yield first
    elif feeds_back and chunking.downlink_sensitivity_percentage is not None:
        yield f"{first} Later {chunking.downlink_sensitivity_percentage:g} % of the chunks come down in each round."
    elif chunking.agrees:
        yield f"{first} Later a client is sent the chunks that all clients sent, averaged."
    else:
        yield (
            f"{first} Later a client is sent what the clients sent, averaged: 'at least' is when all choose the same "
            "chunks, 'at most' when every chunk is sent by somebody, or all choose different ones."
        )
    if feeds_back and (federation.client_sampling_rate < 1 or federation.peer_to_peer):
        yield _catching_up(chunking)


def _catching_up(chunking: ChunkingSettings) -> str:
    ways = "what it was not told, as it was told then, merged, or as float32 values"
    if chunking.catch_up == "approximate":
        ways += ", or the difference to the first model"
    return f"A client that was away for more than a round is sent {ways}: whichever takes the fewest bytes."


def _cut(chunking: ChunkingSettings, messages: Messages) -> Iterator[str]:
    """What balance a cut at tensors' borders loses."""
    if chunking.chunk_layout != "tensors":
        return
    layout = messages.layout
    more = ""
    if layout.num_chunks > chunking.chunking_parts:
        more = f" There are more tensors than chunking_parts: each of the {layout.num_chunks} is a chunk."
    yield (
        f"Chunks end at tensors' borders and hold {layout.shortest:,} to {layout.longest:,} values, "
        f"{layout.num_parameters / layout.num_chunks:,.0f} on average: 'at least' is when the shortest are chosen, "
        f"'at most' when the longest are.{more}"
    )


def _agreement(chunking: ChunkingSettings, messages: Messages) -> Iterator[str]:
    if not chunking.agrees:
        return
    if not messages.scores:
        yield "The coordinator predicts which chunks matter and says so with the model: clients send no scores."
        return
    every = "each round" if chunking.agreement_interval == 1 else f"every {chunking.agreement_interval} rounds"
    yield (
        f"To agree, a client sends {size(messages.scores)} of scores {every} and is told the choice in "
        f"at most {size(messages.longest_choice)}: both are in the figures."
    )


def _counts(messages: Messages, *, peers: bool) -> Iterator[str]:
    chunking = messages.chunking
    if messages.method.chooser.reads_scores:
        yield (
            f"The policy {chunking.policy} chooses the number of chunks in each round: 'at most' is its ceiling, "
            "'at least' is when nothing is worth sending."
        )
    elif chunking.policy == "schedule" or chunking.sensitivity_warmup_rounds:
        yield f"The number of chunks depends on the round: {'a message' if peers else 'an upload'} has a range."
    if chunking.chunk_max_age is not None:
        yield (
            f"Chunks that have waited {chunking.chunk_max_age} rounds go even above that number, so one message may "
            f"hold all; in all, each chunk goes for its age once in {chunking.chunk_max_age + 1} rounds at most."
        )
