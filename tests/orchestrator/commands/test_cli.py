"""Commands that start nothing. Those that run something are in test_cli_run.py."""

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedchunk.orchestrator.cli import app

HEAVY = {
    "torch",
    "torchvision",
    "ray",
    "mlflow",
    "pyarrow",
    "numpy",
    "matplotlib",
    "sklearn",
    "psutil",
    "safetensors",
    "scipy",
}


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def only_line(result) -> dict:
    """What a command with ``--json`` printed on standard output: one line."""
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


@pytest.fixture
def config(in_folder):
    path = in_folder / "experiment.yaml"
    path.write_text("number_of_clients: 3\nchunking: true\nchunking_parts: 10\n")
    return path


def test_help_names_every_command():
    text = invoke("--help").stdout

    for command in ("run", "validate", "data", "plan", "fork", "analyze", "sync", "ui", "doctor", "schema"):
        assert re.search(rf"\b{command}\b", text)


@pytest.mark.parametrize("command", ["run", "validate", "plan", "fork", "analyze", "sync", "ui", "doctor", "schema"])
def test_every_command_takes_json(command):
    assert "--json" in invoke(command, "--help").stdout


def test_version_is_the_installed_one():
    assert invoke("--version").stdout == metadata.version("fedchunk") + "\n"


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["validate", "CONFIG"], ["schema"]])
def test_answering_at_once_means_importing_nothing_heavy(config, arguments):
    arguments = [str(config) if argument == "CONFIG" else argument for argument in arguments]
    script = (
        "import sys\nfrom fedchunk.orchestrator.cli import app\n"
        "app(sys.argv[1:], standalone_mode=False)\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)

    assert HEAVY & set(done.stderr.splitlines()[-1].split()) == set()


def test_validate_says_what_counts(config):
    result = invoke("validate", config, "number_of_clients=5", "--json")

    answer = only_line(result)
    assert (result.exit_code, answer["status"]) == (0, "valid")
    assert (answer["settings"]["number_of_clients"], answer["settings"]["chunking_parts"]) == (5, 10)


def test_validate_masks_passwords(config):
    result = invoke("validate", config, "mlflow_tracking_uri=https://me:hunter2@host", "--json")

    assert "hunter2" not in result.output


def test_validate_says_everything_that_is_wrong_at_once(config):
    config.write_text("number_of_client: 3\nlearning_rate: fast\n")

    text, machine = invoke("validate", config), invoke("validate", config, "--json")

    assert text.exit_code == machine.exit_code == 2
    assert text.stdout == ""
    assert f"{config}:1:1: number_of_client: " in text.stderr
    answer = only_line(machine)
    assert answer["status"] == "invalid"
    assert [fault["key"] for fault in answer["faults"]] == ["number_of_client", "learning_rate"]
    assert machine.stderr == text.stderr


@pytest.mark.parametrize("command", ["run", "validate", "plan"])
def test_a_configuration_that_is_not_there_is_exit_2_without_a_traceback(in_folder, command):
    result = invoke(command, "gone.yaml", "--json")

    assert result.exit_code == 2
    assert only_line(result)["status"] == "invalid"
    assert "Traceback" not in result.output
    assert list(in_folder.iterdir()) == []


def test_run_refuses_a_cluster_without_ray(config, in_folder):
    result = invoke("run", config, "--local", "--address", "auto", "--json")

    assert result.exit_code == 2
    assert only_line(result)["faults"][0]["where"] == "--address"
    assert not (in_folder / "runs").exists()


def test_run_never_overwrites_results(config, in_folder):
    (in_folder / "taken").mkdir()
    (in_folder / "taken" / "notes.txt").write_text("mine")

    result = invoke("run", config, "--local", "--output", "taken")

    assert result.exit_code == 2
    assert [path.name for path in (in_folder / "taken").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("command", ["analyze", "sync"])
def test_a_folder_that_holds_no_run_is_exit_1_without_a_traceback(in_folder, command):
    result = invoke(command, in_folder, "--json")

    assert result.exit_code == 1
    answer = only_line(result)
    assert answer["status"] == "failed"
    assert str(in_folder) in answer["error"]
    assert "Traceback" not in result.output


def test_ui_sends_people_to_a_servers_own_page(in_folder):
    result = invoke("ui", "--tracking-uri", "http://me:hunter2@127.0.0.1:5001", "--json")

    assert result.exit_code == 2
    assert "127.0.0.1:5001" in only_line(result)["error"]
    assert "hunter2" not in result.output


def test_ui_takes_the_usual_environment_variable(in_folder, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5001")

    assert invoke("ui").exit_code == 2


def test_doctor_fails_with_a_remedy_where_something_is_missing(in_folder, monkeypatch):
    monkeypatch.setenv("HOME", str(in_folder / "none"))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)

    result = invoke("doctor", "--json")

    answer = only_line(result)
    (home,) = [check for check in answer["checks"] if check["name"] == "home folder"]
    assert (result.exit_code, answer["status"], home["status"]) == (1, "fail", "fail")
    assert "HOME" in home["remedy"]


def test_schema_is_json_with_every_setting():
    text, machine = invoke("schema"), invoke("schema", "--json")

    assert json.loads(text.stdout) == only_line(machine)
    assert {"chunking_parts", "number_of_clients"} <= set(only_line(machine)["properties"])


def test_a_wrong_command_line_is_exit_2():
    assert invoke("run").exit_code == 2
    assert invoke("fly").exit_code == 2


def test_a_reader_that_has_read_enough_is_no_fault():
    command = [Path(sys.executable).with_name("fedchunk"), "components"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        said = process.stderr.read()

    assert (process.returncode, said) == (141, b"")
