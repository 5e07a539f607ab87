"""Photographs MLflow's UI on the newest run below ``runs`` with headless Chromium, into ``docs/images``.

Run it from the folder in which the experiment was run (``make demo screenshots``). It starts ``fedchunk ui`` on a free
port, waits until the page answers, saves one PNG per view and ends the UI again.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

IMAGES = Path(__file__).parent / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
START_LIMIT_S = 90
PAGE_LIMIT_S = 120

HOST = "fedchunk.localhost"
"""Browsers take every name below localhost for this machine. MLflow opens its assistant only for plain localhost."""

TRAINING = "?workflowType=machine_learning"
VIEWS = {
    "mlflow-runs": "#/experiments/{experiment}/runs" + TRAINING,
    "mlflow-run": "#/experiments/{experiment}/runs/{run}" + TRAINING,
    "mlflow-figure": "#/experiments/{experiment}/runs/{run}/artifacts/figures/accuracy.png" + TRAINING,
    "mlflow-heatmap": "#/experiments/{experiment}/runs/{run}/artifacts/figures/chunk_selection.png" + TRAINING,
    "mlflow-table": "#/experiments/{experiment}/runs/{run}/artifacts/rounds.csv" + TRAINING,
    "mlflow-report": "#/experiments/{experiment}/runs/{run}/artifacts/report.html" + TRAINING,
}
"""File name -> page of MLflow's UI."""


def main() -> None:
    """Saves every view."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        sys.exit(f"no browser: install one of {', '.join(BROWSERS)} (Debian: apt-get install chromium)")
    run_id = newest_run(Path("runs"))
    IMAGES.mkdir(exist_ok=True)
    port = free_port()
    environment = {
        **os.environ,
        "MLFLOW_SERVER_ALLOWED_HOSTS": f"127.0.0.1:{port},{HOST}:{port}",
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": f"http://{HOST}:{port}",
    }
    command = [sys.executable, "-c", "from fedchunk.orchestrator.main import main; main()", "ui", "--port", str(port)]
    with subprocess.Popen(command, env=environment) as ui:
        try:
            experiment = experiment_of(run_id, f"http://127.0.0.1:{port}", ui)
            for name, page in VIEWS.items():
                url = f"http://{HOST}:{port}/{page.format(experiment=experiment, run=run_id)}"
                photograph(browser, url, IMAGES / f"{name}.png")
        finally:
            ui.terminate()


def newest_run(runs: Path) -> str:
    """MLflow's name of the newest run that was logged to it."""
    states = sorted(runs.glob("*/mlflow/state.json"))
    if not states:
        sys.exit(f"no run below {runs.absolute()}: run `make demo` first")
    return str(json.loads(states[-1].read_text(encoding="utf-8"))["run_id"])


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def experiment_of(run_id: str, address: str, ui: subprocess.Popen[bytes]) -> str:
    """The experiment that the run belongs to; waits until the UI is up."""
    deadline = time.monotonic() + START_LIMIT_S
    while ui.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/api/2.0/mlflow/runs/get?run_id={run_id}", timeout=5) as answer:
                return str(json.load(answer)["run"]["info"]["experiment_id"])
        except OSError:
            time.sleep(0.5)
    sys.exit(f"MLflow's UI did not answer at {address}")


def photograph(browser: str, url: str, target: Path) -> None:
    """Saves the page as a picture, with a browser profile of its own that is thrown away."""
    with tempfile.TemporaryDirectory() as profile:
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1500,1000",
            # The report is in a sandboxed frame; the picture of another process's frame lacks its images.
            "--disable-features=IsolateSandboxedIframes",
            "--virtual-time-budget=20000", f"--user-data-dir={profile}", f"--screenshot={target}", url,
        ]  # fmt: skip
        subprocess.run(command, check=True, timeout=PAGE_LIMIT_S, capture_output=True)
    print(target)


if __name__ == "__main__":
    main()
