"""A run that goes on or ends while it is read: readers see whole rounds, and no error."""

import os

import pytest

from fedchunk.analysis import load_run, reading
from fedchunk.orchestrator.core.errors import RecordsError
from fedchunk.orchestrator.recording import table_files

ROUNDS = 6


@pytest.fixture
def running(write_run, realistic_recipe):
    return write_run(realistic_recipe(ROUNDS, 3, 8, share=0.5), finished=False)


def joined(tables, monkeypatch):
    """Its many files become one."""
    monkeypatch.setattr(table_files, "MOST_PARTS", (2, 16))
    for name in table_files.ROUND_TABLES:
        table_files._join_small(tables, name)


def ended(tables, _):
    """Folders become files, and are removed."""
    table_files.compact(tables)


def half_removed(tables, monkeypatch):
    """Folders become files, and of each folder the first files are removed."""
    monkeypatch.setattr(table_files.shutil, "rmtree", lambda *_, **__: None)
    table_files.compact(tables)
    for folder in tables.glob("*.parts"):
        for part in sorted(folder.glob("part-*"))[:2]:
            part.unlink()


def emptied(tables, monkeypatch):
    """Folders become files, and all that is in a folder is removed."""
    monkeypatch.setattr(table_files.shutil, "rmtree", lambda *_, **__: None)
    table_files.compact(tables)
    for part in tables.glob("*.parts/part-*"):
        part.unlink()


def once(monkeypatch, name, change, *, before):
    """Calls ``change`` before or after the first list of files."""
    listed, calls = getattr(reading, name), []

    def listing(*given):
        calls.append(given)
        if before and len(calls) == 1:
            change()
        files = listed(*given)
        if not before and len(calls) == 1:
            change()
        return files

    monkeypatch.setattr(reading, name, listing)


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("happens", [joined, ended, half_removed, emptied])
def test_files_that_go_while_they_are_listed_are_found_where_they_went(running, monkeypatch, happens, before, links):
    tables = running / "tables"
    if not links:
        for link in [path for path in tables.glob("*.parquet") if path.is_symlink()]:
            os.unlink(link)
    expected = load_run(running).rounds.to_pylist()
    once(monkeypatch, "parts_of", lambda: happens(tables, monkeypatch), before=before)
    run = load_run(running)
    assert run.rounds.to_pylist() == expected
    assert set(run.chunks["round"].to_pylist()) == set(range(1, ROUNDS + 1))


@pytest.mark.parametrize("happens", [joined, ended])
def test_a_table_that_is_being_streamed_stays_readable(running, monkeypatch, happens):
    expected = [one.scores_NC.tolist() for one in load_run(running).chunk_rounds()]
    streamed = load_run(running).chunk_rounds()
    got = [next(streamed).scores_NC.tolist()]
    happens(running / "tables", monkeypatch)
    got += [one.scores_NC.tolist() for one in streamed]
    assert got == expected


def test_rounds_that_come_while_it_is_read_do_not_make_it_begin_again(running, monkeypatch, realistic_recipe):
    more = realistic_recipe(ROUNDS + 1, 3, 8, share=0.5).tables()
    late = {
        name: more[name].filter(table_files.pc.equal(more[name]["round"], ROUNDS + 1))
        for name in more
        if name != "layout"
    }
    of_round = {name: late.get(name, table_files._empty(name)) for name in table_files.ROUND_TABLES}
    once(
        monkeypatch,
        "parts_of",
        lambda: table_files.append_rounds(running / "tables", ROUNDS + 1, [of_round]),
        before=False,
    )
    opened = []
    monkeypatch.setattr(
        reading.pq, "ParquetFile", lambda path, _=reading.pq.ParquetFile, **how: opened.append(path) or _(path, **how)
    )
    assert reading.read_rounds(running).num_rows == ROUNDS
    assert len(opened) == len(set(opened))


def test_one_that_never_stands_still_is_said(running, monkeypatch):
    monkeypatch.setattr(reading, "_open", lambda path: (_ for _ in ()).throw(FileNotFoundError(path)))
    with pytest.raises(RecordsError, match=r"tables/rounds: changes while it is read; read it when the run has ended"):
        load_run(running)


def test_a_run_that_was_killed_as_its_folder_was_made_has_no_round(running):
    for part in (running / "tables" / "rounds.parts").glob("part-*"):
        part.unlink()
    assert load_run(running).num_rounds == 0
