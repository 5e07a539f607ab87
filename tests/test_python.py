"""From Python: the pages of docs/python.md, objects in place of names, several runs in one process, Ray."""

import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import fedchunk

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
SMALL = {
    "dataset_type": "synthetic",
    "synthetic_samples": 120,
    "synthetic_test_samples": 40,
    "number_of_clients": 3,
    "federated_learning_rounds": 3,
    "learning_rate": 0.1,
    "chunking": True,
    "chunking_parts": 20,
    "sensitivity_percentage": 30,
    "mlflow_enabled": False,
    "device": "cpu",
}


class OwnNet(nn.Module):
    def __init__(self, input_shape, num_classes, width=8):
        super().__init__()
        self.first = nn.Linear(int(np.prod(input_shape)), width)
        self.last = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.last(self.first(x.flatten(1)).relu())


def own_score(change_P, layout, power=1.0):
    return np.abs(layout.sums_C(change_P)) ** power


def own_third(num_chunks, round_index):
    return max(1, num_chunks // (2 + round_index)), "fewer each round"


OBJECTS = {"model_type": OwnNet, "chunk_score": own_score, "sensitivity_policy": own_third}
OPTIONS = {"model_options": {"width": 12}, "chunk_score_options": {"power": 1.5}}


@pytest.fixture(autouse=True)
def without_report(monkeypatch):
    """The report takes longer than these runs."""
    monkeypatch.setattr("fedchunk.orchestrator.run._write_report", lambda folder: folder / "report.html")


def run(**settings):
    return fedchunk.run(SMALL, progress=False, **{"local": True, **settings})


def in_a_file(folder):
    """The same objects, as settings that name them in a file."""
    sources = [inspect.getsource(thing) for thing in OBJECTS.values()]
    (folder / "mine.py").write_text("\n\n".join(["import numpy as np\nfrom torch import nn", *sources]))
    return {key: f"./mine.py:{thing.__name__}" for key, thing in OBJECTS.items()}


def snippets():
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_snippets_of_the_page_run_in_their_order(in_folder, capsys):
    names = {"__name__": "page"}
    for code in snippets():
        if not code.startswith("# ray"):
            exec(compile(code, str(PAGE), "exec"), names)
    said = capsys.readouterr().out
    assert "did you mean gradient?" in said
    assert "learning_rate: got -1" in said
    assert (in_folder / "accuracy.png").stat().st_size > 1000


def test_all_tables_are_there_and_a_run_shows_itself(in_folder):
    done = run(metrics=["f1_macro"], evaluate_clients=True)
    for name in ("rounds", "clients", "chunks", "layout", "ledger", "metrics"):
        table = getattr(done, name)
        assert table.equals(done.tables[name])
        assert table.num_rows, name
    assert "finished" in str(done)
    assert "finished" in done._repr_html_()
    assert set(done.metrics["name"].to_pylist()) == {"f1_macro"}
    with pytest.raises(fedchunk.FedchunkError, match=r"accuracy.*bytes"):
        done.figure("accurracy")


def test_the_weights_are_those_of_the_run(in_folder):
    done = run(**OBJECTS, **OPTIONS)
    model = OwnNet((1, 8, 8), 10, 12)
    done.load_into(model)
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values.numpy(), done.weights[name])
    with pytest.raises(fedchunk.FedchunkError, match="first"):
        done.load_into(OwnNet((1, 8, 8), 10, 13))


def test_objects_have_the_bits_of_the_same_code_in_a_file(in_folder):
    objects, named = run(**OBJECTS, **OPTIONS), run(**in_a_file(in_folder), **OPTIONS)
    assert objects.summary["weights_sha256"] == named.summary["weights_sha256"]
    assert objects.chunks.equals(named.chunks)
    assert objects.config["chunk_score"].endswith("test_python:own_score")
    assert objects.config["components"]["chunk_score"]["place"].startswith(f"{Path(__file__)}:")


def test_it_has_the_bits_of_the_command(in_folder):
    from typer.testing import CliRunner

    from fedchunk.orchestrator.cli import app

    values = SMALL | in_a_file(in_folder) | OPTIONS
    (in_folder / "settings.yaml").write_text(json.dumps(values))
    ran = CliRunner().invoke(app, ["run", "settings.yaml", "--local", "--json"])
    assert ran.exit_code == 0, ran.output
    by_command = json.loads(ran.stdout.splitlines()[-1])
    assert by_command["weights_sha256"] == run(**OBJECTS, **OPTIONS).summary["weights_sha256"]


