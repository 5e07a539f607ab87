"""Runs of each task: chunks with error feedback, exact bytes, the same bits with two actors, resumed, on Ray."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pyarrow.parquet as pq
import pytest
from torch import Tensor, nn

import fedchunk
from fedchunk.analysis.judged import best_round, target_of
from fedchunk.analysis.summaries import headline
from fedchunk.orchestrator.commands.housekeeping import find_runs, runs_text
from fedchunk.orchestrator.commands.plan import make_plan
from fedchunk.orchestrator.commands.run_summary import summary_text
from fedchunk.orchestrator.contract.ports import RunSummary
from fedchunk.orchestrator.core.errors import RecordsError
from fedchunk.orchestrator.core.records import SCHEMAS
from fedchunk.orchestrator.learning.build import model_spec
from fedchunk.orchestrator.learning.data.facts import data_facts
from fedchunk.orchestrator.tracking.metrics import round_metrics

BASE = {
    "dataset_type": "synthetic", "synthetic_samples": 120, "synthetic_test_samples": 40, "synthetic_classes": 4,
    "synthetic_size": 6, "number_of_clients": 4, "federated_learning_rounds": 4, "train_batch_size": 10,
    "device": "cpu", "mlflow_enabled": False, "chunking": True, "chunking_parts": 20, "sensitivity_percentage": 30.0,
    "chunk_reconstruction": "error_feedback", "clients_per_group": 2, "number_of_epochs": 2,
    "evaluate_clients": True, "learning_rate": 0.1, "model_options": {"width": 12}, "test_batch_size": 1,
}  # fmt: skip
TIMES = {"train_s", "aggregate_s", "evaluate_s", "wall_s", "actors_busy"}


class Tokens(nn.Module):
    def __init__(self, num_classes: int, task: str, width: int = 8) -> None:
        super().__init__()
        assert task == "language_model"
        self.embedding, self.head = nn.Embedding(num_classes, width), nn.Linear(width, num_classes)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        logits_BTV: Tensor = self.head(self.embedding(tokens_BT))
        return logits_BTV


# Numbers of chunks that divide those of the parameters, so that a plan knows the bytes exactly.
TASKS: dict[str, dict[str, Any]] = {
    "regression": {"learning_rate": 0.05, "model_options": {"width": 13, "depth": 1}, "chunking_parts": 15},
    "multilabel": {"learning_rate": 0.5, "model_options": {"width": 12, "depth": 1}, "chunking_parts": 16},
    "language_model": {"model_type": Tokens, "learning_rate": 2.0},
}


@pytest.fixture(autouse=True)
def without_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report takes longer than these runs."""
    monkeypatch.setattr("fedchunk.orchestrator.run._write_report", lambda folder: folder / "report.html")


def played(task: str, output: Any, *, local: bool = True, **more: Any) -> fedchunk.Run:
    settings = {**BASE, **TASKS.get(task, {}), "task": task, **more}
    return fedchunk.run(settings, output=output, local=local, progress=False)


def rows(run: fedchunk.Run) -> dict[str, Any]:
    tables = {name: run.tables[name] for name in SCHEMAS if name != "profile"}
    return {
        name: table.drop_columns([column for column in table.column_names if column in TIMES]).to_pylist()
        for name, table in tables.items()
    }


def assert_same(one: fedchunk.Run, other: fedchunk.Run) -> None:
    assert one.summary["weights_sha256"] == other.summary["weights_sha256"]
    for name, table in rows(one).items():
        assert rows(other)[name] == table, name


