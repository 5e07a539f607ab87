import sys
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedchunk.orchestrator.commands.progress import ProgressLine, Totals
from fedchunk.orchestrator.commands.run_summary import summary_dict, summary_text
from fedchunk.orchestrator.contract.messages import RoundResult
from fedchunk.orchestrator.contract.ports import RunSummary
from fedchunk.orchestrator.core.target import Target
from fedchunk.orchestrator.experiment import never_started

MEASURED = ("accuracy", "client_accuracy_mean", "client_accuracy_min", "client_accuracy_max", "consensus_distance")
FIRST = {
    "round": 1, "accuracy": 0.5, "client_accuracy_mean": 0.4, "client_accuracy_min": 0.3, "client_accuracy_max": 0.5,
    "consensus_distance": None, "uplink_bytes": 1000, "downlink_bytes": 3000, "dense_bytes": 8000,
}  # fmt: skip
NOT_EVALUATED = FIRST | dict.fromkeys(MEASURED) | {"round": 2}
OF_PEERS = FIRST | {"accuracy": None, "consensus_distance": 0.125}
SUMMARY = RunSummary("finished", 2, 0.9, 0.1, None, 20_000_000, 70_000_000, 100_000_000, 100_000_000, 65.0, "ab")


def result(row: dict, problems: tuple[str, ...] = ()) -> RoundResult:
    return RoundResult(row["round"], {"rounds": pa.Table.from_pylist([row])}, problems)


def test_totals_add_bytes_and_keep_the_last_accuracy_that_was_measured():
    totals = Totals().after(FIRST).after(NOT_EVALUATED)

    assert totals == Totals(2, 0.5, 0.4, 2000, 6000, 16_000, 0.3, 0.5, None)
    assert totals.line() == "accuracy 50.0 %  clients 40.0 %  up 2.00 kB  down 6.00 kB  50.0 % of full exchange"


def test_of_peers_the_line_says_how_far_they_are_from_each_other():
    line = Totals().after(OF_PEERS).after(NOT_EVALUATED).line()

    assert line.startswith("peers 40.0 % (30.0 % to 50.0 %)  distance 0.125  up 2.00 kB")


def test_of_peers_that_share_one_model_the_line_has_its_accuracy():
    shared = {**OF_PEERS, "accuracy": 0.5, "client_accuracy_mean": 0.5, "consensus_distance": 0.0}

    assert Totals().after(shared).line().startswith("accuracy 50.0 %  up 1.00 kB")


RMSE = Target("rmse", lower=True)
OF_NUMBERS = FIRST | dict.fromkeys(MEASURED) | {
    "target": 0.51234, "client_target_mean": 0.75, "client_target_min": 0.5, "client_target_max": 1.0,
}  # fmt: skip


def test_what_the_run_is_judged_by_stands_in_the_place_of_accuracy():
    line = Totals(target=RMSE).after(OF_NUMBERS).after(NOT_EVALUATED).line()
    peers = Totals(target=RMSE).after(OF_NUMBERS | {"target": None, "consensus_distance": 0.125}).line()

    assert line.startswith("rmse 0.5123  clients 0.75  up 2.00 kB")
    assert peers.startswith("rmse of peers 0.75 (1 to 0.5)  distance 0.125")  # the worst first


def test_the_end_says_it_too(tmp_path):
    summary = replace(SUMMARY, accuracy=None, target_metric="rmse", target=0.51234, client_target_mean=None)

    assert "rmse 0.5123 (the coordinator's model, whole test set)" in summary_text(summary, tmp_path, None, None, RMSE)
    assert summary_dict(summary, tmp_path, None)["target"] == 0.51234
    assert "target" not in summary_dict(SUMMARY, tmp_path, None)


def test_before_the_first_evaluation_there_is_a_dash():
    assert Totals().after(NOT_EVALUATED).line().startswith("accuracy -  up ")


def test_without_a_terminal_each_round_is_a_line_on_standard_error(capsys):
    with ProgressLine(rounds=2) as progress:
        progress.stage("loading digits")
        progress.clients_done(1, 1, 2)
        progress.round_done(result(FIRST))
        progress.clients_done(2, 2, 2)
        progress.round_done(result(NOT_EVALUATED, ("client 3: payload rejected [bad]",)))

    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert lines[0] == "loading digits"
    assert lines[1].startswith("round 1/2  accuracy 50.0 %")
    assert lines[2] == "round 2: left out: client 3: payload rejected [bad]"
    assert lines[3].startswith("round 2/2  ")
    assert lines[3].endswith("ETA 0:00")
    assert len(lines) == 4
    assert progress.rounds_done == 2