def test_it_runs_twice_in_one_process_with_other_code_of_the_same_name(in_folder):
    def own_score(gradient_C):
        return gradient_C

    def other():
        def own_score(gradient_C):
            return -gradient_C

        return own_score

    first, second, again = (run(chunk_score=score) for score in (own_score, other(), own_score))
    assert first.summary["weights_sha256"] == again.summary["weights_sha256"]
    assert first.summary["weights_sha256"] != second.summary["weights_sha256"]
    named = [one.config["components"]["chunk_score"] for one in (first, second, again)]
    assert named[0] == named[2] != named[1]
    assert first.path != second.path


def test_functions_of_one_source_that_captured_other_values_are_told_apart(in_folder):
    def to_the_power(power):
        def score(change_C):
            return change_C**power

        return score

    first, second = (run(chunk_score=to_the_power(power), random_seed=seed) for seed, power in ((1, 1.0), (2, -1.0)))
    digests = {one.config["components"]["chunk_score"]["sha256"] for one in (first, second)}
    assert len(digests) == 2
    assert len(fedchunk.compare([first, second]).groups) == 2


def test_settings_may_come_from_load_settings_and_cannot_be_changed_then(in_folder):
    settings = fedchunk.load_settings(SMALL, **OBJECTS)
    done = fedchunk.run(settings, local=True, progress=False)
    assert done.status == "finished"
    with pytest.raises(fedchunk.ConfigError, match="cannot be changed"):
        fedchunk.run(settings, local=True, learning_rate=0.2)


def test_a_file_and_settings_beside_it(in_folder):
    (in_folder / "sub").mkdir()
    named = in_a_file(in_folder / "sub")
    (in_folder / "sub" / "settings.yaml").write_text(json.dumps(SMALL | named | OPTIONS))
    done = fedchunk.run("sub/settings.yaml", local=True, progress=False, federated_learning_rounds=2)
    assert (done.status, done.num_rounds) == ("finished", 2)


def test_what_on_round_raises_ends_the_run_and_comes_out(in_folder):
    seen = []

    def stop(row):
        seen.append(row["round"])
        if row["round"] == 2:
            raise RuntimeError("enough of this")

    with pytest.raises(RuntimeError, match="enough of this"):
        run(on_round=stop, output="stopped")
    assert seen == [1, 2]
    kept = fedchunk.load_run("stopped")
    assert (kept.status, kept.num_rounds) == ("failed", 2)
    assert "enough of this" in kept.summary["error"]


def test_ctrl_c_gives_the_run_as_far_as_it_got(in_folder):
    def stop(row):
        raise KeyboardInterrupt

    done = run(on_round=stop)
    assert (done.status, done.num_rounds) == ("interrupted", 1)


def test_a_failing_run_names_the_folder_with_what_had_finished(in_folder):
    def late(change_C, round_index):
        if round_index == 2:
            raise ValueError("not in this round")
        return change_C

    with pytest.raises(fedchunk.FedchunkError, match=r"not in this round(.|\n)*stopped") as caught:
        run(chunk_score=late, output="stopped")
    assert Path(__file__).name in str(caught.value)
    assert fedchunk.load_run("stopped").num_rounds == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"chunk_score": 3}, r"chunk_score.*got 3"),
        ({"chunk_score": max}, r"chunk_score.*wrap it in a function"),
        ({"chunk_score": np.abs}, r"numpy:absolute.*asks for 'x', which is not on offer"),
        ({"chunk_score": lambda nothing: nothing}, r"asks for 'nothing'.*on offer"),
        ({"learning_rate": own_score}, r"learning_rate.*got"),
        ({"metrics": OwnNet}, r"metrics.*a list"),
        ({"sensitivity_percentige": 5}, r"did you mean sensitivity_percentage"),
    ],
)
def test_wrong_objects_are_faults_of_their_setting(in_folder, settings, said):
    with pytest.raises(fedchunk.ConfigError, match=said):
        run(**settings)
    assert not (in_folder / "runs").exists()


def test_what_cannot_travel_is_said(in_folder):
    import threading

    lock = threading.Lock()

    def locked(change_C):
        with lock:
            return change_C

    with pytest.raises(fedchunk.ConfigError, match=r"cannot be sent to other processes.*lock"):
        run(chunk_score=locked)


@pytest.mark.ray
@pytest.mark.slow
def test_a_ray_of_the_users_own_is_used_and_stays_up(in_folder, ray_here):
    before = ray_here.nodes()[0]["NodeID"]
    (page,) = (code for code in snippets() if code.startswith("# ray"))
    bits = {run(local=local, **OBJECTS, **OPTIONS).summary["weights_sha256"] for local in (False, True)}
    assert len(bits) == 1
    names = {"__name__": "page", "fedchunk": fedchunk, "common": SMALL, "TinyNet": OwnNet}
    exec(compile(page, str(PAGE), "exec"), names)
    assert names["run"].status == "finished"
    assert ray_here.is_initialized()
    assert ray_here.nodes()[0]["NodeID"] == before
    assert ray_here.get(ray_here.remote(lambda: 3).remote()) == 3
