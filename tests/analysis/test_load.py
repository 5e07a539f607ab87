import json
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedchunk.analysis import load_run
from fedchunk.orchestrator.core.errors import RecordsError
from fedchunk.orchestrator.core.records import SCHEMAS, table_from_rows


def replace_table(path, name, change):
    file = path / "tables" / f"{name}.parquet"
    pq.write_table(change(pq.ParquetFile(file).read()), file)


def test_a_finished_run_reads_as_it_was_written(write_run, small):
    run = load_run(write_run(small))
    assert (run.status, run.num_rounds, run.num_chunks) == ("finished", 2, 5)
    assert run.config["chunking_parts"] == 5
    for name, table in small.tables().items():
        assert run.tables[name].schema.equals(SCHEMAS[name], check_metadata=True)
        assert run.tables[name].to_pylist() == table.to_pylist()


def test_a_table_that_only_some_runs_have_is_read_where_it_is_and_empty_elsewhere(write_run, small):
    path = write_run(small)
    assert load_run(path).tables["profile"].num_rows == 0

    row = {"round": 2, "actor": "a 1", "activity": "train", "clients": 3, "start_s": 0.5, "duration_s": 0.25}
    unfinished = row | {"round": 3}
    pq.write_table(table_from_rows("profile", [row, unfinished]), path / "tables" / "profile.parquet")
    assert load_run(path).tables["profile"].to_pylist() == [row]
    with pytest.raises(KeyError):
        load_run(path).tables["others"]


def test_a_run_is_read_only(write_run, small):
    run = load_run(write_run(small))
    with pytest.raises(TypeError):
        run.config["chunking_parts"] = 6
    with pytest.raises(ValueError, match="read-only"):
        run.recorded_clients[0].scores_RC[0, 0] = 1


def test_clients_have_the_rounds_in_which_their_update_counted(write_run, small):
    clients = load_run(write_run(small)).recorded_clients
    assert [client.client for client in clients] == [0, 1, 2]
    assert [client.rounds_R.tolist() for client in clients] == [[1, 2], [1], [1]]
    assert clients[0].scores_RC.tolist() == [[4, 3, 2, 1, 0], [0, 1, 2, 3, 4]]
    assert clients[0].age_RC.tolist() == [[0, 0, 0, 0, 0], [0, 0, 1, 1, 1]]
    assert clients[0].chunks_sent().tolist() == [True, True, False, True, True]
    assert clients[0].chunks_sent(2).tolist() == [False, False, False, True, True]
    assert not clients[2].chunks_sent(2).any()


def test_the_order_of_rows_does_not_matter(write_run, small):
    path = write_run(small)
    expected = load_run(path).recorded_clients
    order = np.random.default_rng(1).permutation(small.tables()["chunks"].num_rows)
    replace_table(path, "chunks", lambda table: table.take(order))
    for got, wanted in zip(load_run(path).recorded_clients, expected, strict=True):
        assert got.selected_RC.tolist() == wanted.selected_RC.tolist()
        assert got.distances_RC.tolist() == wanted.distances_RC.tolist()


def test_a_killed_run_keeps_the_rounds_that_were_finished(write_run, small):
    path = write_run(small, finished=False)
    (path / "tables" / "rounds.parts" / "part-00002.parquet").unlink()
    (path / "tables" / "rounds.parts" / ".part-00002.parquet.tmp").write_bytes(b"half a file")
    run = load_run(path)
    assert run.status == "running"
    assert run.num_rounds == 1
    assert {name: set(run.tables[name]["round"].to_pylist()) for name in ("clients", "chunks", "ledger")} == {
        "clients": {1}, "chunks": {1}, "ledger": {1},
    }  # fmt: skip


def test_part_folders_are_found_without_links(write_run, small):
    path = write_run(small, finished=False)
    for name in ("rounds", "clients", "chunks", "ledger"):
        os.unlink(path / "tables" / f"{name}.parquet")
    assert load_run(path).tables["ledger"].to_pylist() == small.tables()["ledger"].to_pylist()


