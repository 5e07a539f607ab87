import os
import signal
import socket
import subprocess
import time
import urllib.request

import psutil
import pytest

from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.settings.running import TrackingSettings
from fedchunk.orchestrator.settings.whole import Settings
from fedchunk.orchestrator.tracking.recorder import MlflowRecorder
from fedchunk.orchestrator.tracking.ui import ui_command


def test_store_with_its_password_is_in_no_command_line():
    command, environment = ui_command("postgresql://me:hunter2@host/mlflow", "127.0.0.1", 5001)
    assert "hunter2" not in " ".join(command)
    assert environment["MLFLOW_BACKEND_STORE_URI"] == "postgresql://me:hunter2@host/mlflow"
    assert command[command.index("--port") + 1] == "5001"


def test_default_store_is_the_file_in_this_folder(in_folder):
    assert ui_command(None)[1]["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{in_folder}/mlflow.db"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::"])
def test_other_machines_are_kept_out(host):
    with pytest.raises(ConfigError, match="from another machine use a tunnel"):
        ui_command(None, host)


def test_a_server_has_its_own_ui():
    with pytest.raises(ConfigError, match=r"http://\*\*\*@host:5000 is a server"):
        ui_command("http://me:hunter2@host:5000")


@pytest.mark.slow
def test_the_ui_is_two_processes_and_shows_a_run_with_its_artifacts(
    store_file, run_folder, info, make_round, make_summary, spec, model
):
    uri = f"sqlite:///{store_file}"
    recorder = MlflowRecorder(TrackingSettings(), Settings().flat(), run_folder.path, uri)
    for part in (run_folder, recorder):
        part.start(info)
        part.record_rounds([make_round(1)])
        part.finish(make_summary(1), spec, model)
    assert recorder.upload()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command, environment = ui_command(uri, port=port)
    server = subprocess.Popen(command, env=environment, start_new_session=True)

    def get(path):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=30) as answer:
            return answer.read()

    try:
        while True:
            try:
                page = get("")
                break
            except OSError:
                assert server.poll() is None
                time.sleep(0.1)
        assert b"MLflow" in page
        processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        assert len(processes) == 2
        listens = [c.laddr.ip for process in processes for c in process.net_connections() if c.status == "LISTEN"]
        assert set(listens) == {"127.0.0.1"}
        config = get(f"get-artifact?path=config.yaml&run_uuid={recorder.run_id}")
        assert config == (run_folder.path / "config.yaml").read_bytes()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
