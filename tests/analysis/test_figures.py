import dataclasses

import numpy as np
import pytest

from fedchunk.analysis import load_run
from fedchunk.analysis.binning import MAX_BINS, bins
from fedchunk.analysis.drawing import readable
from fedchunk.analysis.figures import draw_accuracy, draw_all, figure_data, save_all
from fedchunk.analysis.layers import LayerMark

ALWAYS = {"accuracy", "bytes", "chunk_selection", "importance", "sensitivity"}
OF_CHOICES = {"layers", "overlap", "age"}
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def run(write_run, small):
    return load_run(write_run(small))


def line(ax, label):
    return next(line for line in ax.get_lines() if line.get_label() == label).get_xydata().tolist()


def test_accuracy_data(run):
    rows = figure_data(run)["accuracy"].to_pylist()
    uplink = [2 * 2020 + 1020, 2 * 2020 + 1020 + 2020 + 1020]
    downlink = [3 * 5030, 5 * 5030]
    assert [row["accuracy"] for row in rows] == [0.5, 0.75]
    assert [row["client_accuracy_mean"] for row in rows] == [0.4, 0.6]
    assert [row["uplink_mb"] for row in rows] == pytest.approx([value / 1e6 for value in uplink])
    assert [row["total_mb"] for row in rows] == pytest.approx(np.add(uplink, downlink) / 1e6)
    assert [row["dense_mb"] for row in rows] == pytest.approx([0.03, 0.05])


def test_byte_data_adds_up_to_the_rounds_table(run):
    data = figure_data(run)
    rows = data["bytes"].to_pylist()
    assert {"round": 1, "direction": "uplink", "kind": "values", "bytes": 5000} in rows
    assert {"round": 2, "direction": "downlink", "kind": "shares", "bytes": 28} in rows
    for row in run.tables["rounds"].to_pylist():
        for direction in ("uplink", "downlink"):
            of_round = [r["bytes"] for r in rows if (r["round"], r["direction"]) == (row["round"], direction)]
            assert sum(of_round) == row[f"{direction}_bytes"]
    assert data["full_exchange"].to_pylist()[0] == {"round": 1, "direction": "uplink", "bytes": 15_000}


def test_selection_data_is_the_share_of_those_who_took_part(run):
    cells = figure_data(run)["chunk_selection"].to_pylist()
    share = {(cell["first_round"], cell["first_chunk"]): cell["sent_share"] for cell in cells}
    assert [share[1, c] for c in range(5)] == pytest.approx([2 / 3, 2 / 3, 0, 0, 1 / 3])
    assert [share[2, c] for c in range(5)] == [0, 0, 0, 1, 1]


def test_a_round_in_which_no_update_counted_has_no_share(write_run, small):
    small.rejected = frozenset({(2, 0), (2, 1)})
    cells = figure_data(load_run(write_run(small)))["chunk_selection"].to_pylist()
    assert {cell["sent_share"] for cell in cells if cell["first_round"] == 2} == {None}


def test_layer_marks_are_data_too(run):
    assert figure_data(run)["layers"].to_pylist() == [
        {"layer": "a", "first_chunk": 0, "stop_chunk": 2},
        {"layer": "b", "first_chunk": 1, "stop_chunk": 5},
    ]


def test_importance_data_of_known_scores(write_run, small):
    recipe = dataclasses.replace(
        small, scores={(1, 0): [3, 1], (1, 1): [0, 2]}, selected={(1, 0): [0], (1, 1): [0]}, rejected=frozenset(),
        accuracy=(), client_accuracy=(), parameters=None, ages={},
    )  # fmt: skip
    data = figure_data(load_run(write_run(recipe)))
    quantiles = data["importance"].to_pydict()
    assert quantiles["p50"] == pytest.approx([(1.5 + 0) / 2, (0.5 + 2) / 2])
    assert quantiles["sent_share"] == [1.0, 0.0]
    curve = data["concentration"].to_pydict()
    assert curve["chunk_share"] == [0, 0.5, 1]
    assert curve["score_share"] == pytest.approx([0, (0.75 + 1) / 2, 1])
    assert curve["energy_share"] == pytest.approx([0, (0.9 + 1) / 2, 1])
    assert data["concentration_summary"].to_pylist() == [
        {
            "gini": pytest.approx((0.25 + 0.5) / 2), "sent_share": 0.5,
            "sent_score_share": pytest.approx((0.75 + 0) / 2), "sent_energy_share": pytest.approx((0.9 + 0) / 2),
        }
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, MAX_BINS, MAX_BINS + 1, 25_000])
def test_bins_cover_everything_once(count):
    edges = bins(count)
    assert (edges[0], edges[-1]) == (0, count)
    assert len(edges) - 1 == min(count, MAX_BINS)
    sizes = np.diff(edges)
    assert sizes.min() >= 1
    assert sizes.max() - sizes.min() <= 1


def test_binned_cells_keep_the_mean(write_run, realistic_recipe):
    recipe = realistic_recipe(3, 2, 600, share=0.3)
    run = load_run(write_run(recipe))
    table = figure_data(run)["chunk_selection"]
    sizes = table["stop_chunk"].to_numpy() - table["first_chunk"].to_numpy()
    sent = float((table["sent_share"].to_numpy() * sizes).sum()) * 2
    assert sent == pytest.approx(sum(len(chunks) for chunks in recipe.selected.values()))