def test_on_a_terminal_one_line_is_drawn_over(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    with ProgressLine(rounds=2) as progress:
        progress.clients_done(1, 1, 2)
        progress.round_done(result(FIRST))

    err = capsys.readouterr().err
    assert "accuracy 50.0 %" in err
    assert "\x1b[2K" in err  # erases the line that it draws over


def test_a_ci_that_forces_colours_gets_no_control_codes_into_its_log(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")

    with ProgressLine(rounds=2) as progress:
        progress.round_done(result(FIRST))

    assert "\x1b" not in capsys.readouterr().err


class Closed:
    """A standard error that nobody reads."""

    encoding = "utf-8"

    def __init__(self, error):
        self._error = error

    def write(self, text):
        raise self._error

    flush = isatty = lambda self: None


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "No space left on device")])
def test_progress_that_nobody_can_see_ends_no_run(error, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Closed(error))

    with ProgressLine(rounds=2) as progress:
        progress.stage("loading")
        progress.round_done(result(FIRST))
        progress.round_done(result(FIRST))

    assert progress.rounds_done == 1


def test_summary_shows_what_was_saved_in_each_direction(tmp_path):
    text = summary_text(SUMMARY, tmp_path, tmp_path / "report.html", "fedchunk ui")

    assert text.splitlines()[:2] == [
        "finished after 2 rounds in 1:05",
        "accuracy 90.0 % (the coordinator's model, whole test set)",
    ]
    rows = [line.split() for line in text.splitlines() if line.startswith(("up ", "down ", "both "))]
    assert [row[-2] for row in rows] == ["80.0", "30.0", "55.0"]
    assert str(tmp_path / "report.html") in text
    assert text.endswith("MLflow   fedchunk ui")


def test_summary_says_how_busy_the_actors_were(tmp_path):
    text = summary_text(replace(SUMMARY, actors_busy=0.872), tmp_path, None, None)

    assert text.splitlines()[0] == "finished after 2 rounds in 1:05, actors busy 87 %"


def test_summary_of_peers_shows_their_mean_worst_and_best_at_the_last_measured_round(tmp_path):
    (tmp_path / "tables").mkdir()
    rows = [OF_PEERS, OF_PEERS | {"round": 2, "client_accuracy_min": 0.25}, NOT_EVALUATED | {"round": 3}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "tables" / "rounds.parquet")

    text = summary_text(replace(SUMMARY, accuracy=None, client_accuracy_mean=0.4), tmp_path, None, None)

    assert text.splitlines()[1:3] == [
        "accuracy 40.0 % (mean of the peers' models, whole test set; worst 25.0 %, best 50.0 %)",
        "consensus distance 0.125 (mean squared distance from the mean model)",
    ]
    assert "coordinator" not in text


def test_summary_of_peers_that_share_one_model_says_so(tmp_path):
    (tmp_path / "tables").mkdir()
    shared = OF_PEERS | {"accuracy": 0.5, "client_accuracy_mean": 0.5, "consensus_distance": 0.0}
    pq.write_table(pa.Table.from_pylist([shared]), tmp_path / "tables" / "rounds.parquet")

    text = summary_text(replace(SUMMARY, accuracy=0.5, client_accuracy_mean=0.5), tmp_path, None, None)

    assert text.splitlines()[1] == "accuracy 50.0 % (the model that all peers share, whole test set)"
    assert "own models" not in text


def test_summary_of_peers_whose_tables_could_not_be_written_has_their_mean(tmp_path):
    text = summary_text(replace(SUMMARY, accuracy=None, client_accuracy_mean=0.4), tmp_path, None, None)

    assert text.splitlines()[1] == "accuracy 40.0 % (mean of the peers' models, whole test set)"


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [(KeyboardInterrupt(), "interrupted", "interrupted by the user"), (ValueError("no data"), "failed", "no data")],
)
def test_a_run_that_never_started_says_why_and_claims_no_figures(tmp_path, error, status, reason):
    summary = never_started(error)

    assert (summary.status, summary.error, summary.rounds_completed) == (status, reason, 0)
    assert summary_dict(summary, tmp_path, None)["accuracy"] is None
    assert "saved" not in summary_text(summary, tmp_path, None, None)
