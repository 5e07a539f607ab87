import doctest
import json

import pytest

from fedchunk.orchestrator.commands import console
from fedchunk.orchestrator.commands.console import answering, duration, percent, size
from fedchunk.orchestrator.core.errors import ConfigError, Fault, RoundFailed


def test_examples_in_the_documentation_hold():
    assert doctest.testmod(console).failed == 0


def test_json_keeps_standard_output_for_the_answer(capsys):
    with answering(as_json=True) as answer:
        print("a library talks")
        answer.say("people read this")
        answer.give({"value": 1}, "one")

    out, err = capsys.readouterr()
    assert out == '{"value": 1}\n'
    assert err == "a library talks\npeople read this\n"


def test_text_goes_to_standard_output(capsys):
    with answering(as_json=False) as answer:
        answer.say("a notice")
        answer.give({"value": 1}, "one")

    assert capsys.readouterr() == ("a notice\none\n", "")


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (ConfigError([Fault("a.yaml:1:1", "mu", "got -1")]), 2, "invalid"),
        (RoundFailed(3, 0, 1, {0: "no memory"}), 1, "failed"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_our_errors_become_an_answer_and_an_exit_code(capsys, error, code, status):
    with pytest.raises(SystemExit) as left, answering(as_json=True):
        raise error

    out, err = capsys.readouterr()
    assert left.value.code == code
    assert json.loads(out)["status"] == status
    assert json.loads(out)["error"] == err.removesuffix("\n")


def test_all_faults_are_told(capsys):
    faults = [Fault("a.yaml:1:1", "mu", "got -1"), Fault("b=2", "b", "no such setting")]

    with pytest.raises(SystemExit), answering(as_json=True):
        raise ConfigError(faults)

    out, err = capsys.readouterr()
    assert [fault["key"] for fault in json.loads(out)["faults"]] == ["mu", "b"]
    assert err == "a.yaml:1:1: mu: got -1\nb=2: b: no such setting\n"


def test_a_bug_is_one_line_and_its_traceback_a_file(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(SystemExit) as ended, answering(as_json=True):
        _ = 1 / 0

    (file,) = tmp_path.iterdir()
    out, err = capsys.readouterr()
    assert ended.value.code == 1
    assert json.loads(out)["status"] == "failed"
    assert "Traceback" not in err
    assert f"ZeroDivisionError: division by zero\nThis is a fault of fedchunk. Please report it with {file}" in err
    assert "_ = 1 / 0" in file.read_text()


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (999_499, "999 kB"), (999_500, "1.00 MB"), (5e17, "500 PB")],
)
def test_sizes_are_decimal_with_three_digits(num_bytes, text):
    assert size(num_bytes) == text


def test_what_is_not_known_is_a_dash():
    assert (percent(None), duration(None)) == ("-", "-")
    assert percent(0.12345) == "12.3 %"


def test_another_broken_pipe_than_that_of_the_answer_is_a_bug(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(SystemExit) as ended, answering(as_json=False):
        raise BrokenPipeError("a worker's")

    assert ended.value.code == 1
    assert "This is a fault of fedchunk" in capsys.readouterr().err
