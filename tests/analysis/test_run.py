import html.parser
import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

from fedchunk.analysis import load_run
from fedchunk.orchestrator.core.errors import RecordsError
from fedchunk.orchestrator.core.records import ROUND_TABLES, SCHEMAS


@pytest.fixture
def path(write_run, small):
    return write_run(small)


def net(width=4):
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


def with_weights(path, module):
    tensors = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    save_file(tensors, path / "weights.safetensors")
    return load_run(path)


def trained(width=4):
    module = net(width)
    module(torch.randn(8, 3))  # moves the buffers
    return module


# Tables


def test_the_tables_are_properties(path):
    run = load_run(path)
    for name in (*ROUND_TABLES, "layout"):
        assert getattr(run, name).equals(run.tables[name])


def test_what_was_not_read_at_once_is_read_when_it_is_asked_for(path):
    run = load_run(path, tables=())
    assert set(run.tables) == set(SCHEMAS)
    assert run.chunks.num_rows == 20
    assert run.chunks is run.tables["chunks"], "read once"
    assert run.num_chunks == 5
    assert [client.client for client in run.recorded_clients] == [0, 1, 2]
    (path / "tables" / "ledger.parquet").unlink()
    with pytest.raises(RecordsError, match=r"ledger\.parquet: there is no such table"):
        _ = run.ledger


def test_tables_that_are_read_later_have_no_more_rounds(write_run, small):
    path = write_run(small, finished=False)
    (path / "tables" / "rounds.parts" / "part-00002.parquet").unlink()
    run = load_run(path, tables=())
    assert set(run.clients["round"].to_pylist()) == {1}


def test_a_run_cannot_be_changed(path):
    run = load_run(path)
    with pytest.raises(AttributeError):
        run.path = path
    with pytest.raises(AttributeError):
        run.rounds = None


# Weights


def test_the_weights_are_arrays_by_name_that_cannot_be_written_to(path):
    module = trained()
    run = with_weights(path, module)
    assert set(run.weights) == set(module.state_dict())
    for name, tensor in module.state_dict().items():
        np.testing.assert_array_equal(run.weights[name], tensor.numpy())
    with pytest.raises(ValueError, match="read-only"):
        run.weights["0.weight"][0] = 1


def test_they_go_into_a_module_bit_by_bit(path):
    module, other = trained(), net()
    run = with_weights(path, module)
    assert run.load_into(other) is other
    for name, tensor in module.state_dict().items():
        got = other.state_dict()[name]
        assert got.dtype == tensor.dtype
        assert torch.equal(got, tensor), name
    x = torch.randn(5, 3)
    assert torch.equal(other.eval()(x), module.eval()(x))
    assert all(parameter.requires_grad for parameter in other.parameters())
    with torch.no_grad():
        other[0].weight.zero_()
    assert run.weights["0.weight"].any(), "the run keeps its own"


def test_a_module_of_half_precision_gets_rounded_values(path):
    module = trained()
    half = with_weights(path, module).load_into(net().half())
    assert torch.equal(half[0].weight, module[0].weight.half())


def test_tied_and_unsaved_tensors_are_those_that_a_run_records(path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
            self.second.weight = self.first.weight
            self.register_buffer("scratch", torch.zeros(2), persistent=False)

    module, other = Tied(), Tied()
    save_file({"first.weight": module.first.weight.detach().numpy()}, path / "weights.safetensors")
    load_run(path).load_into(other)
    assert torch.equal(other.second.weight, module.first.weight)


def test_all_that_does_not_fit_is_said_and_nothing_is_copied(path):
    run = with_weights(path, trained())

    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.add_module("0", nn.Linear(3, 5))
            self.add_module("1", nn.BatchNorm1d(4))
            self.head = nn.Linear(4, 2)

    module = Other()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(RecordsError) as caught:
        run.load_into(module)
    said = str(caught.value)
    assert "do not fit the Other" in said
    assert "the run did not record: head.weight, head.bias" in said
    assert "the module does not have: 2.bias, 2.weight" in said
    assert "0.weight (recorded (4, 3), in the module (5, 3))" in said
    assert "1.weight" not in said
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_missing_name_alone(path):
    run = with_weights(path, nn.Linear(3, 2, bias=False))
    with pytest.raises(RecordsError, match=r"the run did not record: bias; make the module"):
        run.load_into(nn.Linear(3, 2))


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ("finished", "gone, or could not be written"),
        ("running", "still running, or was killed"),
        ("failed", "it failed"),
    ],
)
def test_a_run_without_weights_says_why(path, status, why):
    (path / "summary.json").write_text(json.dumps({"status": status}))
    with pytest.raises(RecordsError, match=rf"weights\.safetensors: this run has no weights: .*{why}"):
        _ = load_run(path).weights
    with pytest.raises(RecordsError, match="no weights"):
        load_run(path).load_into(net())


def test_damaged_weights_are_named(path):
    run = with_weights(path, trained())
    file = path / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(RecordsError, match=r"weights\.safetensors: cannot be read.*damaged"):
        _ = run.weights


# Figures and report


def test_a_figure_is_that_of_the_report(path):
    run = load_run(path)
    per_round, _ = run.figure("accuracy").axes
    assert per_round.get_lines()[0].get_xydata().tolist() == [[1, 0.5], [2, 0.75]]


