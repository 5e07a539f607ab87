import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open

from fedchunk.analysis.load import load_run
from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.core.records import OPTIONAL_TABLES, ROUND_TABLES, SCHEMAS
from fedchunk.orchestrator.experiment import weights_sha256
from fedchunk.orchestrator.recording import run_folder as run_folder_module
from fedchunk.orchestrator.recording import table_files
from fedchunk.orchestrator.recording.run_folder import RunFolder
from fedchunk.orchestrator.recording.summary_file import summary_json
from fedchunk.orchestrator.settings.sections import FederationSettings
from fedchunk.orchestrator.settings.whole import Settings


def rounds_in(folder, name):
    return sorted(set(load_run(folder).tables[name]["round"].to_pylist()))


def test_default_folder_is_named_after_the_run_and_never_used_twice(in_folder):
    settings = Settings(federation=FederationSettings(federation_id="My test/../run"))
    first = RunFolder.create(None, settings, "")
    second = RunFolder.create(None, settings, "")
    assert first.path != second.path
    assert {first.path.parent, second.path.parent} == {in_folder / "runs"}
    assert "My-test-..-run" in first.path.name
    assert RunFolder.create(None, Settings(), "").path.name.endswith("mlp-digits")


def test_given_folder_must_be_new_or_empty(tmp_path):
    (tmp_path / "empty").mkdir()
    assert RunFolder.create(tmp_path / "empty", Settings(), "").path == tmp_path / "empty"
    (tmp_path / "mine.txt").write_text("keep me")
    for taken in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(ConfigError, match="never overwritten"):
            RunFolder.create(taken, Settings(), "")
    assert (tmp_path / "mine.txt").read_text() == "keep me"


def test_unwritable_place_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="choose another one with --output"):
        RunFolder.create(tmp_path / "file" / "run", Settings(), "")


def test_readable_before_the_first_round(run_folder, info):
    run_folder.start(info)
    run = load_run(run_folder.path)
    assert (run.status, run.num_rounds, run.num_chunks) == ("running", 0, info.layout.num_rows)
    assert (run_folder.path / "config.yaml").read_text() == "federated_learning_rounds: 8\n"
    config = json.loads((run_folder.path / "config.json").read_text())
    assert config.pop("target") == {
        "metric": "accuracy", "better": "higher", "directions": {"accuracy": "higher", "loss": "lower"}
    }  # fmt: skip
    assert config == Settings().flat() | {"method": Settings().method_facts(), "components": {}}


def test_rounds_are_readable_as_they_come_and_after_the_end(run_folder, info, make_round, make_summary, spec, model):
    run_folder.start(info)
    for r in (1, 2, 3):
        run_folder.record_rounds([make_round(r)])
        for name in ROUND_TABLES:
            table = pq.read_table(run_folder.path / "tables" / f"{name}.parquet")
            assert sorted(set(table["round"].to_pylist())) == list(range(1, r + 1))
    run_folder.finish(make_summary(3), spec, model)
    for name in ROUND_TABLES:
        file = run_folder.path / "tables" / f"{name}.parquet"
        assert file.is_file()
        assert not file.is_symlink()
        expected = [row for r in (1, 2, 3) for row in make_round(r).tables[name].to_pylist()]
        assert pq.read_table(file).to_pylist() == expected
        assert {pq.ParquetFile(file).metadata.row_group(0).column(0).compression} == {"ZSTD"}
    assert sorted(path.name for path in (run_folder.path / "tables").iterdir()) == sorted(
        f"{name}.parquet" for name in SCHEMAS if name not in OPTIONAL_TABLES
    )
    assert load_run(run_folder.path).status == "finished"


@pytest.mark.parametrize("finished", [False, True])
def test_units_and_versions_are_in_the_files(run_folder, info, make_round, make_summary, finished):
    run_folder.start(info)
    run_folder.record_rounds([make_round(1)])
    if finished:
        run_folder.finish(make_summary(1), None, None)
    for name, schema in SCHEMAS.items():
        if name in OPTIONAL_TABLES:
            continue
        read = pq.read_table(run_folder.path / "tables" / f"{name}.parquet").schema
        assert read.metadata == schema.metadata
        assert [field.metadata for field in read] == [field.metadata for field in schema]


def test_rounds_stay_in_order_past_five_digits(run_folder, info, make_round, make_summary):
    run_folder.start(info)
    for r in (99_999, 100_000):
        run_folder.record_rounds([make_round(r)])
    run_folder.finish(make_summary(2), None, None)
    rounds = pq.read_table(run_folder.path / "tables" / "rounds.parquet")["round"].to_pylist()
    assert rounds == [99_999, 100_000]


def test_without_chunk_records_the_table_is_empty_and_there(run_folder, info, make_round, make_summary):
    run_folder.start(info)
    run_folder.record_rounds([make_round(1, chunks=False)])
    assert [path.name for path in (run_folder.path / "tables" / "chunks.parts").iterdir()] == ["part-00000.parquet"]
    run_folder.finish(make_summary(1), None, None)
    assert pq.read_table(run_folder.path / "tables" / "chunks.parquet").num_rows == 0


