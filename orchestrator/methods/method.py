"""What the settings say of an exchange, resolved once in each process: the one choice of rule, score and policy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import choice_code, header, reconstruction, sensitivity
from fedchunk.orchestrator.chunking.aggregation import ChunkRule
from fedchunk.orchestrator.chunking.chunk_costs import sizes_by_cost
from fedchunk.orchestrator.chunking.codecs import Codec
from fedchunk.orchestrator.chunking.encoding import PLAIN, Message, Packing, message_bytes
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.components import Bound
from fedchunk.orchestrator.contract.messages import ModelSpec, ModelState
from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.methods.chooser import Chooser
from fedchunk.orchestrator.methods.exchange_rules._rule import ExchangeRule, ServerSide
from fedchunk.orchestrator.methods.exchange_rules.contributors import Contributors
from fedchunk.orchestrator.methods.own_codec import OwnCodec
from fedchunk.orchestrator.methods.own_rule import OwnRule
from fedchunk.orchestrator.methods.rates import server_learning_rates
from fedchunk.orchestrator.methods.scorer import Scorer
from fedchunk.orchestrator.methods.server_step import ServerStep
from fedchunk.orchestrator.registry import KINDS, constants
from fedchunk.orchestrator.settings.joined import Sections
from fedchunk.orchestrator.settings.sections import ChunkingSettings, FederationSettings

if TYPE_CHECKING:  # with networkx, which a star does without
    from fedchunk.orchestrator.methods.topology import Topology


@dataclass(frozen=True)
class Method:
    """How clients exchange: what is sent, how much of it, and what a receiver makes of it."""

    layout: Layout
    rule: ExchangeRule
    scorer: Scorer
    chooser: Chooser
    packing: Packing

    @classmethod
    def of(cls, settings: Sections, spec: ModelSpec) -> Method:
        """The method that the settings name, for a model of this shape.

        Raises:
            ConfigError: more chunks than parameters.
        """
        layout = layout_for(settings.chunking, spec)
        scorer = Scorer(settings, layout, spec.parameter_bounds)
        return cls(layout, rule_of(settings), scorer, Chooser(settings), packing_of(settings))

    @property
    def withholds(self) -> bool:
        """Whether clients keep what they did not send: to send it later, or to score by it."""
        return self.rule.keeps_residual or self.rule.keeps_copies or self.scorer.uses_withheld

    @property
    def own_codec(self) -> Codec:
        """The encoding in force, with its options: a message says no more than which encoding it is in."""
        return self.packing.codec


def layout_for(settings: ChunkingSettings, spec: ModelSpec) -> Layout:
    """The cut in force: ``chunking_parts`` chunks as ``chunk_layout`` says, or the whole model as one without chunking.

    Raises ConfigError when there would be more chunks than parameters.
    """
    if not settings.chunking:
        return Layout(spec.num_parameters, 1)
    try:
        if settings.chunk_layout == "tensors":
            return Layout.at_tensors(spec.parameter_bounds, settings.chunking_parts)
        return Layout(spec.num_parameters, settings.chunking_parts)
    except ValueError as error:
        raise ConfigError([Fault("", "chunking_parts", str(error))]) from error


def rule_of(settings: Sections) -> ExchangeRule:
    """The exchange rule in force; full exchange is that of contributors, whatever else is said."""
    if not settings.chunking.chunking:
        return Contributors()
    bound = settings.bound("exchange_rule")
    rule = bound(**{**settings.on_offer("exchange_rule"), "stale_copy_step": settings.chunking.copy_step})
    if not isinstance(rule, ExchangeRule):
        raise bound.failed(f"returned {type(rule).__name__}, expected an ExchangeRule")
    return OwnRule(bound, rule) if bound.is_own else rule


def packing_of(settings: Sections) -> Packing:
    """How values travel; full exchange is always plain float32."""
    chunking = settings.chunking
    if not chunking.chunking:
        return PLAIN
    bound = settings.bound("encoding")
    codec = bound()
    return Packing(OwnCodec(bound, codec) if bound.is_own else codec, chunking.chunk_compression)


def server_side(settings: Sections, layout: Layout) -> ServerSide:
    """What the coordinator's model is made with."""
    named = settings.federation.server_optimizer
    optimizer = None if named == "none" else settings.bound("server_optimizer")
    step = ServerStep(optimizer, server_learning_rates(settings))
    return ServerSide(layout, packing_of(settings), step)


def aggregate_of(settings: Sections) -> ChunkRule | None:
    """The rule of a chunk's aggregate; None where it is the weighted mean, which sums are enough for."""
    if adds_up(settings):
        return None
    return partial(_aggregate, settings.bound("aggregation"))


def adds_up(settings: Sections) -> bool:
    """Whether sums of clients' updates are all that the aggregation needs, so that they may be added anywhere."""
    kind, name = KINDS["aggregation"], settings.training.aggregation_strategy
    return settings.components.get(kind, name) is None and bool(constants(kind, name).get("BY_SUMS"))


def _aggregate(bound: Bound, values_NK: NDArray[np.float32], weights_N: NDArray[np.float64]) -> NDArray[np.float32]:
    answer: Any = bound(values_NK=values_NK, weights_N=weights_N)
    with bound.named():
        aggregate_K = np.asarray(answer, np.float32)
    if bound.is_own and aggregate_K.shape != values_NK.shape[1:]:
        raise bound.failed(f"returned shape {aggregate_K.shape} for a chunk of {values_NK.shape[1]} values")
    if bound.is_own and not np.isfinite(aggregate_K).all():
        raise bound.failed("returned values that are not finite")
    return aggregate_K


