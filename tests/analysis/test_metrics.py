import numpy as np
import pytest

from fedchunk.analysis import load_run
from fedchunk.analysis.metric_data import last_metrics, metric_data
from fedchunk.analysis.metric_figures import SHOWN
from fedchunk.analysis.report import write_report
from fedchunk.orchestrator.core.records import SCHEMAS


@pytest.fixture
def run_with(write_run, small):
    def written(*rows):
        small.metrics = rows
        return load_run(write_run(small))

    return written


def lines(ax):
    return {line.get_label(): line.get_xydata().tolist() for line in ax.get_lines()}


def test_a_run_from_before_the_table_has_none_of_it(write_run, small):
    path = write_run(small)
    (path / "tables" / "metrics.parquet").unlink()
    run = load_run(path)
    assert run.metrics.num_rows == 0
    assert run.metrics.schema.equals(SCHEMAS["metrics"])
    assert run.tables["metrics"].num_rows == 0
    assert metric_data(run.metrics).num_rows == 0


def test_the_coordinators_model_counts_and_clients_where_only_they_have_it(run_with):
    run = run_with(
        (1, None, "top5", 0.5), (1, 0, "top5", 0.1), (1, 0, "f1", 0.2), (1, 1, "f1", 0.4),
        (2, None, "top5", 0.75), (2, 0, "top5", 0.1), (2, 0, "f1", 0.6), (2, 1, "f1", 0.7),
    )  # fmt: skip
    coordinator, clients = "coordinator's model", "clients' own models, mean"
    found = [tuple(row.values()) for row in metric_data(run.metrics).to_pylist()]
    assert found == [
        (1, "top5", 0.5, coordinator), (1, "f1", pytest.approx(0.3), clients),
        (2, "top5", 0.75, coordinator), (2, "f1", pytest.approx(0.65), clients),
    ]  # fmt: skip
    assert last_metrics(metric_data(run.metrics)) == [
        ("top5", 0.75, coordinator, 2), ("f1", pytest.approx(0.65), clients, 2),
    ]  # fmt: skip


def test_the_report_shows_the_last_values_and_the_figure(run_with, tmp_path):
    run = run_with((1, None, "<b>top5</b>", 0.5), (2, None, "<b>top5</b>", 0.8125))
    report = write_report(run, tmp_path / "report")
    page = report.html.read_text()
    assert "<h2>Metrics</h2>" in page
    assert "<td>&lt;b&gt;top5&lt;/b&gt;</td><td>0.8125</td><td>coordinator&#x27;s model</td><td>2</td>" in page
    assert "<b>" not in page
    assert tmp_path / "report" / "figures" / "metrics.png" in report.figures
    assert tmp_path / "report" / "figures" / "data" / "metrics.csv" in report.data


def test_a_run_without_metrics_has_no_section(write_run, small, tmp_path):
    report = write_report(write_run(small), tmp_path / "report")
    page = report.html.read_text()
    assert "<h2>Metrics</h2>" not in page
    assert "nothing was measured beside accuracy and loss" in page
    assert "metrics" not in {path.stem for path in report.figures}


def test_the_figure_draws_a_line_for_each_metric(run_with):
    run = run_with(
        (1, None, "top5", 0.5), (1, None, "perplexity", 30.0), (2, None, "top5", 0.75), (2, None, "perplexity", 20.0)
    )
    shares, others = run.figure("metrics").axes
    assert lines(shares) == {"top5": [[1, 0.5], [2, 0.75]]}
    assert lines(others) == {"perplexity": [[1, 30.0], [2, 20.0]]}


def test_single_classes_are_thin_lines_of_one_colour(run_with):
    classes = [(r, None, f"per_class/{k}", k / 10) for r in (1, 2) for k in range(10)]
    (ax,) = run_with(*classes, (2, None, "f1", 0.5)).figure("metrics").axes
    drawn = ax.get_lines()
    assert len(drawn) == 11
    thin = [line for line in drawn if line.get_linewidth() < 1]
    assert len(thin) == 10
    assert len({line.get_color() for line in thin}) == 1
    assert sorted(line.get_ydata()[0] for line in thin) == pytest.approx(np.arange(10) / 10)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["f1", "per class (10)"]


def test_at_most_twenty_names_are_drawn_with_looks_of_their_own(run_with):
    drawn = run_with(*((1, None, f"metric{i}", 0.5) for i in range(SHOWN + 3))).figure("metrics")
    (ax,) = drawn.axes
    looks = [(line.get_color(), line.get_linestyle()) for line in ax.get_lines()]
    assert len(looks) == len(set(looks)) == SHOWN == 20
    assert "20 of 23" in ax.get_xlabel()


def test_names_and_values_may_be_odd(run_with, tmp_path):
    odd = run_with((1, None, "$x^{", np.nan), (2, None, "$x^{", np.inf), (1, None, "_hidden", -1.0))
    odd.figure("metrics").savefig(tmp_path / "odd.png")
    write_report(odd, tmp_path / "report")