def test_weights_come_back_by_name_with_their_digest(run_folder, info, make_summary, spec, model):
    run_folder.start(info)
    run_folder.finish(make_summary(0), spec, model)
    with safe_open(run_folder.path / "weights.safetensors", "numpy") as file:
        assert file.metadata()["weights_sha256"] == weights_sha256(model)
        flat = np.concatenate([file.get_tensor(p.name).ravel() for p in spec.parameters])
        np.testing.assert_array_equal(flat, model.weights_P)
        assert file.get_tensor("fc.weight").shape == (2, 3)
        np.testing.assert_array_equal(file.get_tensor("bn.running_mean"), model.buffers_B)
        assert file.get_tensor("bn.num_batches_tracked").item() == 7


def test_a_round_that_was_cut_short_is_passed_over(run_folder, info, make_round, make_summary):
    run_folder.start(info)
    run_folder.record_rounds([make_round(1)])
    cut_short = dict(make_round(2).tables)
    cut_short["rounds"] = SCHEMAS["rounds"].empty_table()
    table_files.append_rounds(run_folder.path / "tables", 2, [cut_short])
    assert all(rounds_in(run_folder.path, name) == [1] for name in ROUND_TABLES)
    run_folder.finish(make_summary(1), None, None)
    for name in ROUND_TABLES:
        table = pq.read_table(run_folder.path / "tables" / f"{name}.parquet")
        assert set(table["round"].to_pylist()) == {1}


def test_a_crash_at_any_step_of_the_end_loses_nothing(run_folder, info, make_round, monkeypatch, tmp_path):
    """Every renaming and every removal, in turn, is the last thing that the process does."""

    class Crash(BaseException):
        pass

    run_folder.start(info)
    for r in (1, 2):
        run_folder.record_rounds([make_round(r)])

    def crash_at(step, folder):
        steps = iter(range(1000))
        with monkeypatch.context() as patch:
            for module, name in ((os, "replace"), (os, "unlink"), (os, "rmdir")):
                real = getattr(module, name)

                def counted(*args, real=real, **kwargs):
                    if next(steps) == step:
                        raise Crash
                    return real(*args, **kwargs)

                patch.setattr(module, name, counted)
            table_files.compact(folder / "tables")

    step = crashes = 0
    while True:
        folder = tmp_path / f"crash-{step}"
        shutil.copytree(run_folder.path, folder, symlinks=True)
        try:
            crash_at(step, folder)
            break
        except Crash:
            crashes += 1
        assert all(rounds_in(folder, name) == [1, 2] for name in ROUND_TABLES)
        table_files.compact(folder / "tables")
        assert all(rounds_in(folder, name) == [1, 2] for name in ROUND_TABLES)
        assert not list((folder / "tables").glob("*.parts"))
        step += 1
    assert crashes >= 8, "four renamings and at least four removals"


def test_many_rounds_leave_few_files_and_stay_readable(run_folder, info, make_round, make_summary, monkeypatch):
    monkeypatch.setattr(table_files, "MOST_PARTS", (4, 3))
    run_folder.start(info)
    for r in range(1, 60):
        run_folder.record_rounds([make_round(r)])
        if r % 7 == 0:
            assert all(rounds_in(run_folder.path, name) == list(range(1, r + 1)) for name in ROUND_TABLES)
    files = [len(list(folder.iterdir())) for folder in (run_folder.path / "tables").glob("*.parts")]
    assert max(files) <= 1 + 4 + 3 + 59 // 12
    run_folder.finish(make_summary(59), None, None)
    assert all(rounds_in(run_folder.path, name) == list(range(1, 60)) for name in ROUND_TABLES)


@pytest.mark.parametrize("last", [1, 5, 11, 29, 30])
def test_what_belongs_to_later_rounds_can_be_cut_wherever_it_lies(run_folder, info, make_round, monkeypatch, last):
    monkeypatch.setattr(table_files, "MOST_PARTS", (4, 3))
    run_folder.start(info)
    for r in range(1, 30, 2):
        run_folder.record_rounds([make_round(r), make_round(r + 1)])
    run_folder.close()
    again = RunFolder.reopen(run_folder.path, {}, last)
    assert (again.recorded_to, [row["round"] for row in again.rows]) == (last, list(range(1, last + 1)))
    again.record_rounds([make_round(last + 1)])
    assert all(rounds_in(run_folder.path, name) == list(range(1, last + 2)) for name in ROUND_TABLES)


def test_files_that_were_joined_and_not_yet_removed_do_not_count_twice(run_folder, info, make_round, monkeypatch):
    monkeypatch.setattr(table_files, "MOST_PARTS", (4, 3))
    run_folder.start(info)
    for r in (1, 2, 3):
        run_folder.record_rounds([make_round(r)])
    kept = run_folder.path.parent / "kept"
    shutil.copytree(run_folder.path / "tables", kept, symlinks=True)
    run_folder.record_rounds([make_round(4)])
    for name in ROUND_TABLES:  # as if the process had died before it removed them
        for part in (kept / f"{name}.parts").glob("part-0000[1-9].parquet"):
            shutil.copy(part, run_folder.path / "tables" / f"{name}.parts")
    assert all(rounds_in(run_folder.path, name) == [1, 2, 3, 4] for name in ROUND_TABLES)
    assert load_run(run_folder.path).num_rounds == 4


