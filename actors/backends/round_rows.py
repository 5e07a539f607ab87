"""A round's tables on their way from process to process: Arrow's own bytes, a tenth of the work of pickling tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from fedchunk.orchestrator.contract.messages import RoundResult, Span
from fedchunk.orchestrator.core.records import SCHEMAS


@dataclass(frozen=True)
class RoundRows:
    """A :class:`RoundResult` without what both ends know: the schemas, and tables without rows."""

    round_index: int
    tables: Mapping[str, tuple[pa.Buffer, ...]]
    """The record batches of each table that has rows."""
    empty: tuple[str, ...]
    problems: tuple[str, ...]
    spans: tuple[Span, ...]

    @classmethod
    def of(cls, result: RoundResult) -> RoundRows:
        """What is sent of a round."""
        tables = {
            name: tuple(batch.serialize() for batch in table.to_batches())
            for name, table in result.tables.items()
            if table.num_rows
        }
        empty = tuple(name for name in result.tables if name not in tables)
        return cls(result.round_index, tables, empty, result.problems, result.spans)

    def result(self) -> RoundResult:
        """The round again, its columns where the bytes lie."""
        tables = {name: _table(name, batches) for name, batches in self.tables.items()}
        tables |= {name: SCHEMAS[name].empty_table() for name in self.empty}
        return RoundResult(self.round_index, tables, self.problems, self.spans)


def _table(name: str, batches: tuple[pa.Buffer, ...]) -> pa.Table:
    schema = SCHEMAS[name]
    return pa.Table.from_batches([pa.ipc.read_record_batch(batch, schema) for batch in batches], schema)