def test_a_name_that_is_no_figure_gets_those_that_are(path):
    with pytest.raises(RecordsError) as caught:
        load_run(path).figure("accurracy")
    said = str(caught.value)
    assert "there is no figure 'accurracy'; this run has accuracy, bytes, chunk_selection" in said
    assert "missing: metrics (nothing was measured beside accuracy and loss" in said
    assert "residual (chunk_reconstruction is contributors: nothing is kept back)" in said


def test_a_figure_that_this_run_has_no_numbers_for_says_why(write_run, small):
    small.config = {"record_chunks": False}
    with pytest.raises(RecordsError, match=r"'overlap' cannot be drawn; this run has accuracy.*overlap \(no chunk was"):
        load_run(write_run(small)).figure("overlap")


def test_a_run_without_a_round_has_no_figure(write_run, small):
    path = write_run(small, finished=False)
    for part in (path / "tables").glob("*.parts/part-0000[12].parquet"):
        part.unlink()
    run = load_run(path)
    with pytest.raises(RecordsError, match=r"this run has no figure; missing: all \(no round has finished\)"):
        run.figure("bytes")
    assert "0 rounds" in str(run)
    assert "not measured" in run._repr_html_()


def test_what_residual_lacks_is_told_from_the_method(write_run, small):
    small.config = {"method": {"score": "gradient", "policy": "fixed", "exchange_rule": "./m.py:rule"}}
    with pytest.raises(RecordsError, match=r"residual \(chunk_reconstruction is ./m.py:rule"):
        load_run(write_run(small)).figure("residual")


def test_the_report_of_a_run(path, tmp_path):
    run = load_run(path)
    assert run.report(tmp_path / "there").html == tmp_path / "there" / "report.html"
    assert run.report().html.parent == path


def test_the_report_tells_the_method_and_the_components_of_ones_own(write_run, small, tmp_path):
    small.config = {
        "method": {"score": "./m.py:s", "policy": "knee", "exchange_rule": "contributors", "encoding": "int8",
                   "full_exchange": False},
        "components": {"chunk_score": {"name": "./m.py:s", "place": "/x/m.py:<7>", "sha256": "ab" * 32}},
    }  # fmt: skip
    page = load_run(write_run(small)).report(tmp_path / "there").html.read_text()
    assert "<td>policy</td><td>knee</td>" in page
    assert f"<td>/x/m.py:&lt;7&gt;</td><td>{'ab' * 32}</td>" in page
    assert "sha256&#x27;" not in page, "no mapping among the settings"


# How it shows itself


class Cells(html.parser.HTMLParser):
    def __init__(self, source):
        super().__init__()
        self.tags, self.text, self.attributes = [], [], []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += [data.strip()] if data.strip() else []


def test_a_notebook_shows_how_it_ended_and_what_came_out(path):
    text = Cells(load_run(path)._repr_html_()).text
    assert text[0] == "fedchunk run test: finished"
    told = dict(zip(text[1::2], text[2::2], strict=True))
    assert told["finished rounds"] == "2"
    assert told["accuracy of the coordinator's model"] == "75.00 % (round 2)"
    assert told["mean accuracy of the clients"] == "60.00 % (round 2)"
    assert told["loss of the coordinator's model"] == "0.25 (round 2)"
    assert told["uplink"] == "8.1 kB; full exchange 25 kB, saved 67.6 %"
    assert told["downlink"] == "25.1 kB; full exchange 25 kB, saved -0.6 %"


def test_everything_that_a_notebook_shows_is_escaped(write_run, small):
    evil = "<script>alert(1)</script>"
    small.config = {"federation_id": evil}
    path = write_run(small, "a&<b>")
    (path / "summary.json").write_text(json.dumps({"status": "failed", "error": f"\"'&{evil}"}))
    shown = load_run(path)._repr_html_()
    page = Cells(shown)
    assert not {"script", "b", "img", "link", "style", "a"} & set(page.tags)
    assert not [value for name, value in page.attributes if name in ("src", "href")]
    assert page.text[0] == f"fedchunk run {evil}: failed (\"'&{evil})"
    assert str(path) in page.text


def test_a_line_for_people(path):
    run = load_run(path)
    assert str(run) == (
        f"run {path}: finished, 2 rounds, accuracy 75.00 %, 33.2 kB up and down, full exchange 50 kB, saved 33.5 %"
    )
    assert repr(run) == f"<{run}>"


def test_without_an_evaluation_nothing_is_made_up(write_run, small):
    small.accuracy, small.client_accuracy = (), ()
    run = load_run(write_run(small, finished=False))
    assert "accuracy" not in str(run)
    assert "still running, or killed" in str(run)
    text = Cells(run._repr_html_()).text
    assert "not measured" in text
    assert "loss of the coordinator's model" not in text


def test_reading_weights_imports_no_torch(path):
    import subprocess
    import sys

    with_weights(path, net())
    code = (
        "import sys; from fedchunk.analysis import load_run; "
        f"run = load_run({str(path)!r}); run.weights, run._repr_html_(); "
        "print([name for name in ('torch', 'matplotlib', 'ray') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
