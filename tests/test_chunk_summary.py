"""A run that records a summary of its chunks is the same run, and says the same as far as the summary goes."""

import numpy as np
import pytest

import fedchunk
from fedchunk.analysis.chunk_summary import SummaryStudy
from fedchunk.analysis.figures import drawable
from fedchunk.analysis.reading import stream_finished
from fedchunk.orchestrator.core.errors import ConfigError, RecordsError

SETTINGS = {
    "dataset_type": "synthetic", "synthetic_samples": 200, "synthetic_test_samples": 40, "number_of_clients": 6,
    "client_sampling_rate": 0.5, "federated_learning_rounds": 7, "learning_rate": 0.1, "local_steps": 2,
    "chunking": True, "chunking_parts": 20, "sensitivity_percentage": 30, "chunk_max_age": 4,
    "mlflow_enabled": False, "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("summary")
    return {
        kind: fedchunk.run(SETTINGS, record_chunks=kind, output=folder / str(kind), local=True, progress=False)
        for kind in ("full", "summary", False, True)
    }


def test_it_changes_no_result(runs):
    assert len({run.summary["weights_sha256"] for run in runs.values()}) == 1
    assert {kind: run.config["record_chunks"] for kind, run in runs.items()} == {
        "full": "full", "summary": "summary", False: False, True: "full",
    }  # fmt: skip
    rows = {kind: (run.chunks.num_rows, run.chunk_summary.num_rows) for kind, run in runs.items()}
    assert rows == {"full": (7 * 3 * 20, 0), "summary": (0, 7 * 20), False: (0, 0), True: (7 * 3 * 20, 0)}


def test_it_has_a_row_for_each_chunk_and_round_worked_out_from_the_clients(runs):
    rows = runs["summary"].tables["chunk_summary"].to_pylist()
    for of_round in runs["full"].chunk_rounds():
        relative_NC = of_round.scores_NC / of_round.scores_NC.mean(axis=1, keepdims=True)
        for chunk, row in enumerate(row for row in rows if row["round"] == of_round.round_index):
            assert (row["chunk"], row["clients"]) == (chunk, len(of_round.clients_N))
            assert row["sent"] == of_round.selected_NC[:, chunk].sum()
            assert row["age_mean"] == pytest.approx(of_round.age_NC[:, chunk].mean())
            assert row["age_max"] == of_round.age_NC[:, chunk].max()
            quantiles = [row[f"score_p{percent:02d}"] for percent in (5, 25, 50, 75, 95)]
            assert quantiles == pytest.approx(np.percentile(relative_NC[:, chunk], (5, 25, 50, 75, 95)), rel=1e-5)


def test_figures_without_single_clients_have_the_same_numbers(runs):
    full, summary = runs["full"].figure_data, runs["summary"].figure_data
    for name in ("chunk_selection", "layers", "layer_selection", "coverage"):
        assert summary[name].equals(full[name]), name
    for column in ("round", "mean", "maximum", "limit"):
        assert summary["age"][column].to_pylist() == pytest.approx(full["age"][column].to_pylist())
    assert summary["importance"]["sent_share"].to_pylist() == pytest.approx(
        full["importance"]["sent_share"].to_pylist()
    )
    medians = summary["importance"]["p50"].to_numpy()
    by_round = [
        np.median(one.scores_NC / one.scores_NC.mean(axis=1, keepdims=True), axis=0)
        for one in runs["full"].chunk_rounds()
    ]
    assert medians == pytest.approx(np.mean(by_round, axis=0), rel=1e-5)


def test_its_report_draws_them_and_says_what_is_missing(runs, tmp_path):
    run = runs["summary"]
    assert set(drawable(runs["full"].figure_data)) - set(drawable(run.figure_data)) == {"client_overlap"}
    written = run.report(tmp_path)
    assert {path.stem for path in written.figures} >= {"chunk_selection", "layers", "importance", "overlap", "age"}
    assert "choices of single clients were not recorded; set record_chunks: full" in written.html.read_text()


def test_damage_to_it_is_said(runs):
    run = runs["summary"]
    pieces = [table.slice(1) for table in stream_finished(run.path, "chunk_summary", run.config, run.rounds)]
    names = run.layout["parameters"].to_pylist()
    with pytest.raises(RecordsError, match=r"table chunk_summary: round 1 has 19 rows, expected one for each of 20"):
        SummaryStudy(run.rounds["round"].to_numpy(), names, pieces, run.path)


def test_it_goes_on_where_it_stopped(runs, tmp_path):
    settings = {**SETTINGS, "record_chunks": "summary"}
    fedchunk.run(settings, federated_learning_rounds=4, output=tmp_path / "run", local=True, progress=False)
    resumed = fedchunk.resume(tmp_path / "run", federated_learning_rounds=7, local=True, progress=False)
    assert resumed.tables["chunk_summary"].equals(runs["summary"].tables["chunk_summary"])


@pytest.mark.parametrize("value", ["some", 3, None])
def test_other_words_are_refused(value):
    with pytest.raises(ConfigError, match=r"record_chunks: got .*full, summary"):
        fedchunk.load_settings(SETTINGS, record_chunks=value)
