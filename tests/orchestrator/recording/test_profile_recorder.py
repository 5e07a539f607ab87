import json
import logging
from dataclasses import replace

from fedchunk.analysis.load import load_run
from fedchunk.orchestrator.contract.messages import Span
from fedchunk.orchestrator.recording.profile import ProfileRecorder


def spans_of(r):
    return (Span("n 1", "train", 3, 4.0 * r, 1.0), Span("coordinator", "record", 0, 4.0 * r + 1, 1.0))


def record(recorder, make_round, rounds):
    for r in range(1, rounds + 1):
        recorder.record_rounds([replace(make_round(r), spans=spans_of(r))])


def test_table_and_trace_are_there_at_the_end_and_not_before(run_folder, info, make_round, make_summary):
    recorder = ProfileRecorder(run_folder.path)
    for each in (run_folder, recorder):
        each.start(info)
        record(each, make_round, 2)
    assert load_run(run_folder.path).tables["profile"].num_rows == 0
    assert not (run_folder.path / "trace.json").exists()

    recorder.finish(make_summary(2), None, None)

    profile = load_run(run_folder.path).tables["profile"].to_pylist()
    assert [(row["round"], row["activity"], row["start_s"], row["duration_s"]) for row in profile] == [
        (1, "train", 0.0, 1.0), (1, "record", 1.0, 1.0),
        (2, "train", 4.0, 1.0), (2, "record", 5.0, 1.0),
    ]  # fmt: skip
    assert len(json.loads((run_folder.path / "trace.json").read_text())["traceEvents"]) == 1 + 2 * 3 + 2 + 4


def test_without_a_finished_round_nothing_is_written(run_folder, info, make_summary):
    recorder = ProfileRecorder(run_folder.path)
    recorder.start(info)
    recorder.finish(make_summary(0), None, None)

    assert not (run_folder.path / "trace.json").exists()
    assert not (run_folder.path / "tables" / "profile.parquet").exists()


def test_a_profile_that_cannot_be_written_ends_no_run(tmp_path, info, make_round, make_summary, caplog):
    recorder = ProfileRecorder(tmp_path / "gone")
    recorder.start(info)
    record(recorder, make_round, 1)
    with caplog.at_level(logging.WARNING):
        recorder.finish(make_summary(1), None, None)

    assert "the profile could not be written" in caplog.text
