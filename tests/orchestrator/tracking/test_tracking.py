import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from fedchunk.orchestrator.core.errors import RecordsError, TrackingError
from fedchunk.orchestrator.core.records import ROUND_TABLES
from fedchunk.orchestrator.recording.run_folder import RunFolder
from fedchunk.orchestrator.settings.running import TrackingSettings
from fedchunk.orchestrator.settings.whole import Settings
from fedchunk.orchestrator.tracking.metrics import ROUND_METRICS, round_metrics, system_metrics
from fedchunk.orchestrator.tracking.opening import begin_run
from fedchunk.orchestrator.tracking.recorder import MlflowRecorder
from fedchunk.orchestrator.tracking.sender import Sender
from fedchunk.orchestrator.tracking.spool import Spool, StateFile
from fedchunk.orchestrator.tracking.store import open_store
from fedchunk.orchestrator.tracking.sync import download_run, sync
from fedchunk.orchestrator.tracking.uri import artifact_folder, is_server, resolve_store

POINTS = "select count(*), count(distinct key || ' ' || step) from metrics where key like 'accuracy/%'"


@pytest.fixture
def uri(store_file):
    return f"sqlite:///{store_file}"


@pytest.fixture
def recorder(run_folder, uri):
    return MlflowRecorder(TrackingSettings(), Settings().flat(), run_folder.path, uri)


@pytest.fixture
def client(uri):
    open_store(uri)
    from mlflow import MlflowClient

    return MlflowClient(uri)


def begin(recorder, info):
    """Starts a recorder and waits until the store knows the run."""
    recorder.start(info)
    for _ in range(600):
        if recorder.run_id is not None:
            return
        time.sleep(0.05)
    raise AssertionError("the store never knew of the run")


def record(recorders, rounds, info, make_round):
    for recorder in recorders:
        begin(recorder, info) if isinstance(recorder, MlflowRecorder) else recorder.start(info)
        for r in range(1, rounds + 1):
            recorder.record_rounds([make_round(r)])


def finish(recorders, summary, spec, model):
    for recorder in recorders:
        recorder.finish(summary, spec, model)


