"""What clients may still send, where the settings give the whole run a number of bytes."""

from __future__ import annotations

from fedchunk.orchestrator.chunking.codecs import Codec
from fedchunk.orchestrator.chunking.encoding import message_bytes
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.contract.messages import ModelSpec
from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.core.round_rules import cohort_size
from fedchunk.orchestrator.methods.agreement import score_bytes
from fedchunk.orchestrator.methods.method import affordable_chunks
from fedchunk.orchestrator.settings.joined import Sections


def even_share(left: float, rounds_left: int, clients: int) -> int:
    """Bytes of one message, where what is left is the same for ``clients`` in each round to come."""
    return int(left / (rounds_left * clients))


class Budget:
    """Spreads what is left of ``sensitivity_budget_mb`` evenly over the rounds and clients to come.

    Raises ConfigError for a budget that messages without any chunk would already pass: it could not be kept to.

    Attributes:
        left: bytes that may still be sent; None: no budget.
    """

    def __init__(self, settings: Sections, layout: Layout, spec: ModelSpec, codec: Codec) -> None:
        self._chunking = settings.chunking
        self._federation = settings.federation
        self._layout = layout
        self._codec = codec
        self._counts = spec.num_float_buffers, spec.num_integer_buffers
        megabytes = settings.chunking.sensitivity_budget_mb if settings.chunking.chunking else None
        self.left = None if megabytes is None else megabytes * 1_000_000
        if self.left is not None and self.left < self._least():
            message = (
                f"got {megabytes:g} MB, but headers, masks and buffers alone take {self._least() / 1_000_000:g} MB in "
                "this run; allowed here: more than that"
            )
            raise ConfigError([Fault("", "sensitivity_budget_mb", message)])

    def bytes_per_client(self, round_index: int, clients: int) -> int | None:
        """Most bytes that one client may send in this round; None: no budget."""
        if self.left is None:
            return None
        return even_share(self.left, self._federation.federated_learning_rounds - round_index + 1, clients)

    def chunks(self, most_bytes: int | None) -> int | None:
        """How many chunks fit into a payload of ``most_bytes``; None: no limit."""
        return affordable_chunks(self._codec, self._layout, *self._counts, most_bytes)

    def spend(self, uplink_bytes: int) -> None:
        """Takes off what a round has sent."""
        if self.left is not None:
            self.left -= uplink_bytes

    def _least(self) -> int:
        """Bytes of a run in which nobody sends a chunk."""
        each = sum(message_bytes(self._layout.num_chunks, 0, *self._counts).values())
        each += score_bytes(self._chunking, self._layout.num_chunks)
        federation = self._federation
        clients = cohort_size(federation.number_of_clients, federation.client_sampling_rate)
        return each * clients * federation.federated_learning_rounds
