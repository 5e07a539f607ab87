"""What clients may still send, where the settings give the whole run a number of bytes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

from fedchunk.orchestrator.chunking import choice_code, header
from fedchunk.orchestrator.chunking.codecs import Codec
from fedchunk.orchestrator.chunking.encoding import message_bytes
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.contract.messages import ModelSpec
from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.core.round_rules import cohort, cohort_size
from fedchunk.orchestrator.methods.agreement import score_bytes
from fedchunk.orchestrator.methods.method import affordable_chunks
from fedchunk.orchestrator.settings.joined import Sections


def even_share(left: float, rounds_left: int, clients: int) -> int:
    """Bytes of one message, where what is left is the same for ``clients`` in each round to come."""
    return int(left / (rounds_left * clients))


class Budget:
    """Spreads what is left of ``sensitivity_budget_mb`` evenly over the rounds and clients to come.

    The bytes by which a client's first message is longer are put aside before: clients share what is left of it.

    Raises ConfigError for a budget that messages without any chunk would already pass: it could not be kept to.

    Attributes:
        left: bytes that may still be sent; None: no budget.
        score_bytes: of one client's scores, to agree, where its connection stands; 0 where none are sent.
    """

    def __init__(self, settings: Sections, layout: Layout, spec: ModelSpec, codec: Codec) -> None:
        self._federation = settings.federation
        self._layout = layout
        self._codec = codec
        self._counts = spec.num_float_buffers, spec.num_integer_buffers
        megabytes = settings.chunking.sensitivity_budget_mb if settings.chunking.chunking else None
        self.score_bytes = score_bytes(settings.chunking, layout.num_chunks)
        self.left = None if megabytes is None else megabytes * 1_000_000
        self._participants = frozenset[int]() if self.left is None else self._who_takes_part()
        if self.left is not None and self.left < self._least():
            message = (
                f"got {megabytes:g} MB, but headers, masks and buffers alone take {self._least() / 1_000_000:g} MB in "
                "this run; allowed here: more than that"
            )
            raise ConfigError([Fault("", "sensitivity_budget_mb", message)])

    @property
    def setup_bytes(self) -> int:
        """By how much the first messages of all that take part are longer."""
        return header.SETUP_SIZE * len(self._participants)

    def bytes_per_client(self, round_index: int, clients: int, stands: Callable[[int], bool]) -> int | None:
        """Most bytes that one client may send in this round, beside its connection's setup; None: no budget.

        ``stands`` tells of a client whether it has sent anything yet.
        """
        if self.left is None:
            return None
        setup = header.SETUP_SIZE * sum(not stands(client) for client in self._participants)
        return even_share(self.left - setup, self._federation.federated_learning_rounds - round_index + 1, clients)

    def chunks(self, most_bytes: int | None) -> int | None:
        """How many chunks fit into a payload of ``most_bytes``; None: no limit."""
        return affordable_chunks(self._codec, self._layout, *self._counts, most_bytes)

    def spend(self, uplink_bytes: int) -> None:
        """Takes off what a round has sent."""
        if self.left is not None:
            self.left -= uplink_bytes

    def _least(self) -> int:
        """Bytes of a run in which nobody sends a chunk."""
        mask = choice_code.most_bytes(self._layout.num_chunks, 0, 0)
        each = sum(message_bytes(0, *self._counts, mask=mask).values()) + self.score_bytes
        federation = self._federation
        clients = cohort_size(federation.number_of_clients, federation.client_sampling_rate)
        return each * clients * federation.federated_learning_rounds + self.setup_bytes

    def _who_takes_part(self) -> frozenset[int]:
        federation = self._federation
        count, rate, seed = federation.number_of_clients, federation.client_sampling_rate, federation.random_seed
        rounds = range(1, federation.federated_learning_rounds + 1)
        return frozenset(chain.from_iterable(cohort(count, rate, seed, index) for index in rounds))