def client_weight(settings: FederationSettings, num_samples: int) -> float:
    """A client's weight in the mean."""
    return float(num_samples) if settings.aggregation_sample_scaling else 1.0


def keeps_states(settings: Sections) -> bool:
    """Whether clients have anything to remember: in full exchange the next message replaces all that they are, but for
    what stays at home."""
    return _keeps_models(settings) or bool(settings.training.local_parameters)


def keeps_home_alone(settings: Sections) -> bool:
    """Whether what stays at home is all that clients have to remember."""
    return keeps_states(settings) and not _keeps_models(settings)


MOST_NOTED = 1 << 24
"""Clients times chunks of which a coordinator notes when they were sent: 64 MiB."""


def forgets_states(settings: Sections, method: Method) -> bool:
    """Whether the coordinator of a star notes which chunk was sent when, and forgets a client's state once all of its
    model was replaced: nothing else is in it."""
    if settings.federation.number_of_clients * method.layout.num_chunks > MOST_NOTED:
        return False
    remembers_more = settings.training.carries_momentum or settings.training.local_parameters or method.withholds
    is_replaced = method.rule.replaces_sent and not settings.bound("exchange_rule").is_own
    return is_replaced and keeps_states(settings) and not (remembers_more or settings.chunking.agrees)


def all_know_one_model(settings: Sections) -> bool:
    """Whether every client of a star is told the same bits, however many rounds it missed, and is given what they come
    to: then none has to keep a model of its own."""
    chunking, bound = settings.chunking, settings.bound("exchange_rule")
    exact = chunking.catch_up == "exact" and settings.runtime.transport == "object_store"
    keeps = settings.training.carries_momentum or chunking.agrees
    return exact and not keeps and not bound.is_own and rule_of(settings).keeps_residual


def _keeps_models(settings: Sections) -> bool:
    return settings.chunking.chunking or settings.federation.evaluate_clients or settings.training.carries_momentum


def affordable_chunks(
    codec: Codec, layout: Layout, num_float: int, num_integer: int, most_bytes: int | None
) -> int | None:
    """How many chunks fit into a message of ``most_bytes``; None: no limit.

    Counted with the chunks that cost most and the longest mask, where the connection stands. Chunks of nearly one size
    all count as the longest.
    """
    if most_bytes is None:
        return None

    alike = np.full(layout.num_chunks, layout.longest)
    dearest_C = sizes_by_cost(layout, codec)[::-1] if layout.tensor_bounds else alike

    def length(chunks: int) -> int:
        mask, sizes_K = choice_code.most_bytes(layout.num_chunks, 0, chunks), dearest_C[:chunks]
        counts = int(sizes_K.sum()), num_float, num_integer
        return sum(message_bytes(*counts, mask=mask, num_selected=chunks, codec=codec, sizes_K=sizes_K).values())

    return sensitivity.budget(layout.num_chunks, most_bytes, length)


def dense_message_bytes(spec: ModelSpec) -> int:
    """Bytes of every message of full exchange, where the connection stands: the whole model as one chunk."""
    counts = spec.num_parameters, spec.num_float_buffers, spec.num_integer_buffers
    return sum(message_bytes(*counts, mask=choice_code.most_bytes(1, 1, 1)).values())


def dense_bytes(spec: ModelSpec, num_messages: int, num_first: int) -> int:
    """Bytes of messages of full exchange, of which ``num_first`` are the first over their connections."""
    return num_messages * dense_message_bytes(spec) + num_first * header.SETUP_SIZE


def dense_bytes_of_peers(spec: ModelSpec, topology: Topology, newcomers: Iterable[int]) -> int:
    """Bytes of a round of full exchange over all edges, in both directions; ``newcomers`` send for the first time."""
    return dense_bytes(spec, 2 * topology.edges, sum(len(topology.neighbours[client]) for client in newcomers))


def reconstruct(own: ModelState | None, message: Message, layout: Layout) -> ModelState:
    """A receiver's next model from its own and from what arrived; the message says by which rule.

    Changes are added; values with shares are mixed with the receiver's own; other values take their place. A
    receiver that has no model yet must have been sent the whole of it.
    """
    whole = message.mask_C.all() and not message.is_change and message.shares_K is None
    if whole:
        weights_P = np.require(message.values, requirements="A")  # others than numpy work on it
    elif own is None:
        raise AssertionError("a client without weights was sent a part of the model")
    elif message.is_change:
        weights_P = own.weights_P.copy()
        layout.add(message.values, message.mask_C, weights_P)
    elif message.shares_K is None:
        weights_P = reconstruction.from_contributors(own.weights_P, message.mask_C, message.values, layout)
    else:
        weights_P = reconstruction.with_own_weights(
            own.weights_P, message.mask_C, message.values, message.shares_K, layout
        )
    if message.buffers_B is not None and message.counters_I is not None:
        return ModelState(weights_P, message.buffers_B, message.counters_I)
    assert own is not None, "a client without buffers was sent none"
    return ModelState(weights_P, own.buffers_B, own.counters_I)
