"""How long the messages of an experiment are, shortest and longest, by the encoder's own sizes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fedchunk.orchestrator.chunking import choice_code, scale_code
from fedchunk.orchestrator.chunking.chunk_costs import sizes_by_cost
from fedchunk.orchestrator.chunking.encoding import PLAIN, Packing, message_bytes
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.contract.messages import ModelSpec
from fedchunk.orchestrator.methods.agreement import score_bytes
from fedchunk.orchestrator.methods.method import Method, dense_message_bytes
from fedchunk.orchestrator.settings.joined import Sections
from fedchunk.orchestrator.settings.sections import ChunkingSettings


@dataclass(frozen=True)
class Bounds:
    """At least ``low``, at most ``high``."""

    low: int
    high: int

    @classmethod
    def exactly(cls, value: int) -> Bounds:
        """Both ends at ``value``."""
        return cls(value, value)

    @classmethod
    def around(cls, all_bounds: Iterable[Bounds]) -> Bounds:
        """The narrowest bounds that hold all of these, of which there must be one."""
        lows, highs = zip(*((bounds.low, bounds.high) for bounds in all_bounds), strict=True)
        return cls(min(lows), max(highs))

    def __add__(self, other: Bounds) -> Bounds:
        return Bounds(self.low + other.low, self.high + other.high)

    def __mul__(self, times: int) -> Bounds:
        return Bounds(self.low * times, self.high * times)

    def at_most(self, limit: int) -> Bounds:
        """The same with both ends no higher than ``limit``."""
        return Bounds(min(self.low, limit), min(self.high, limit))


NOTHING = Bounds(0, 0)


@dataclass(frozen=True)
class Messages:
    """The messages of one experiment, in bytes, over connections that stand. ``chunks``: how many a message holds."""

    spec: ModelSpec
    settings: Sections
    method: Method

    @classmethod
    def of(cls, settings: Sections, spec: ModelSpec) -> Messages:
        """The messages of an experiment with such a model. Raises ConfigError: more chunks than parameters."""
        return cls(spec, settings, Method.of(settings, spec))

    @property
    def layout(self) -> Layout:
        """The cut."""
        return self.method.layout

    @property
    def chunking(self) -> ChunkingSettings:
        """What the settings say of chunks."""
        return self.settings.chunking

    @property
    def dense(self) -> int:
        """Every message of full exchange over a connection that stands."""
        return dense_message_bytes(self.spec)

    @property
    def scores(self) -> int:
        """A client's scores, to agree; 0 where none are sent."""
        return score_bytes(self.chunking, self.layout.num_chunks)

    @property
    def longest_choice(self) -> int:
        """The coordinator's choice, to clients that sent scores, of however many chunks."""
        return self.nothing(Bounds(0, self.layout.num_chunks)).high

    def update(self, chunks: Bounds) -> Bounds:
        """What a client sends: no mask where all were told which chunks."""
        return self._bounds(chunks, self.method.packing, with_mask=not self.chunking.agrees)

    def whole(self, choice: Bounds | None) -> Bounds:
        """The whole model, to a client that has none: every bit of it. ``choice``: how many it is told to send."""
        return self._bounds(Bounds.exactly(self.layout.num_chunks), PLAIN, choice=choice)

    def change(self, chunks: Bounds, *, plain: bool = False, with_mask: bool, choice: Bounds | None = None) -> Bounds:
        """What changed since a client was last told; ``plain`` where it must share every bit again."""
        packing = PLAIN if plain else self.method.packing
        with_shares = self.method.rule.sends_shares
        return self._bounds(chunks, packing, with_mask=with_mask, choice=choice, with_shares=with_shares)

    def told_again(self, chunks: Bounds) -> int:
        """Changed chunks, told once more to a client that has to hear of later rounds too, at most."""
        return self._bounds(chunks, self.method.packing).high - self._buffers

    def ending(self, choice: Bounds | None) -> int:
        """What the last of several messages has beside the others, at most."""
        return self._buffers + self._choice(choice).high

    @property
    def _buffers(self) -> int:
        return 4 * self.spec.num_float_buffers + 8 * self.spec.num_integer_buffers

    def nothing(self, choice: Bounds | None) -> Bounds:
        """To a client that knows the model already."""
        mask = self._mask(Bounds.exactly(0), with_mask=True)
        return Bounds.exactly(sum(message_bytes(0, 0, 0, mask=mask.low).values())) + self._choice(choice)

    @property
    def chunk_up(self) -> int:
        """What one more chunk adds to an update at most, beside its mask."""
        return self._one_more(self.method.packing, with_shares=False)

    @property
    def chunk_down(self) -> int:
        """What one more chunk adds to any message that tells a client of changes at most, beside its mask."""
        packing = PLAIN if self.method.rule.keeps_residual else self.method.packing
        return self._one_more(packing, with_shares=self.method.rule.sends_shares)

    @property
    def longest_mask(self) -> int:
        """The mask of the number of chunks that takes most."""
        return self._mask(Bounds(0, self.layout.num_chunks), with_mask=True).high

    def _one_more(self, packing: Packing, *, with_shares: bool) -> int:
        one, none = (self._length(count, packing, shortest=False, with_shares=with_shares) for count in (1, 0))
        return one - none

    def _bounds(
        self,
        chunks: Bounds,
        packing: Packing,
        *,
        with_mask: bool = True,
        choice: Bounds | None = None,
        with_shares: bool = False,
    ) -> Bounds:
        values = Bounds(
            self._length(chunks.low, packing, shortest=True, with_shares=with_shares),
            self._length(chunks.high, packing, shortest=False, with_shares=with_shares),
        )
        return values + self._mask(chunks, with_mask=with_mask) + self._choice(choice)

    def _mask(self, chunks: Bounds, *, with_mask: bool) -> Bounds:
        """Which chunks, or how many where both ends know which."""
        num_chunks, ends = self.layout.num_chunks, (chunks.low, chunks.high)
        if not with_mask:
            return Bounds.exactly(choice_code.count_bytes(num_chunks))
        return Bounds(choice_code.least_bytes(num_chunks, *ends), choice_code.most_bytes(num_chunks, *ends))

    def _choice(self, chunks: Bounds | None) -> Bounds:
        return NOTHING if chunks is None else self._mask(chunks, with_mask=True)

    def _length(self, chunks: int, packing: Packing, *, shortest: bool, with_shares: bool) -> int:
        """All but the mask, with the chunks of the layout that cost most, or least: then values may also vanish when
        compressed, and the upper bytes of scales."""
        by_cost_C = sizes_by_cost(self.layout, packing.codec)
        sizes_K = by_cost_C[:chunks] if shortest else by_cost_C[len(by_cost_C) - chunks :]
        sizes = message_bytes(
            int(sizes_K.sum()),
            self.spec.num_float_buffers,
            self.spec.num_integer_buffers,
            chunks if with_shares else 0,
            mask=0,
            num_selected=chunks,
            codec=packing.codec,
            sizes_K=sizes_K,
        )
        if shortest and packing.compression != "none":
            sizes["values"] = 0
            sizes["scales"] = scale_code.least_bytes(sizes["scales"] // 2)
        return sum(sizes.values())
