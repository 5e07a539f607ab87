"""The bytes of a star, round by round: which clients take part is in the seed, so only the choices are unknown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedchunk.orchestrator.chunking import sensitivity
from fedchunk.orchestrator.chunking.header import SETUP_SIZE
from fedchunk.orchestrator.commands.plan_chunks import BudgetBounds, chunks_of_round
from fedchunk.orchestrator.commands.plan_messages import NOTHING, Bounds, Messages
from fedchunk.orchestrator.core import round_rules
from fedchunk.orchestrator.methods.agreement import asks_for_scores
from fedchunk.orchestrator.settings.sections import FederationSettings

Watch = Callable[[Sequence[int], Sequence[Bounds], Sequence[Bounds], int], object]
"""Told of each round: its clients, what each sends, what each is sent, and how many messages that is for one."""

NEVER = -1
"""The round that a client knows which was told nothing yet."""


@dataclass(frozen=True)
class Downloads:
    """How many messages of each kind the coordinator sends in a whole run."""

    whole: int = 0
    """The whole model, to a client that takes part for the first time."""
    changes: int = 0
    """What others sent since the client was last told."""
    empty: int = 0
    """A header to a client that already knows all, because its own model was just evaluated or made from the seed."""
    choices: int = 0
    """Which chunks to send, to clients that sent scores."""


@dataclass(frozen=True)
class Hops:
    """How often messages of peers cross an edge in a round, all edges together."""

    up: int
    """Peers' own messages."""
    down: int = 0
    """The root's, where one peer plays the coordinator."""


@dataclass(frozen=True)
class Traffic:
    """The messages of a whole run."""

    chunks_sent: Bounds
    """Chunks that one client sends in one round."""
    upload: Bounds
    """All that one client sends in one round; peer to peer: one message over one edge."""
    download: Bounds
    """All that one client is sent in one round, once it has the model; peer to peer as ``upload``."""
    uplink: Bounds
    downlink: Bounds
    participants: int
    """Clients that take part at least once."""
    downloads: Downloads | None = None
    """None peer to peer."""
    hops: Hops | None = None
    """None in a star."""


def star_traffic(federation: FederationSettings, messages: Messages, watch: Watch | None = None) -> Traffic:
    """What the coordinator and the clients send each other."""
    counted = _Star(federation, messages, with_age=True, watch=watch).run()
    chunking = messages.chunking
    if not chunking.chunking or chunking.chunk_max_age is None:
        return counted
    bare = _Star(federation, messages, with_age=False).run()
    times = age_choices(messages, federation.federated_learning_rounds) * counted.participants
    choosers = 1 if chunking.agrees else counted.participants
    # A chunk more may also make a mask longer, that of a message or of the choice that goes with it.
    down, masks = counted.downloads, messages.longest_mask * (2 if chunking.agrees else 1)
    assert down is not None, "of a star they are known"
    uplink = bare.uplink.high + times * messages.chunk_up
    uplink += (down.whole + down.changes + down.empty) * messages.longest_mask
    downlink = bare.downlink.high + times * messages.chunk_down * choosers
    downlink += (down.whole + down.changes + down.empty + down.choices) * masks
    return replace(
        counted,
        uplink=Bounds(counted.uplink.low, min(counted.uplink.high, uplink)),
        downlink=Bounds(counted.downlink.low, min(counted.downlink.high, downlink)),
    )


def age_choices(messages: Messages, num_rounds: int) -> int:
    """How often one chooser takes a chunk for its age in a whole run, all chunks together, at most.

    A chunk is overdue ``chunk_max_age + 1`` rounds after it was sent, so each goes for its age R / (chunk_max_age + 1)
    times at most; and K of a round is at most what the policy asks for and all that is overdue.
    """
    max_age = messages.chunking.chunk_max_age
    return 0 if max_age is None else num_rounds // (max_age + 1) * messages.layout.num_chunks


