import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchunk.orchestrator.contract.reports import percentage
from fedchunk.orchestrator.core.records import ROUND_TABLES, SCHEMAS, table_from_columns, table_from_rows


def test_every_column_says_its_unit_meaning_and_null_rule():
    for name, schema in SCHEMAS.items():
        assert schema.metadata[b"table"] == name.encode()
        for field in schema:
            assert set(field.metadata) == {b"unit", b"doc", b"null"}, f"{name}.{field.name}"
            assert field.metadata[b"doc"].endswith(b"."), f"{name}.{field.name}"
            assert field.nullable == (field.metadata[b"null"] != b"never"), f"{name}.{field.name}"


def test_all_tables_of_a_round_name_it():
    for name in ROUND_TABLES:
        assert SCHEMAS[name].names[0] == "round"


def test_rows_and_columns_make_the_same_table():
    rows = [{"round": 1, "sender": 0, "receiver": -1, "kind": "mask", "bytes": 2**40}]
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    table = table_from_rows("ledger", rows)
    assert table.to_pylist() == rows
    assert table.equals(table_from_columns("ledger", columns), check_metadata=True)
    assert table_from_rows("ledger", []).schema.equals(SCHEMAS["ledger"], check_metadata=True)


@pytest.mark.parametrize("row", [{"round": 1, "sender": 0}, {"round": 1, "sender": None, "receiver": 0}])
def test_a_missing_value_that_may_not_be_null_is_refused(row):
    with pytest.raises(ValueError, match="is never null, got 1 nulls"):
        table_from_rows("ledger", [row])


def test_tables_keep_their_metadata_through_a_process_border():
    table = table_from_rows("layout", [{"chunk": 0, "start": 0, "stop": 3, "parameters": ["a", "b"]}])
    assert pickle.loads(pickle.dumps(table)).equals(table, check_metadata=True)


@given(st.lists(st.booleans(), min_size=1, max_size=400))
def test_the_percentage_of_chunks_has_the_bits_of_the_mean(marks):
    assert percentage(np.array(marks)) == 100.0 * float(np.mean(marks))