def test_accuracy_figure_draws_its_data(run):
    per_round, per_megabyte = draw_all(run)["accuracy"].axes
    data = figure_data(run)["accuracy"]
    assert line(per_round, "coordinator's model") == [[1, 0.5], [2, 0.75]]
    assert line(per_round, "clients' own models, mean") == [[1, 0.4], [2, 0.6]]
    megabytes = [x for x, _ in line(per_megabyte, "coordinator's model")]
    assert megabytes == pytest.approx(data["total_mb"].to_pylist())
    assert line(per_megabyte, "full exchange, same rounds")[0][0] == pytest.approx(0.05)


def test_rounds_that_were_not_evaluated_are_left_out(write_run, small):
    small.accuracy, small.client_accuracy = [None, 0.75], [None, None]
    per_round = draw_all(load_run(write_run(small)))["accuracy"].axes[0]
    assert line(per_round, "coordinator's model") == [[2, 0.75]]
    assert [drawn.get_label() for drawn in per_round.get_lines()] == ["coordinator's model"]


def test_selection_figure_draws_its_cells_and_names_layers(run):
    ax = draw_all(run)["chunk_selection"].axes[0]
    cells = np.ma.filled(ax.collections[0].get_array(), np.nan)
    assert cells.shape == (5, 2)
    assert cells[:, 1].tolist() == [0, 0, 0, 1, 1]
    assert cells[:, 0] == pytest.approx(np.array([2, 2, 0, 0, 1]) / 3)
    right = next(axis for axis in ax.child_axes)
    assert [label.get_text() for label in right.get_yticklabels()] == ["a", "b"]


def test_importance_figure_marks_what_was_sent(run):
    shares = draw_all(run)["importance"].axes[1]
    data = figure_data(run)
    curve = data["concentration"]["score_share"].to_pylist()
    sent = data["concentration_summary"]["sent_share"][0].as_py()
    assert any(drawn.get_ydata() == pytest.approx(curve) for drawn in shares.get_lines() if len(drawn.get_ydata()) == 6)
    assert line(shares, f"sent: {sent:.1%} of chunks")[0][0] == sent


def test_bytes_figure_stacks_the_kinds(run):
    uplink, downlink = draw_all(run)["bytes"].axes
    for ax, direction in ((uplink, "uplink"), (downlink, "downlink")):
        filled = [patch for patch in ax.patches if patch.get_fill()]
        highest = np.max([patch.get_data().values for patch in filled], axis=0)
        assert highest == pytest.approx(run.tables["rounds"][f"{direction}_bytes"].to_numpy() / 1e6)


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 3, 2), (2, 1, 1), (251, 1, 3), (2, 2, 2500)], ids=lambda shape: "x".join(map(str, shape))
)
def test_every_shape_of_run_is_drawn(write_run, realistic_recipe, shape, tmp_path):
    figures = draw_all(load_run(write_run(realistic_recipe(*shape))))
    _, clients, chunks = shape
    by_choice = OF_CHOICES | ({"client_overlap"} if clients > 1 else set()) if chunks > 1 else set()
    assert set(figures) == ALWAYS | by_choice
    for path in save_all(figures, tmp_path / "figures"):
        assert path.read_bytes().startswith(PNG)


def test_a_very_small_share_of_full_exchange_is_drawn_on_a_log_axis(write_run, realistic_recipe):
    run = load_run(write_run(realistic_recipe(3, 2, 50)))
    data = figure_data(run)
    assert draw_all(run)["accuracy"].axes[1].get_xscale() == "linear"
    dear = data["accuracy"].set_column(
        data["accuracy"].column_names.index("dense_mb"), "dense_mb", [[value * 100 for value in (1.0, 2.0, 3.0)]]
    )
    assert draw_accuracy(dear).axes[1].get_xscale() == "log"


def test_what_was_not_recorded_is_not_drawn(write_run, small):
    small.accuracy, small.client_accuracy, small.config = (), (), {"record_chunks": False}
    assert set(draw_all(load_run(write_run(small)))) == {"bytes", "sensitivity"}


def test_scores_that_are_all_zero_or_not_finite(write_run, small, tmp_path):
    small.scores = {key: [0] * 5 for key in small.scores}
    figures = draw_all(load_run(write_run(small, "zero")))
    assert set(figures) == ALWAYS | OF_CHOICES | {"client_overlap"}
    save_all(figures, tmp_path / "zero")
    small.scores = {key: [np.nan] * 5 for key in small.scores}
    assert set(draw_all(load_run(write_run(small, "nan")))) == ALWAYS - {"importance"} | OF_CHOICES | {"client_overlap"}


def test_layer_names_are_text_and_not_formulas(write_run, small, tmp_path):
    small.parameters = [["$x^{.weight"], ["$x^{.weight"], ["b_{1.weight"], ["b_{1.weight"], ["b_{1.weight"]]
    save_all(draw_all(load_run(write_run(small))), tmp_path / "figures")


def test_only_labels_with_room_are_drawn_and_long_ones_end_visible():
    marks = [LayerMark("a", 0, 50), LayerMark("b", 50, 51), LayerMark("c", 51, 52), LayerMark("d" * 40, 52, 100)]
    labels = [label for _, label in readable(marks, 100)]
    assert labels[0] == "a"
    assert "c" not in labels
    assert labels[-1] == "\u2026" + "d" * 21
    assert readable([LayerMark("0", 0, 1)], 1) == [(0.5, "layer 0")]


def test_drawing_leaves_no_figure_behind_in_pyplot(run):
    from matplotlib import pyplot

    draw_all(run)
    assert pyplot.get_fignums() == []