@contextmanager
def full_disk():
    """Files end after 1000 bytes, as on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_disk_that_is_full_for_a_while_costs_no_round(run_folder, info, make_round, make_summary, caplog):
    run_folder.start(info)
    run_folder.record_rounds([make_round(1)])
    with full_disk():
        run_folder.record_rounds([make_round(2)])
        run_folder.record_rounds([make_round(3)])
        assert run_folder.unwritten == ("rounds 2 to 3",)
    run_folder.record_rounds([make_round(4)])
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "round 2 and later ones could not be written" in caplog.text
    assert run_folder.unwritten == ()
    assert all(rounds_in(run_folder.path, name) == [1, 2, 3, 4] for name in ROUND_TABLES)
    run_folder.finish(make_summary(4), None, None)
    assert all(rounds_in(run_folder.path, name) == [1, 2, 3, 4] for name in ROUND_TABLES)
    assert load_run(run_folder.path).summary["unwritten"] == []
    assert not list(run_folder.path.rglob("*.tmp"))


def test_a_disk_that_stays_full_is_said_by_the_summary(run_folder, info, make_round, make_summary, spec, model):
    run_folder.start(info)
    run_folder.record_rounds([make_round(1)])
    with full_disk():
        run_folder.record_rounds([make_round(2)])
        run_folder.finish(make_summary(2), spec, model)
    run = load_run(run_folder.path)
    assert all(rounds_in(run_folder.path, name) == [1] for name in ROUND_TABLES)
    assert run.status == "finished"
    assert run.summary["unwritten"] == list(run_folder.unwritten) == ["round 2", "the joined tables"]


def test_what_waits_for_a_full_disk_does_not_grow_for_ever(run_folder, info, make_round, monkeypatch):
    run_folder.start(info)
    size = sum(table.nbytes for table in make_round(1).tables.values())
    monkeypatch.setattr("fedchunk.orchestrator.recording.run_folder.MOST_WAITING_BYTES", 2.5 * size)
    with full_disk():
        for r in range(1, 6):
            run_folder.record_rounds([make_round(r)])
    run_folder.record_rounds([make_round(6)])
    assert run_folder.unwritten == ("rounds 1 to 3",)
    assert all(rounds_in(run_folder.path, name) == [4, 5, 6] for name in ROUND_TABLES)


def test_two_runs_that_want_the_same_folder_do_not_mix(tmp_path):
    """Both find it empty at the same moment; the one that comes second has left nothing in it."""
    (tmp_path / "run").mkdir()
    original = run_folder_module.claim

    def claim(folder):
        run_folder_module.claim = original
        RunFolder.create(folder, Settings(), "random_seed: 42\n")
        original(folder)

    run_folder_module.claim = claim
    try:
        with pytest.raises(ConfigError, match="never overwritten"):
            RunFolder.create(tmp_path / "run", Settings(), "random_seed: 7\n")
    finally:
        run_folder_module.claim = original
    assert (tmp_path / "run" / "config.yaml").read_text() == "random_seed: 42\n"


def test_killed_while_writing_the_tables_agree(tmp_path):
    """A process that does nothing but record rounds is killed, several times at another moment."""
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]); import conftest as c\n"
        "from fedchunk.orchestrator.recording.run_folder import RunFolder\n"
        "from fedchunk.orchestrator.settings.whole import Settings\n"
        "folder = RunFolder.create(Path(sys.argv[1]), Settings(), ''); folder.start(c.federation_info())\n"
        "for r in range(1, 5000): folder.record_rounds([c.round_result(r)]); print(r, flush=True)\n"
    )
    for attempt, after in enumerate((1, 7, 30)):
        folder = tmp_path / f"run-{attempt}"
        command = [sys.executable, "-c", script, str(folder), str(Path(__file__).parents[1])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line) >= after:
                    break
            process.send_signal(signal.SIGKILL)
            said = [int(line), *map(int, process.stdout.read().split())][-1]
        run = load_run(folder)
        assert run.status == "running"
        recorded = rounds_in(folder, "rounds")
        assert recorded == list(range(1, len(recorded) + 1))
        assert len(recorded) >= said, "a round that was recorded is on the disk"
        assert all(rounds_in(folder, name) == recorded for name in ROUND_TABLES)


def test_summary_is_json_even_if_the_run_diverged(make_summary):
    summary = json.loads(summary_json(make_summary(1, loss=float("inf"), wall_s=2.0)))
    assert summary["loss"] is None
    assert (summary["status"], summary["wall_s"]) == ("finished", 2.0)


def test_needs_no_heavy_library():
    code = (
        "import sys, fedchunk.orchestrator.recording.run_folder; print({'torch', 'ray', 'mlflow'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