@pytest.mark.parametrize("task", TASKS)
def test_a_task_from_beginning_to_end(task: str, tmp_path: Any) -> None:
    run = played(task, tmp_path / "run", number_of_actors=1)
    target = fedchunk.load_settings({**BASE, **TASKS[task], "task": task}).target
    # It learns, and what it is judged by stands in accuracy's place.
    values = run.rounds["target"].to_pylist()
    assert target.gain(values[-1]) > target.gain(values[0])
    assert run.rounds["accuracy"].null_count == run.num_rounds
    assert run.clients["accuracy"].null_count == run.clients.num_rows
    of_clients = [row for row in run.metrics.to_pylist() if row["name"] == target.metric and row["client"] is not None]
    last = [row["value"] for row in of_clients if row["round"] == run.num_rounds]
    row = run.rounds.to_pylist()[-1]
    assert row["client_target_mean"] == pytest.approx(sum(last) / len(last))
    assert (row["client_target_min"], row["client_target_max"]) == (min(last), max(last))
    assert set(run.clients["training"].to_pylist()) == {
        f"one by one: the answers of {task} are not one label for each sample"
    }
    # Its records say so.
    assert (run.summary["target_metric"], run.summary["target"]) == (target.metric, values[-1])
    assert run.summary["accuracy"] is None
    assert run.config["target"]["better"] == target.better
    assert f"{target.metric} {target.text(values[-1], digits=2)}" in repr(run)
    # Bytes are those of the plan.
    settings = fedchunk.load_settings({**BASE, **TASKS[task], "task": task})
    facts = data_facts(settings)
    plan = make_plan(settings, model_spec(settings, facts.input_shape, facts.num_classes), facts, actors=1)
    up, down = (sum(run.rounds[f"{way}_bytes"].to_pylist()) for way in ("uplink", "downlink"))
    assert plan.uplink.low == plan.uplink.high == up
    assert plan.downlink.low <= down <= plan.downlink.high
    # Two actors give the same bits, and so does a run that went on.
    assert_same(played(task, tmp_path / "two", number_of_actors=2), run)
    played(task, tmp_path / "half", federated_learning_rounds=2)
    assert_same(fedchunk.resume(tmp_path / "half", local=True, progress=False, federated_learning_rounds=4), run)


def test_peers_are_judged_by_the_mean_of_their_models(tmp_path: Any) -> None:
    peers = {
        "federated_learning_schema": "DecentralizedFederatedLearning", "federated_learning_topology": "ring",
        "chunk_reconstruction": "contributors", "stop_target": 100.0,
    }  # fmt: skip
    run = played("regression", tmp_path / "run", **peers)
    assert run.num_rounds == 1  # any error is below 100
    assert run.rounds["target"].null_count == 1
    assert run.rounds["client_target_mean"][0].as_py() == run.summary["client_target_mean"]


def test_a_run_stops_where_it_gets_no_better(tmp_path: Any) -> None:
    run = played("regression", tmp_path / "run", federated_learning_rounds=60, patience=1, learning_rate=0.2)
    values = run.rounds["target"].to_pylist()
    assert run.num_rounds < 60
    assert values[-1] >= min(values[:-1])
    assert best_round(run) == (values.index(min(values)) + 1, min(values))


def test_runs_are_compared_by_what_they_are_judged_by_or_by_what_is_asked_for(tmp_path: Any) -> None:
    dense = played("regression", tmp_path / "dense", chunking=False, chunk_reconstruction="contributors")
    chunks = played("regression", tmp_path / "chunks")
    found = fedchunk.compare([dense, chunks])
    ends = {group.label: group.value.mean for group in found.groups}
    assert [group.value.mean for group in found.groups] == sorted(ends.values())  # less of rmse is better
    assert found.target == pytest.approx(1.01 * ends["chunking=false"])
    assert found.to_arrow().column_names[2:4] == ["rmse", "rmse_half_width"]
    assert "rmse" in str(found)
    assert "%: 1 % above the best full exchange" not in str(found)
    by_r2 = fedchunk.compare([dense, chunks], metric="r2")
    assert [group.value.mean for group in by_r2.groups] == sorted(
        (group.value.mean for group in by_r2.groups), reverse=True
    )
    never = fedchunk.compare([dense, chunks], 1e-6)
    assert [group.bytes_to_target for group in never.groups] == [None, None]
    assert all(group.bytes_to_target for group in fedchunk.compare([dense, chunks], 1e6).groups)
    with pytest.raises(RecordsError, match="f1_macro was not measured; a run may have accuracy, loss, rmse, r2"):
        fedchunk.compare([dense, chunks], metric="f1_macro", better="higher")
    with pytest.raises(ValueError, match="better: of f1_macro the runs say nothing"):
        fedchunk.compare([dense, chunks], metric="f1_macro")
    labels = fedchunk.run(
        {**BASE, "federated_learning_rounds": 1}, output=tmp_path / "labels", local=True, progress=False
    )
    with pytest.raises(ValueError, match="metric: the runs are judged by accuracy and by rmse"):
        fedchunk.compare([dense, labels])
    assert [group.metric for group in fedchunk.compare([dense, labels], metric="loss").groups] == ["loss", "loss"]


def test_a_report_shows_it(tmp_path: Any) -> None:
    from fedchunk.analysis.report import write_report

    run = played("language_model", tmp_path / "run", federated_learning_rounds=2)
    report = write_report(run)
    assert (tmp_path / "run" / "figures" / "target.png").exists()
    assert not (tmp_path / "run" / "figures" / "accuracy.png").exists()
    html = report.html.read_text(encoding="utf-8")
    assert "bits_per_byte of the coordinator&#x27;s model" in html
    assert "accuracy of" not in html


