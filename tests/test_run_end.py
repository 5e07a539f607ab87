"""How a run ends: what follows the last round decides nothing, and what could not be written is said."""

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

import fedchunk
from fedchunk.orchestrator import run as wiring
from fedchunk.orchestrator.cli import app
from fedchunk.orchestrator.commands.console import answering
from fedchunk.orchestrator.commands.watching import Told
from fedchunk.orchestrator.recording import table_files
from fedchunk.orchestrator.recording.run_folder import RunFolder
from fedchunk.orchestrator.run import Launch, execute
from fedchunk.orchestrator.stopping import Stop

SETTINGS = {
    "dataset_type": "synthetic", "synthetic_samples": 80, "synthetic_test_samples": 40, "number_of_clients": 2,
    "federated_learning_rounds": 3, "device": "cpu", "local_steps": 1, "mlflow_enabled": False,
}  # fmt: skip


@pytest.fixture(autouse=True)
def heard():
    """Whoever runs the tests may have some ignored, as nohup does, or a shell in what it starts in the background."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Silent:
    def stage(self, name):
        pass

    clients_done = round_done = lambda self, *arguments: None


@pytest.mark.parametrize("trouble", [ValueError("backend"), KeyboardInterrupt(), MemoryError(), OSError(28, "full")])
def test_a_report_that_cannot_be_written_does_not_decide_how_the_run_ended(trouble, tmp_path, monkeypatch, caplog):
    def fail(folder):
        raise trouble

    monkeypatch.setattr(wiring, "_write_report", fail)
    ended = execute(fedchunk.load_settings(SETTINGS), Launch(tmp_path / "run", local=True), Silent())

    assert (ended.summary.status, ended.report) == ("finished", None)
    assert fedchunk.load_run(tmp_path / "run").weights
    assert "the report" in caplog.text


def test_a_finished_run_of_which_something_is_missing_has_an_exit_code_of_its_own(tmp_path, monkeypatch):
    append = table_files.append_rounds

    def full(tables, first, rounds):
        raise OSError(28, "No space left on device") if first else append(tables, first, rounds)

    monkeypatch.setattr(table_files, "append_rounds", full)
    (tmp_path / "s.yaml").write_text(json.dumps(SETTINGS))
    done = CliRunner().invoke(
        app, ["run", str(tmp_path / "s.yaml"), "--local", "--json", "--output", str(tmp_path / "r")]
    )

    answer = json.loads(done.stdout.splitlines()[-1])
    assert done.exit_code == 3
    assert (answer["status"], answer["rounds_completed"]) == ("finished", 3)
    assert answer["unwritten"] == ["rounds 1 to 3"]
    assert json.loads((tmp_path / "r" / "summary.json").read_text())["unwritten"] == ["rounds 1 to 3"]


def test_the_first_signal_lets_the_round_end_and_the_second_does_not():
    said = []
    stop = Stop(60, said.append)
    with stop.listening():
        with stop.rounds_running():
            os.kill(os.getpid(), signal.SIGTERM)
            stop.check()
            assert stop.asked == "SIGTERM"
            assert said == ["SIGTERM: stopping after this round, or in 60 s; once more to stop at once"]
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGHUP)


def test_a_round_that_takes_too_long_is_given_up():
    stop = Stop(0.0)
    with stop.listening(), stop.rounds_running():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        with pytest.raises(KeyboardInterrupt):
            stop.check()


def test_while_the_end_is_recorded_a_signal_only_hurries():
    stop = Stop()
    with stop.listening(), stop.deferred():
        os.kill(os.getpid(), signal.SIGINT)
    assert stop.hurried


def test_what_is_heard_within_is_broken_off_also_by_a_signal_that_came_before():
    stop, began = Stop(), False
    with stop.listening(), stop.deferred():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt), stop.heard():
            began = True
        assert not began
        with stop.heard():
            began = True
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    assert began
    assert stop.hurried


def translated():
    """A library that makes another error of whatever happens, as a class that is being made does."""

    class Field:
        def __set_name__(self, owner, name):
            os.kill(os.getpid(), signal.SIGINT)

    type("Made", (), {"field": Field()})


def passed_over():
    """A library that goes on whatever happens."""
    with contextlib.suppress(BaseException):
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("library", [translated, passed_over])
@pytest.mark.parametrize("when", ["at the start", "in a round"])
def test_a_signal_in_a_library_that_takes_it_for_something_else_still_stops_the_run(
    library, when, tmp_path, monkeypatch
):
    def on_round(row):
        if when == "in a round" and row["round"] == 2:
            os.kill(os.getpid(), signal.SIGINT)  # the first lets the round end
            library()

    if when == "at the start":
        begin = wiring._recorders
        monkeypatch.setattr(wiring, "_recorders", lambda *given: (library(), begin(*given))[1])
    folder, observer = tmp_path / "run", Told(Silent(), on_round)
    run_it = functools.partial(execute, fedchunk.load_settings(SETTINGS), Launch(folder, local=True), observer)
    if when == "at the start" and library is translated:
        with pytest.raises(KeyboardInterrupt):
            run_it()
    else:
        run_it()
    run = fedchunk.load_run(folder)
    assert (run.status, run.num_rounds) == ("interrupted", 0 if when == "at the start" else 2)
    assert bool(run.num_rounds) == (folder / "weights.safetensors").exists()


def test_a_command_whose_library_makes_an_error_of_ctrl_c_ends_as_interrupted(capsys):
    with pytest.raises(SystemExit) as end, answering(True), Stop().listening():
        translated()
    assert end.value.code == 130
    assert json.loads(capsys.readouterr().out)["status"] == "interrupted"


def test_a_run_interrupted_while_its_folder_is_made_says_so_there(tmp_path, monkeypatch):
    create = RunFolder.create.__func__

    def interrupted(cls, *arguments):
        folder = create(cls, *arguments)
        os.kill(os.getpid(), signal.SIGINT)
        return folder

    monkeypatch.setattr(RunFolder, "create", classmethod(interrupted))
    with pytest.raises(KeyboardInterrupt):
        execute(fedchunk.load_settings(SETTINGS), Launch(tmp_path / "run", local=True), Silent())

    run = fedchunk.load_run(tmp_path / "run")
    assert (run.status, run.num_rounds) == ("interrupted", 0)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("after", ["the answer", "the handlers are gone"])
def test_a_signal_that_comes_after_the_answer_does_not_change_the_exit_code(name, after, tmp_path):
    kill = f"os.kill(os.getpid(), signal.{name})"
    lines = ["import os, signal", "from fedchunk.orchestrator.main import main"]
    lines += {
        "the answer": ["try: main()", f"except SystemExit: {kill}"],
        "the handlers are gone": ["class Last:", f"    def __del__(self): {kill}", "last = Last()", "main()"],
    }[after]
    command = [sys.executable, "-c", "\n".join(lines), "validate", "missing.yaml", "--json"]
    undo = functools.partial(signal.signal, getattr(signal, name), signal.SIG_DFL)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=undo, timeout=60)

    assert done.returncode == 2
    assert json.loads(done.stdout)["status"] == "invalid"


def test_a_terminal_that_is_closed_under_nohup_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stop().listening():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_stopped_run_has_its_last_round_a_checkpoint_and_goes_on(tmp_path):
    def on_round(row):
        if row["round"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    whole = fedchunk.run(SETTINGS, output=tmp_path / "whole", local=True, progress=False)
    run = fedchunk.run(SETTINGS, output=tmp_path / "run", local=True, progress=False, on_round=on_round)

    assert (run.status, run.num_rounds, run.summary["error"]) == ("interrupted", 2, "stopped by SIGTERM")
    assert [file.name for file in (tmp_path / "run" / "checkpoints").glob("*.json")] == ["round-00002.json"]
    again = fedchunk.resume(tmp_path / "run", local=True, progress=False)
    assert again.summary["weights_sha256"] == whole.summary["weights_sha256"]


@pytest.mark.ray
def test_a_stopped_run_on_ray_keeps_the_round_that_was_under_way(tmp_path):
    """Rounds are too short for anybody to ask how far they are: the next one has begun when the signal is seen."""

    def on_round(row):
        if row["round"] == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    many = {**SETTINGS, "federated_learning_rounds": 200, "number_of_actors": 1}
    run = fedchunk.run(many, output=tmp_path / "run", progress=False, on_round=on_round)

    assert run.status == "interrupted"
    assert run.num_rounds >= 3
    kept = [file.name for file in (tmp_path / "run" / "checkpoints").glob("*.json")]
    assert f"round-{run.num_rounds:05d}.json" in kept
    assert run.summary["weights_round"] == run.num_rounds
