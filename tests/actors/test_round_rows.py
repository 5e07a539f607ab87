"""A round's tables come out of their bytes as they went in."""

import pickle

import pyarrow as pa

from fedchunk.actors.backends.round_rows import RoundRows
from fedchunk.orchestrator.contract.messages import RoundResult, Span
from fedchunk.orchestrator.core.records import ROUND_TABLES, SCHEMAS


def played(make_settings, run_local, **changes):
    """The tables of a run's last round."""
    run = run_local(make_settings(federated_learning_rounds=2, **changes))
    tables = {}
    for name in ROUND_TABLES:
        rows = [row for row in run.rows(name) if row["round"] == 2]
        tables[name] = pa.Table.from_pylist(rows, schema=SCHEMAS[name])
    return RoundResult(2, tables, ("something",), (Span("client 0", "train", 3, 1.0, 0.5),))


def test_a_round_is_the_same_after_its_way_through_pickle(make_settings, run_local):
    result = played(make_settings, run_local, chunking=True, chunking_parts=7)
    assert result.tables["chunks"].num_rows
    assert not result.tables["chunk_summary"].num_rows
    sent = RoundRows.of(result)
    buffers = []
    stream = pickle.dumps(sent, protocol=5, buffer_callback=buffers.append)
    back = pickle.loads(stream, buffers=buffers).result()
    assert (back.round_index, back.problems, back.spans) == (2, result.problems, result.spans)
    assert back.tables.keys() == result.tables.keys()
    for name, table in result.tables.items():
        assert back.tables[name].equals(table, check_metadata=True), name
    assert back.summary == result.summary
    assert set(sent.empty) == {name for name, table in result.tables.items() if not table.num_rows}


def test_tables_of_several_batches_keep_all_rows(make_settings, run_local):
    result = played(make_settings, run_local, chunking=False)
    clients = result.tables["clients"]
    halves = pa.concat_tables([clients.slice(0, 1), clients.slice(1)])
    assert halves.column(0).num_chunks == 2
    back = RoundRows.of(RoundResult(2, result.tables | {"clients": halves}, ())).result()
    assert back.tables["clients"].combine_chunks().equals(clients)