def test_one_label_a_sample_is_what_it_always_was(tmp_path: Any) -> None:
    plain = fedchunk.run(BASE, output=tmp_path / "plain", local=True, progress=False)
    said = fedchunk.run(
        {**BASE, "task": "classification", "loss_function": "CrossEntropy", "target_metric": "accuracy"},
        output=tmp_path / "said", local=True, progress=False,
    )  # fmt: skip
    assert_same(said, plain)
    assert plain.metrics.num_rows == 0
    for column in ("target", "client_target_mean", "client_target_min", "client_target_max"):
        assert plain.rounds[column].null_count == plain.num_rounds
    assert not {"target", "target_metric", "client_target_mean"} & plain.summary.keys()
    older = json.loads((tmp_path / "said" / "config.json").read_text())
    for key in ("task", "task_options", "target_metric", "target_direction", "stop_target", "target"):
        del older[key]
    (tmp_path / "said" / "config.json").write_text(json.dumps(older))  # as it was before there were tasks
    (tmp_path / "said" / "manifest.json").unlink()
    (group,) = fedchunk.compare([plain, tmp_path / "said"]).groups
    assert group.metric == "accuracy"


def test_a_run_from_before_there_were_targets_goes_on(tmp_path: Any) -> None:
    whole = played("classification", tmp_path / "whole", federated_learning_rounds=3)
    played("classification", tmp_path / "older", federated_learning_rounds=2)
    file = tmp_path / "older" / "tables" / "rounds.parquet"
    table = pq.read_table(file)
    pq.write_table(table.drop_columns([name for name in table.column_names if "target" in name]), file)
    (tmp_path / "older" / "manifest.json").unlink()
    further = fedchunk.resume(tmp_path / "older", local=True, progress=False, federated_learning_rounds=3)
    assert_same(further, whole)


def test_the_list_of_runs_says_what_each_is_judged_by(tmp_path: Any) -> None:
    played("multilabel", tmp_path / "flags", federated_learning_rounds=1)
    (found,) = find_runs(tmp_path)
    assert found.accuracy is None
    assert found.target_metric == "f1_macro"
    assert f"f1_macro {found.target:.4g}" in runs_text([found])


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_own_samples_are_in_summary_report_and_metrics(task: str, tmp_path: Any) -> None:
    run = played(task, tmp_path / "run", client_test_share=0.25, federated_learning_rounds=2, model_options={})
    last, target = run.rounds.to_pylist()[-1], target_of(run)
    mean, worst = last["own_target_mean"], last["own_target_worst_tenth"]

    assert worst == (max if target.lower else min)(row["own_target"] for row in run.clients.to_pylist()[-4:])
    assert (run.summary["own_target_mean"], run.summary["own_target_worst_tenth"]) == (mean, worst)
    assert dict(headline(run))["worst tenth of these"] == f"{target.text(worst, digits=2)} (round 2)"
    assert round_metrics(last, {})["own/worst_tenth"] == worst
    assert f"worst tenth {target.text(worst)}" in summary_text(summary_of(run), run.path, None, None, target)
    labels = [
        line.get_label() for line in run.figure("accuracy" if task == "classification" else "target").axes[0].lines
    ]
    assert labels[-2:] == ["the same on their own samples", "worst tenth of these"]
    without = played(task, tmp_path / "without", federated_learning_rounds=1, model_options={})
    assert "own_target_mean" not in without.summary
    assert "worst tenth of these" not in dict(headline(without))


def summary_of(run: fedchunk.Run) -> RunSummary:
    known = {field.name for field in dataclasses.fields(RunSummary)}
    return RunSummary(**{name: value for name, value in run.summary.items() if name in known})


@pytest.mark.ray
def test_on_ray_a_language_model_has_the_bits_of_one_process(tmp_path: Any, ray_here: Any) -> None:
    here = played("language_model", tmp_path / "here")
    assert_same(played("language_model", tmp_path / "there", local=False), here)


@pytest.mark.ray
def test_on_ray_own_samples_are_measured_with_the_bits_of_one_process(tmp_path: Any, ray_here: Any) -> None:
    kept = {"client_test_share": 0.2, "federated_learning_rounds": 2}
    here = played("regression", tmp_path / "here", **kept)
    assert here.rounds["own_target_mean"][-1].as_py() > 0
    assert_same(played("regression", tmp_path / "there", local=False, **kept), here)
