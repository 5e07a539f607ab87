"""What an exchange rule has to say, for a star and for peers. A rule overrides what differs from the plain case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.aggregation import ChunkRule, RoundSum
from fedchunk.orchestrator.chunking.draft import Draft
from fedchunk.orchestrator.chunking.encoding import Message, Packing
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.contract.messages import ClientState, KnownToAll, ModelState
from fedchunk.orchestrator.methods.server_step import ServerStep

NEVER = -1
"""``known_round`` of a client that has not been told anything yet."""


OF_SETTINGS = {"of_settings": True}
"""Metadata of the fields of a coordinator's model that the settings give: a checkpoint does not bring them back."""


class GlobalModel(Protocol):
    """The coordinator's own model: what it takes from a round, and what a client has still to be told of it."""

    @property
    def layout(self) -> Layout:
        """The cut."""
        ...

    @property
    def state(self) -> ModelState:
        """The model as it is now."""
        ...

    @property
    def round_index(self) -> int:
        """The last round that is in it; 0 for the initial model."""
        ...

    @property
    def known_to_all(self) -> KnownToAll | None:
        """What clients have, bit for bit, once they have what :meth:`messages_since` says; None where it is not one
        model with, perhaps, chunks of their own."""
        ...

    @property
    def replaced_since(self) -> int:
        """Of a client that knows the model of an earlier round than this nothing of its own is left: what it must be
        sent holds every chunk. Asked only of rules that have ``replaces_sent``."""
        ...

    def change_of(self, total: RoundSum) -> NDArray[np.float32]:
        """How far a round's updates move the model, (P,), before any server optimizer."""
        ...

    def after(self, round_index: int, total: RoundSum) -> GlobalModel:
        """This model after a round's updates."""
        ...

    def message_key(self, known_round: int) -> bytes:
        """What :meth:`messages_since` depends on: clients for whom this is equal are sent the same."""
        ...

    def messages_since(
        self, known_round: int, *, choice_C: NDArray[np.bool_] | None = None, with_mask: bool = True
    ) -> tuple[Draft, ...]:
        """What a client that knows the model of ``known_round`` must be sent: mostly one message.

        The last one has the model's buffers and ``choice_C``.
        """
        ...


Relaying = Literal["to_all", "to_root"]
"""``to_all``: every message goes to everybody, and each adds them up. ``to_root``: one peer plays the coordinator."""


@dataclass(frozen=True)
class ServerSide:
    """What the coordinator's model is made with."""

    layout: Layout
    packing: Packing
    step: ServerStep


@dataclass(frozen=True)
class PeerView:
    """What a peer has when it mixes."""

    client_id: int
    own_P: NDArray[np.float32]
    """Its weights after its own training; of rules that keep copies, as they were after it last mixed."""
    messages: Mapping[int, Message]
    """What was sent in this round, by sender; its own message is among them."""
    neighbours: Sequence[int]
    trust: Sequence[float]
    """How much it trusts each neighbour, see ``topology.metropolis_weights``."""
    weight_of: Callable[[int], float]
    """A client's weight in a mean."""
    copies: tuple[NDArray[np.float32], ...]
    """Of rules that keep copies: what the rule itself last returned, or its ``first_copies``."""
    layout: Layout
    aggregate: ChunkRule | None
    """The rule of a chunk's aggregate; None: the weighted mean."""


class ExchangeRule:
    """What is sent, what a receiver makes of it, and what stays behind."""

    sends_changes = False
    """Whether messages hold changes to be added, not values."""
    sends_shares = False
    """Whether the contributors' share of the cohort's weight goes down with each chunk."""
    replaces_sent = False
    """Whether in a star what somebody sends of a chunk takes the place of everybody's own, so that nobody has to keep
    that."""
    keeps_residual = False
    """Whether clients of a star train from one shared model and keep what they did not send."""
    keeps_copies = False
    """Whether what peers know of each other adds up over rounds, so that all must hear every message: each hears its
    neighbours even where it could not train, keeps vectors of the rule's own, and what was not sent."""
    relays: Relaying | None = None
    """How peers hand messages on so that all share one model; None: a message is for neighbours alone."""

    def start(self, shared_P: NDArray[np.float32], withheld_P: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """Where training begins, (P,), from the model as others know it and what was not sent."""
        return shared_P

    def unheard(
        self, withheld_P: NDArray[np.float32] | None, copies: tuple[NDArray[np.float32], ...]
    ) -> NDArray[np.float32] | None:
        """What neighbours do not know of a peer before its training, (P,); None where that is nothing."""
        return withheld_P

    def faded(self, withheld_P: NDArray[np.float32], missed: int) -> NDArray[np.float32]:
        """What is left of what a client withheld, (P,), after so many rounds in which it did not take part."""
        return withheld_P

    def sent_vector(self, pending: ClientState) -> NDArray[np.float32]:
        """The vector whose chunks are sent, (P,)."""
        assert pending.model is not None
        return pending.model.weights_P

    def after_sending(
        self,
        withheld_P: NDArray[np.float32],
        selected_C: NDArray[np.bool_],
        sent: Draft,
        layout: Layout,
        squares_C: NDArray[np.float64] | None = None,
    ) -> tuple[NDArray[np.float32], float | None]:
        """What stays with the sender once a message is sent, (P,), and its L2 norm where it is a residual.

        Of values that are sent whole nothing stays in the chunks that went; the rest is what scores look at. In a star
        the rule may write over ``withheld_P``. ``squares_C`` are the squared norms of its chunks where they are known;
        a user's rule is not told.
        """
        kept_P = withheld_P.copy()
        layout.paste(np.zeros(layout.num_values(selected_C), np.float32), selected_C, kept_P)
        return kept_P, None

    def global_model(self, server: ServerSide, state: ModelState) -> GlobalModel:
        """The coordinator's model before the first round."""
        raise NotImplementedError(f"{type(self).__name__} is not for a star")

    def first_copies(self, start_P: NDArray[np.float32], num_neighbours: int) -> tuple[NDArray[np.float32], ...]:
        """Vectors of its own that a peer of this rule begins with, (P,) each."""
        return ()

    def shared_after(self, shared: ModelState, total: RoundSum) -> ModelState:
        """The model that all peers share, after a round's messages; with ``to_all`` everybody has the same sum."""
        raise NotImplementedError(f"{type(self).__name__} has no model that peers share")

    def mix(self, view: PeerView) -> tuple[NDArray[np.float32], tuple[NDArray[np.float32], ...]]:
        """A peer's next weights, (P,), and the vectors that it keeps beside them."""
        raise NotImplementedError(f"{type(self).__name__} is not for peers")