class _Star:
    """Goes through the rounds and adds up; knows of each client what the coordinator knows of it."""

    def __init__(
        self, federation: FederationSettings, messages: Messages, *, with_age: bool, watch: Watch | None = None
    ) -> None:
        clients, num_rounds = federation.number_of_clients, federation.federated_learning_rounds
        self._federation = federation
        self._messages = messages
        self._with_age, self._watch = with_age, watch
        self._known_N = np.full(clients, 0 if federation.clients_have_first_model else NEVER)
        self._took_part_N = np.full(clients, NEVER)
        self._changed_low_R = np.zeros(num_rounds + 1, np.int64)
        self._changed_high_R = np.zeros(num_rounds + 1, np.int64)
        self._retold_R = np.zeros(num_rounds + 1, np.int64)
        has_budget = messages.chunking.chunking and messages.chunking.sensitivity_budget_mb is not None
        self._budget = BudgetBounds(messages, num_rounds, len(self._cohort(1))) if has_budget else None
        self._uplink = self._downlink = NOTHING
        self._downloads = Downloads()

    def run(self) -> Traffic:
        """All rounds."""
        sent, uploads, downloads = [], [], []
        for round_index in range(1, self._federation.federated_learning_rounds + 1):
            chunks, upload, download = self._round(round_index, self._cohort(round_index))
            sent.append(chunks)
            uploads.append(upload)
            downloads.extend(download)
        later = [bounds for settled, bounds in downloads if settled] or [bounds for _, bounds in downloads]
        participants = int((self._took_part_N != NEVER).sum())
        uplink = self._uplink + Bounds.exactly(SETUP_SIZE) * participants
        return Traffic(
            chunks_sent=Bounds.around(sent),
            upload=Bounds.around(uploads),
            download=Bounds.around(later),
            uplink=self._budget.cap(uplink) if self._budget else uplink,
            downlink=self._downlink,
            participants=participants,
            downloads=self._downloads,
        )

    def _round(self, round_index: int, members: Sequence[int]) -> tuple[Bounds, Bounds, list[tuple[bool, Bounds]]]:
        """Chunks and bytes that one client sends; and what clients are sent, with whether they had the model."""
        messages, asks = self._messages, asks_for_scores(self._messages.chunking, round_index)
        chunks = self._chunks(round_index)
        upload = messages.update(chunks) + Bounds.exactly(messages.scores if asks else 0)
        self._uplink += upload * len(members)
        choice = chunks if messages.chunking.agrees else None
        told, kind_M = self._send_model(members, round_index - 1, None if asks else choice)
        self._note_changes(round_index, chunks, len(members))
        more = messages.nothing(choice) if asks else NOTHING
        evaluated = self._federation.evaluate_clients and round_rules.is_evaluated(
            round_index, self._federation.evaluation_interval, self._federation.federated_learning_rounds
        )
        new_M = self._took_part_N[members] == NEVER
        uploads = [upload + Bounds.exactly(SETUP_SIZE * new) for new in new_M.tolist()]
        self._known_N[members] = round_index - 1
        self._took_part_N[members] = round_index
        if evaluated:
            more += self._message(round_index - 1, round_index, None, took_part=True)
            self._known_N[members] = round_index
        self._downlink += more * len(members)
        self._count(choices=len(members) if asks else 0, changes=len(members) if evaluated else 0)
        if self._watch is not None:
            downloads = [told[kind][1] + more for kind in kind_M]
            self._watch(members, uploads, downloads, 2 + 2 * asks + evaluated)
        settled = [(known != NEVER and round_index > 1, message + more) for known, message in told]
        return chunks, Bounds.around(uploads), settled

    def _chunks(self, round_index: int) -> Bounds:
        chunks = chunks_of_round(self._messages, round_index, with_age=self._with_age)
        return self._budget.limit(chunks, round_index, self._uplink) if self._budget else chunks

    def _send_model(
        self, members: Sequence[int], model_round: int, choice: Bounds | None
    ) -> tuple[list[tuple[int, Bounds]], list[int]]:
        """Sends all members what they have missed.

        Returns:
            (round that was known, message) of each kind of member, and the kind of each member.
        """
        took_part_M, new_M = self._took_part_N[members] == model_round, self._took_part_N[members] == NEVER
        told_M = 4 * self._known_N[members] + 2 * new_M + took_part_M
        kinds, kind_M, counts = np.unique(told_M, return_inverse=True, return_counts=True)
        sent = []
        for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True):
            known, is_new, took_part = kind >> 2, kind >> 1 & 1, kind & 1
            message = self._message(known, model_round, choice, took_part=bool(took_part))
            message += self._setups(known, model_round) * is_new
            self._downlink += message * count
            whole, empty = known == NEVER, known == model_round
            self._count(count if whole else 0, 0 if whole or empty else count, count if empty else 0)
            sent.append((known, message))
        return sent, kind_M.tolist()

    def _message(self, known: int, model_round: int, choice: Bounds | None, *, took_part: bool) -> Bounds:
        """To a client that knows the model of round ``known`` and perhaps took part in the model's last round.

        ``choice``: how many chunks it is told to send; None: it is not told.
        """
        messages, chunking = self._messages, self._messages.chunking
        if known == NEVER:
            return messages.whole(choice)
        if known == model_round:
            return messages.nothing(choice)
        missed_one = known == model_round - 1
        if messages.method.rule.keeps_residual and not missed_one:
            return self._catch_up(known, model_round, choice)
        sent_it_too = chunking.agrees and missed_one and took_part and not self._tells_other_chunks
        return messages.change(self._changed(known), with_mask=not sent_it_too, choice=choice)

    def _setups(self, known: int, model_round: int) -> Bounds:
        """What a newcomer's messages have more, each of them: one, or perhaps several where it missed rounds.

        These are as many as the rounds at most, and one for chunks that were told too often.
        """
        more = model_round - known if self._messages.method.rule.keeps_residual and known > NEVER else 0
        return Bounds(SETUP_SIZE, SETUP_SIZE * (1 + more * (more > 1)))

    def _catch_up(self, known: int, model_round: int, choice: Bounds | None) -> Bounds:
        """To a client that missed some rounds: values, or all that was told meanwhile, whichever is shorter.

        The history may not reach back so far, but only where telling it takes more bytes than all values.
        """
        messages = self._messages
        values, merged = (
            messages.change(self._changed(known), plain=plain, with_mask=True, choice=choice) for plain in (True, False)
        )
        retold = int(self._retold_R[model_round] - self._retold_R[known]) + messages.ending(choice)
        lows, highs = [values.low, merged.low], [values.high, retold]
        if messages.chunking.catch_up == "approximate":
            since_first = messages.change(self._changed(0), with_mask=True, choice=choice)
            lows.append(since_first.low)
            highs.append(since_first.high)
        return Bounds(min(lows), min(highs))

    def _changed(self, known: int) -> Bounds:
        """How many chunks changed since a round."""
        return Bounds(int(self._changed_low_R[known]), int(self._changed_high_R[known]))

    def _note_changes(self, round_index: int, sent: Bounds, clients: int) -> None:
        """How many chunks changed since each round before: of one choice at least, of all together at most."""
        messages, num_chunks = self._messages, self._messages.layout.num_chunks
        chunking = messages.chunking
        changed = sent if chunking.agrees else Bounds(sent.low, sent.high * clients).at_most(num_chunks)
        if messages.method.rule.keeps_residual and chunking.downlink_sensitivity_percentage is not None:
            changed = Bounds.exactly(sensitivity.fixed(num_chunks, chunking.downlink_sensitivity_percentage))
        again = messages.told_again(changed)
        if not self._with_age:  # a chunk more makes the mask of this message longer, as often as it is told
            again += messages.longest_mask
        self._retold_R[round_index] = self._retold_R[round_index - 1] + again
        low_R, high_R = self._changed_low_R[:round_index], self._changed_high_R[:round_index]
        np.maximum(low_R, changed.low, out=low_R)
        np.minimum(high_R + changed.high, num_chunks, out=high_R)

    @property
    def _tells_other_chunks(self) -> bool:
        """Whether the coordinator tells of chunks that clients did not choose."""
        messages, chunking = self._messages, self._messages.chunking
        return messages.method.rule.keeps_residual and chunking.downlink_sensitivity_percentage is not None

    def _count(self, whole: int = 0, changes: int = 0, empty: int = 0, choices: int = 0) -> None:
        so_far = self._downloads
        self._downloads = Downloads(
            so_far.whole + whole, so_far.changes + changes, so_far.empty + empty, so_far.choices + choices
        )

    def _cohort(self, round_index: int) -> list[int]:
        federation = self._federation
        seed, rate = federation.random_seed, federation.client_sampling_rate
        return list(round_rules.cohort(federation.number_of_clients, rate, seed, round_index))
