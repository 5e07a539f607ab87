"""How long the messages of an experiment are, shortest and longest, by the encoder's own sizes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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
    """The messages of one experiment, in bytes. ``chunks`` says how many chunks a message holds."""

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
        """Every message of full exchange."""
        return dense_message_bytes(self.spec)

    @property
    def scores(self) -> int:
        """A client's scores, to agree; 0 where none are sent."""
        return score_bytes(self.chunking, self.layout.num_chunks)

    @property
    def choice(self) -> int:
        """The coordinator's choice, to clients that sent scores."""
        return self.nothing(with_choice=True)

    def update(self, chunks: Bounds) -> Bounds:
        """What a client sends: no mask where all were told which chunks."""
        return self._bounds(chunks, self.method.packing, with_mask=not self.chunking.agrees)

    def whole(self, *, with_choice: bool) -> int:
        """The whole model, to a client that has none: every bit of it."""
        return self._length(self.layout.num_chunks, PLAIN, with_choice=with_choice)

    def change(self, chunks: Bounds, *, plain: bool = False, with_mask: bool, with_choice: bool) -> Bounds:
        """What changed since a client was last told; ``plain`` where it must share every bit again."""
        packing = PLAIN if plain else self.method.packing
        with_shares = self.method.rule.sends_shares
        return self._bounds(chunks, packing, with_mask=with_mask, with_choice=with_choice, with_shares=with_shares)

    def told_again(self, chunks: int) -> int:
        """So many changed chunks at most, told once more to a client that has to hear of later rounds too."""
        return self._length(chunks, self.method.packing) - self._buffers

    def ending(self, *, with_choice: bool) -> int:
        """What the last of several messages has beside the others."""
        return self._buffers + (self.nothing(with_choice=True) - self.nothing(with_choice=False)) * with_choice

    @property
    def _buffers(self) -> int:
        return 4 * self.spec.num_float_buffers + 8 * self.spec.num_integer_buffers

    def nothing(self, *, with_choice: bool) -> int:
        """To a client that knows the model already."""
        return sum(message_bytes(self.layout.num_chunks, 0, 0, 0, with_choice=with_choice).values())

    @property
    def chunk_up(self) -> int:
        """What one more chunk adds to an update at most."""
        return self.update(Bounds.exactly(1)).high - self.update(NOTHING).high

    @property
    def chunk_down(self) -> int:
        """What one more chunk adds to any message that tells a client of changes at most."""
        plain = self.method.rule.keeps_residual
        one, none = (
            self.change(Bounds.exactly(count), plain=plain, with_mask=True, with_choice=False) for count in (1, 0)
        )
        return one.high - none.high

    def _bounds(self, chunks: Bounds, packing: Packing, **parts: bool) -> Bounds:
        return Bounds(
            self._length(chunks.low, packing, shortest=True, **parts), self._length(chunks.high, packing, **parts)
        )

    def _length(
        self,
        chunks: int,
        packing: Packing,
        *,
        shortest: bool = False,
        with_mask: bool = True,
        with_choice: bool = False,
        with_shares: bool = False,
    ) -> int:
        """With the longest chunks of the layout, or the shortest: then values may also vanish when compressed."""
        sizes = message_bytes(
            self.layout.num_chunks,
            self._values(chunks, shortest=shortest),
            self.spec.num_float_buffers,
            self.spec.num_integer_buffers,
            chunks if with_shares else 0,
            num_selected=chunks,
            codec=packing.codec,
            with_mask=with_mask,
            with_choice=with_choice,
        )
        if shortest and packing.compression != "none":
            sizes["values"] = 0
        return sum(sizes.values())

    def _values(self, chunks: int, *, shortest: bool) -> int:
        """Values in so many chunks: sizes differ by one at most, ``long`` chunks have one more."""
        size, long = divmod(self.layout.num_parameters, self.layout.num_chunks)
        short = self.layout.num_chunks - long
        return chunks * size + (max(0, chunks - short) if shortest else min(chunks, long))