def test_a_run_has_begun_when_its_rounds_have_not_when_mlflow_was_there(recorder, client, info, monkeypatch):
    def slowly(uri):
        time.sleep(0.05)
        opened_ms.append(time.time_ns() // 1_000_000)
        return open_store(uri)

    opened_ms, before_ms = [], time.time_ns() // 1_000_000
    monkeypatch.setattr("fedchunk.orchestrator.tracking.recorder.open_store", slowly)
    begin(recorder, info)

    assert before_ms <= client.get_run(recorder.run_id).info.start_time <= opened_ms[0] - 50


def test_metrics_of_a_round_by_hand(make_round):
    totals = {}
    first = round_metrics(make_round(1, uplink_bytes=300, downlink_bytes=700, dense_bytes=4000).summary, totals)
    second = round_metrics(make_round(2, uplink_bytes=100, downlink_bytes=100, dense_bytes=4000).summary, totals)
    assert (first["bytes/uplink_total"], first["bytes/downlink_total"], first["bytes/saved_share"]) == (300, 700, 0.75)
    assert (second["bytes/uplink_total"], second["bytes/downlink_total"]) == (400, 800)
    assert second["bytes/saved_share"] == pytest.approx(0.95)
    assert (first["accuracy/global"], first["loss/train"], first["time/round_s"]) == (0.501, 2.0, 0.5)


def test_nulls_and_numbers_without_end_are_left_out(make_round):
    metrics = round_metrics(make_round(1, accuracy=None, loss=float("inf"), train_loss=float("nan")).summary, {})
    assert not {"accuracy/global", "accuracy/clients_mean", "loss/global", "loss/train"} & set(metrics)
    assert metrics["chunks/coverage"] == 0.75


def test_residuals_and_distance_of_peers_are_metrics_where_they_are_known(make_round):
    known = round_metrics(make_round(1, residual_norm=2.5, consensus_distance=0.25).summary, {})
    unknown = round_metrics(make_round(1).summary, {})

    assert (known["chunks/residual_norm"], known["clients/consensus_distance"]) == (2.5, 0.25)
    assert unknown.keys() == known.keys() - {"chunks/residual_norm", "clients/consensus_distance"}


def test_every_metric_has_a_group(tmp_path):
    assert all("/" in name for name in [*ROUND_METRICS.values(), *system_metrics(tmp_path)])


def test_addresses_of_stores(in_folder):
    assert resolve_store(None) == f"sqlite:///{in_folder}/mlflow.db"
    assert resolve_store("sqlite:///a/b.db?x=1") == f"sqlite:///{in_folder}/a/b.db?x=1"
    assert resolve_store("sqlite:////abs/b.db") == "sqlite:////abs/b.db"
    assert resolve_store("http://host:5000") == "http://host:5000"
    assert artifact_folder("sqlite:////abs/my db/b.db") == "file:///abs/my%20db/mlartifacts"
    assert artifact_folder("postgresql://host/db") is None
    assert is_server("https://host")
    assert not is_server("sqlite:///mlflow.db")


def test_a_finished_run_as_mlflow_shows_it(
    run_folder, recorder, client, info, make_round, make_summary, spec, model, store_file, capfd
):
    both = (run_folder, recorder)
    record(both, 3, info, make_round)
    finish(both, make_summary(3), spec, model)
    (run_folder.path / "figures").mkdir()
    (run_folder.path / "figures" / "accuracy.png").write_bytes(b"png")
    assert client.get_run(recorder.run_id).info.status == "RUNNING"
    assert recorder.upload()
    run = client.get_run(recorder.run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", run_folder.path.name)
    assert client.get_experiment(run.info.experiment_id).name == "fedchunk"
    expected = {key: value if isinstance(value, str) else json.dumps(value) for key, value in Settings().flat().items()}
    assert expected.items() <= run.data.params.items()
    assert run.data.params["model_parameters"] == "8"
    assert {"fedchunk.version", "ray.version", "torch.version", "mlflow.version", "python.version", "host"} <= set(
        run.data.tags
    )
    assert (run.data.tags["backend"], run.data.tags["device"], run.data.tags["seed"]) == ("local", "cpu", "42")
    assert "3 clients" in run.data.tags["mlflow.note.content"]
    history = client.get_metric_history(recorder.run_id, "accuracy/global")
    assert [(point.step, point.value) for point in history] == [(1, 0.501), (2, 0.502), (3, 0.503)]
    assert run.data.metrics["bytes/uplink_total"] == 900
    assert run.data.metrics["metrics/top5"] == 0.753
    assert run.data.metrics["metrics/clients_mean/top5"] == 0.625
    assert run.data.metrics["final/accuracy"] == 0.9
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("digits", info.data.digest)
    assert [(tag.key, tag.value) for tag in dataset.tags] == [("mlflow.data.context", "training")]
    artifacts = store_file.parent / "mlartifacts" / recorder.run_id / "artifacts"
    uploaded = {str(file.relative_to(artifacts)) for file in artifacts.rglob("*") if file.is_file()}
    assert uploaded == {
        "config.yaml", "config.json", "summary.json", "manifest.json", "weights.safetensors", "figures/accuracy.png",
        *(f"tables/{name}.parquet" for name in (*ROUND_TABLES, "layout")),
    }  # fmt: skip
    (output,) = run.outputs.model_outputs
    logged = client.get_logged_model(output.model_id)
    assert logged.source_run_id == recorder.run_id
    assert logged.params["weights_sha256"] == make_summary().weights_sha256
    assert {metric.key: metric.value for metric in logged.metrics}["final/accuracy"] == 0.9
    assert capfd.readouterr() == ("", ""), "the progress line stays readable"


def test_two_runs_share_an_experiment(tmp_path, uri, client, info):
    ids = []
    for name in ("one", "two"):
        folder = RunFolder.create(tmp_path / name, Settings(), "")
        recorder = MlflowRecorder(TrackingSettings(), Settings().flat(), folder.path, uri)
        begin(recorder, info)
        ids.append(client.get_run(recorder.run_id).info.experiment_id)
    assert ids[0] == ids[1]


def said(caplog, words):
    """Waits for a warning with these words."""
    for _ in range(600):
        if words in caplog.text:
            return True
        time.sleep(0.05)
    return False


def test_a_deleted_experiment_is_said(recorder, client, info, caplog):
    client.delete_experiment(client.create_experiment("fedchunk"))
    recorder.start(info)
    assert said(caplog, "is deleted; restore it, or set mlflow_experiment_prefix")


@pytest.mark.parametrize(("status", "shown"), [("failed", "FAILED"), ("interrupted", "KILLED")])
def test_a_run_that_did_not_finish(run_folder, recorder, client, info, make_round, make_summary, status, shown):
    both = (run_folder, recorder)
    record(both, 1, info, make_round)
    finish(both, make_summary(1, status=status, error="because", weights_sha256=None), None, None)
    assert recorder.upload()
    run = client.get_run(recorder.run_id)
    assert (run.info.status, run.data.tags["fedchunk.status"]) == (shown, status)
    assert run.data.tags["fedchunk.error"] == "because"


def test_sync_twice_doubles_nothing(run_folder, recorder, client, query, info, make_round, make_summary, spec, model):
    """Everything has arrived, and is sent again: all that was noted of it is forgotten."""
    both = (run_folder, recorder)
    record(both, 5, info, make_round)
    finish(both, make_summary(5), spec, model)
    assert recorder.upload()
    tables = ("metrics", "tags", "params", "latest_metrics", "logged_model_metrics")
    before = [sorted(query(f"select * from {table}"), key=str) for table in tables]
    ended = client.get_run(recorder.run_id).info.end_time
    assert sync(run_folder.path).artifacts_uploaded == 0
    StateFile.open(run_folder.path).update(sent_bytes=0, delivered=False)
    report = sync(run_folder.path)
    assert report.metrics_sent > 100
    assert report.remaining == 0
    assert [sorted(query(f"select * from {table}"), key=str) for table in tables] == before
    assert query(POINTS) == [(5, 5)]
    assert len(client.get_run(recorder.run_id).outputs.model_outputs) == 1
    assert client.get_run(recorder.run_id).info.end_time == ended


def test_sync_ends_a_killed_run_and_sends_its_finished_rounds(tmp_path, uri, client, query):
    script = (
        "import sys, os, time; from pathlib import Path; sys.path.insert(0, sys.argv[3]); import conftest as c\n"
        "from fedchunk.orchestrator.recording.run_folder import RunFolder\n"
        "from fedchunk.orchestrator.settings.running import TrackingSettings\n"
        "from fedchunk.orchestrator.settings.whole import Settings\n"
        "from fedchunk.orchestrator.tracking.recorder import MlflowRecorder\n"
        "folder = RunFolder.create(Path(sys.argv[1]), Settings(), ''); folder.start(c.federation_info())\n"
        "recorder = MlflowRecorder(TrackingSettings(), Settings().flat(), folder.path, sys.argv[2])\n"
        "recorder.start(c.federation_info())\n"
        "while recorder.run_id is None: time.sleep(0.05)\n"
        "for r in range(1, 40):\n"
        "    folder.record_rounds([c.round_result(r)])\n"
        "    recorder.record_rounds([c.round_result(r)])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    folder = tmp_path / "run"
    killed = subprocess.run(
        [sys.executable, "-c", script, str(folder), uri, str(Path(__file__).parents[1])], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    report = sync(folder)
    assert report.artifacts_uploaded > 100
    assert query(POINTS) == [(39, 39)]
    run = client.get_run(report.run_id)
    assert run.info.status == "KILLED"
    assert run.info.end_time < time.time_ns() // 1_000_000
    assert sync(folder).metrics_sent == 0
    assert query(POINTS) == [(39, 39)]


def test_sync_of_a_run_in_progress_leaves_it_open(run_folder, recorder, client, info, make_round):
    record((run_folder, recorder), 2, info, make_round)
    report = sync(run_folder.path)
    assert (report.artifacts_uploaded, report.remaining) == (0, 0)
    assert client.get_run(recorder.run_id).info.status == "RUNNING"


def test_sync_says_what_is_wrong(tmp_path, run_folder, recorder, info):
    with pytest.raises(RecordsError, match="not the folder of a run that was logged to MLflow"):
        sync(tmp_path)
    begin(recorder, info)
    StateFile.open(run_folder.path).update(tracking_uri="https://***@host")
    with pytest.raises(TrackingError, match=r"secret is not kept; give the whole address with --tracking-uri"):
        sync(run_folder.path)
    with pytest.raises(TrackingError, match=r"http://127\.0\.0\.1:1"):
        sync(run_folder.path, "http://127.0.0.1:1")


IMPATIENT = TrackingSettings(mlflow_finish_timeout_s=1)


def records_without_a_store(store, run_folder, uri, info, make_round, make_summary, spec, model, query):
    """A run whose store does not answer is recorded whole, ends soon, and is sent whole by ``sync``."""
    recorder = MlflowRecorder(IMPATIENT, Settings().flat(), run_folder.path, store)
    both = (run_folder, recorder)
    for each in both:
        each.start(info)
        for r in range(1, 4):
            each.record_rounds([make_round(r)])
    finish(both, make_summary(3), spec, model)
    assert not recorder.upload()
    assert recorder.run_id is None
    report = sync(run_folder.path, uri)
    assert report.metrics_sent > 50
    assert query(POINTS) == [(3, 3)]
    assert query("select run_uuid, status from runs") == [(report.run_id, "FINISHED")]


def test_a_server_that_never_answers_costs_no_round(
    run_folder, uri, info, make_round, make_summary, spec, model, query, monkeypatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        records_without_a_store(address, run_folder, uri, info, make_round, make_summary, spec, model, query)


@pytest.mark.parametrize("store", ["postgresql://me:hunter2@127.0.0.1:1/mlflow", "file:./mlruns", "nonsense://x"])
def test_a_store_that_is_none_costs_no_round(
    store, run_folder, uri, info, make_round, make_summary, spec, model, query, caplog, in_folder
):
    records_without_a_store(store, run_folder, uri, info, make_round, make_summary, spec, model, query)
    assert "hunter2" not in caplog.text
    assert "The run goes on" in caplog.text


def test_a_run_whose_creation_was_cut_short_is_not_created_twice(run_folder, recorder, client, info, query):
    begin(recorder, info)
    known = recorder.run_id
    state = StateFile.open(run_folder.path)
    state.update(run_id=None, beginning=True)  # the answer of the store was lost

    assert begin_run(open_store(recorder._uri), run_folder.path, state) == known
    assert query("select count(*) from runs") == [(1,)]


def test_two_that_begin_a_run_at_once_begin_one(run_folder, recorder, uri, info, query, monkeypatch):
    """A run ends before the store has answered: what delivers it finds the run begun, or waits until it is."""
    monkeypatch.setattr(Sender, "run", lambda self: None)
    recorder.start(info)
    first, second, state = open_store(uri), open_store(uri), StateFile.open(run_folder.path)
    begin, under_way, known = first.begin, threading.Event(), []

    def slow_begin(*arguments):
        under_way.set()
        time.sleep(0.5)
        return begin(*arguments)

    monkeypatch.setattr(first, "begin", slow_begin)
    sender = threading.Thread(target=lambda: known.append(begin_run(first, run_folder.path, state)))
    sender.start()
    assert under_way.wait(20)
    known.append(begin_run(second, run_folder.path, state))
    sender.join()

    assert len(set(known)) == 1
    assert query("select count(*) from runs") == [(1,)]


def test_a_run_that_died_is_ended_by_the_next_one(tmp_path, uri, client, info, make_summary):
    """Its process is gone and nobody typed ``sync``; what its folder says of its end is what the store gets."""
    ids = {}
    for name, status in (("killed", None), ("done", "finished")):
        folder = RunFolder.create(tmp_path / name, Settings(), "")
        recorder = MlflowRecorder(TrackingSettings(), Settings().flat(), folder.path, uri)
        begin(recorder, info)
        ids[name] = recorder.run_id
        if status:
            folder.finish(make_summary(1, status=status), None, None)
        client.set_tag(recorder.run_id, "fedchunk.pid", "999999999")
    folder = RunFolder.create(tmp_path / "next", Settings(), "")
    following = MlflowRecorder(TrackingSettings(), Settings().flat(), folder.path, uri)
    begin(following, info)

    def status_of(run_id):
        return client.get_run(run_id).info.status

    for _ in range(200):
        if status_of(ids["done"]) != "RUNNING" and status_of(ids["killed"]) != "RUNNING":
            break
        time.sleep(0.05)
    assert (status_of(ids["killed"]), status_of(ids["done"])) == ("KILLED", "FINISHED")
    assert status_of(following.run_id) == "RUNNING"


def test_a_run_that_goes_on_in_another_store_is_begun_there(tmp_path, run_folder, recorder, uri, info, make_round):
    record((run_folder, recorder), 2, info, make_round)
    first = recorder.run_id
    other = MlflowRecorder(TrackingSettings(), Settings().flat(), run_folder.path, f"sqlite:///{tmp_path}/other.db")
    begin(other, info)
    again = MlflowRecorder(TrackingSettings(), Settings().flat(), run_folder.path, f"sqlite:///{tmp_path}/other.db")
    begin(again, info)

    assert first != other.run_id == again.run_id


def test_a_run_that_goes_on_counts_the_bytes_of_rounds_that_the_spool_had_before_the_tables_did(
    run_folder, recorder, uri, info, make_round
):
    """Killed between the two: the spool has rounds 1 to 3, the tables 1 and 2, and round 3 is played again."""
    begin(recorder, info)
    recorder.record_rounds([make_round(r) for r in (1, 2, 3)])
    past = [(make_round(r).summary, make_round(r).tables["metrics"]) for r in (1, 2)]
    again = MlflowRecorder(TrackingSettings(), Settings().flat(), run_folder.path, uri, past=past)
    begin(again, info)
    again.record_rounds([make_round(3)])
    again.record_rounds([make_round(4)])

    points, position = [], 0
    while batch := Spool(run_folder.path).next_batch(position)[0]:
        points += batch
        position = Spool(run_folder.path).next_batch(position)[1]
    totals = {(point.step, point.value) for point in points if point.key == "bytes/uplink_total"}
    assert totals == {(1, 300), (2, 600), (3, 900), (4, 1200)}
    assert len([point for point in points if point.key == "bytes/uplink_total"]) == 4


def test_metrics_that_the_disk_did_not_take_are_kept_and_written_when_it_does(run_folder, recorder, info, make_round):
    begin(recorder, info)
    file = run_folder.path / "mlflow" / "spool.jsonl"
    file.mkdir()
    recorder.record_rounds([make_round(1)])
    file.rmdir()
    recorder.record_rounds([make_round(2)])

    steps = {point.step for point in Spool(run_folder.path).next_batch(0)[0]}
    assert steps == {1, 2}


def test_several_processes_make_one_new_store(tmp_path):
    """Each opens the same fresh database at the same moment."""
    script = "import sys; from fedchunk.orchestrator.tracking.store import open_store; open_store(sys.argv[1])"
    address = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    (tmp_path / "new").mkdir()
    command = [sys.executable, "-c", script, address]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors


def test_download_gives_the_folder_itself_or_a_copy(
    tmp_path, run_folder, recorder, uri, info, make_round, make_summary, spec, model
):
    both = (run_folder, recorder)
    record(both, 2, info, make_round)
    finish(both, make_summary(2), spec, model)
    assert recorder.upload()
    assert download_run(recorder.run_id, uri, tmp_path / "copy") == run_folder.path
    run_folder.path.rename(tmp_path / "moved")
    copy = download_run(recorder.run_id, uri, tmp_path / "copy")
    assert copy == tmp_path / "copy"
    assert (copy / "tables" / "rounds.parquet").read_bytes() == (
        tmp_path / "moved" / "tables" / "rounds.parquet"
    ).read_bytes()
    with pytest.raises(TrackingError, match="not found"):
        download_run("0" * 32, uri, tmp_path / "other")


def test_download_refuses_what_is_no_run_of_ours(tmp_path, uri, client):
    run = client.create_run("0")
    with pytest.raises(RecordsError, match="it was not made by fedchunk"):
        download_run(run.info.run_id, uri, tmp_path / "copy")


@pytest.mark.slow
def test_a_server_that_dies_costs_no_point(
    tmp_path, store_file, run_folder, info, make_round, make_summary, spec, model, query, caplog
):
    """A real MLflow server is killed after three rounds and comes back after the run."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address, with_password = f"http://127.0.0.1:{port}", f"http://me:hunter2@127.0.0.1:{port}"

    def start_server():
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
        command += ["--artifacts-destination", str(tmp_path / "artifacts")]
        environment = {
            **os.environ, "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{store_file}", "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }  # fmt: skip
        server = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        while server.poll() is None:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                return server
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the server did not start")

    def kill(server):
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()

    recorder = MlflowRecorder(TrackingSettings(), Settings().flat(), run_folder.path, with_password)
    both = (run_folder, recorder)
    server = start_server()
    try:
        record(both, 3, info, make_round)
        while query(POINTS) != [(3, 3)]:
            time.sleep(0.05)
    finally:
        kill(server)
    for r in range(4, 11):
        for each in both:
            each.record_rounds([make_round(r)])
    finish(both, make_summary(10), spec, model)
    assert not recorder.upload()
    assert query(POINTS) == [(3, 3)]
    with pytest.raises(TrackingError, match=rf"http://\*\*\*@127.0.0.1:{port}"):
        sync(run_folder.path, with_password)
    server = start_server()
    try:
        with pytest.raises(TrackingError, match="secret is not kept"):
            sync(run_folder.path)
        first, second = sync(run_folder.path, with_password), sync(run_folder.path, with_password)
    finally:
        kill(server)
    assert first.metrics_sent > 0
    assert first.artifacts_uploaded == len(list((tmp_path / "artifacts").rglob("*.*"))) == 12
    assert (second.metrics_sent, second.artifacts_uploaded) == (0, 0)
    assert query(POINTS) == [(10, 10)]
    assert query("select status from runs") == [("FINISHED",)]
    steps = query("select step, timestamp from metrics where key = 'accuracy/global' order by step")
    spool = (run_folder.path / "mlflow" / "spool.jsonl").read_text().splitlines()
    assert steps == [tuple(json.loads(line[9:])["points"][0][2:]) for line in spool], (
        "the times are those of the rounds"
    )
    written = [file for file in tmp_path.rglob("*") if file.is_file() and b"hunter2" in file.read_bytes()]
    assert written == []
    assert "hunter2" not in caplog.text
    assert len([record for record in caplog.records if "metrics wait" in record.message]) == 1