def test_a_folder_called_like_a_key_and_value_adds_no_column(write_run, small):
    run = load_run(write_run(small, "learning_rate=0.1"))
    assert "learning_rate" not in run.tables["rounds"].column_names


def test_a_run_before_its_first_round_is_empty(write_run, small):
    path = write_run(small)
    shutil.rmtree(path / "tables")
    (path / "tables").mkdir()
    run = load_run(path)
    assert (run.num_rounds, run.num_chunks, run.recorded_clients) == (0, 0, ())


def test_chunks_that_were_not_recorded(write_run, small):
    small.config = {"record_chunks": False}
    path = write_run(small)
    assert [len(client.rounds_R) for client in load_run(path).recorded_clients] == [0, 0, 0]
    (path / "tables" / "chunks.parquet").unlink()
    assert load_run(path).tables["chunks"].num_rows == 0


def test_a_nullable_column_that_an_old_run_lacks_is_null(write_run, small):
    path = write_run(small)
    replace_table(path, "rounds", lambda table: table.drop_columns(["client_accuracy_min"]))
    replace_table(path, "chunks", lambda table: table.drop_columns(["distance"]))
    run = load_run(path)
    assert run.tables["rounds"]["client_accuracy_min"].null_count == 2
    assert np.isnan(run.recorded_clients[0].distances_RC).all()


def test_a_missing_folder(tmp_path):
    with pytest.raises(RecordsError, match="no such folder; give the folder"):
        load_run(tmp_path / "nowhere")


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(RecordsError, match=r"not a run's folder.*config.json"):
        load_run(tmp_path)


def test_a_truncated_table(write_run, small):
    path = write_run(small)
    file = path / "tables" / "ledger.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(RecordsError, match=r"ledger\.parquet: cannot be read as Parquet.*restore it"):
        load_run(path)


def test_a_missing_table(write_run, small):
    path = write_run(small)
    (path / "tables" / "ledger.parquet").unlink()
    with pytest.raises(RecordsError, match=r"ledger\.parquet: there is no such table"):
        load_run(path)


def test_a_broken_summary(write_run, small):
    path = write_run(small)
    (path / "summary.json").write_text('{"status": ')
    with pytest.raises(RecordsError, match=r"summary\.json: cannot be read as JSON"):
        load_run(path)
    (path / "summary.json").write_text(json.dumps([1]))
    with pytest.raises(RecordsError, match="expected a JSON object, got list"):
        load_run(path)


def test_a_column_of_another_type(write_run, small):
    path = write_run(small)
    replace_table(
        path, "ledger", lambda t: t.set_column(4, "bytes", t["bytes"].cast(pa.string())).replace_schema_metadata(None)
    )
    with pytest.raises(RecordsError, match=r"ledger\.parquet: column 'bytes': got type string, expected type int64"):
        load_run(path)


def test_a_missing_column(write_run, small):
    path = write_run(small)
    replace_table(path, "clients", lambda table: table.drop_columns(["samples"]))
    with pytest.raises(RecordsError, match=r"clients\.parquet: column 'samples': got no such column"):
        load_run(path)


def test_a_null_where_none_may_be(write_run, small):
    path = write_run(small)
    nulls = pa.nulls(2, pa.float64())
    replace_table(path, "rounds", lambda t: t.set_column(t.column_names.index("wall_s"), "wall_s", nulls))
    with pytest.raises(RecordsError, match="column 'wall_s' is never null, got 2 nulls"):
        load_run(path)


def test_another_schema_version(write_run, small):
    path = write_run(small)
    replace_table(path, "layout", lambda t: t.replace_schema_metadata({"fedchunk_schema_version": "99"}))
    with pytest.raises(RecordsError, match="schema version 99, expected 1; read it with the fedchunk that wrote it"):
        load_run(path)


def test_a_client_that_lacks_a_chunk(write_run, small):
    path = write_run(small)
    replace_table(path, "chunks", lambda table: table.slice(1))
    with pytest.raises(RecordsError, match="client 0 in round 1 has 4 rows, expected one for each of 5 chunks"):
        _ = load_run(path).recorded_clients
