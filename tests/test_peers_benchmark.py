"""benchmarks/peers.py without its peers: the export, the loop that all are measured by, and what is made of times."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from fedchunk.actors.backends.local import LocalFederation
from fedchunk.orchestrator.settings import loading

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path[:0] = [str(BENCHMARKS), str(BENCHMARKS / "peers_side")]
contenders = importlib.import_module("peer_contenders")
environments = importlib.import_module("peer_environments")
peers = importlib.import_module("peers")
report = importlib.import_module("peer_report")
results = importlib.import_module("peer_results")
runs = importlib.import_module("peer_runs")
side = importlib.import_module("side")
targets = importlib.import_module("peer_targets")
workloads = importlib.import_module("peer_workloads")

EVERYBODY = contenders.contenders(2, (2, 1))
LOOP = next(contender for contender in EVERYBODY if contender.name == "loop")


class Silent:
    def stage(self, name):
        pass

    def clients_done(self, round_index, done, cohort):
        pass


def tiny(model_type, channels):
    settings = {"model_type": model_type, "synthetic_channels": channels, "synthetic_size": 8, "learning_rate": 0.1}
    return workloads.Workload("tiny", "Tiny", settings, clients=6, samples=15, cohort=3, rounds=6)


def ours(folder, rounds):
    """Final weights of fedchunk itself on the exported settings."""
    asked = [f"federated_learning_rounds={rounds}"]
    settings = loading.load(folder / "settings.yaml", asked).settings
    with LocalFederation(settings, Silent()) as federation:
        for round_index in range(1, rounds + 1):
            federation.run_round(round_index, Silent())
        return federation.final_model().weights_P


@pytest.mark.parametrize(("model_type", "channels"), [("mlp", 1), ("cnn", 3), ("logistic", 2)])
def test_the_plain_loop_on_the_export_ends_where_fedchunk_does(tmp_path, model_type, channels):
    num_parameters = workloads.export(tiny(model_type, channels), 3, tmp_path)
    initial_P = np.load(tmp_path / "initial_P.npy")
    done = runs.run(LOOP, tmp_path, tmp_path, 3, watch=True)
    assert num_parameters == len(initial_P) == len(done.weights_P)
    assert results.disagreement(*results.compare(ours(tmp_path, 3), done.weights_P, initial_P)) is None
    assert len(done.rounds_s) == 2
    assert all(0 < training < done.first_s + sum(done.rounds_s) for training in done.train_s)
    assert done.peak_mb > 10
    assert set(done.versions) == {"torch", "numpy"}


def test_another_learning_rate_is_found_out(tmp_path):
    workloads.export(tiny("mlp", 1), 3, tmp_path)
    facts = json.loads((tmp_path / "facts.json").read_text())
    (tmp_path / "facts.json").write_text(json.dumps(facts | {"learning_rate": 0.101}))
    done = runs.run(LOOP, tmp_path, tmp_path, 3, watch=False)
    initial_P = np.load(tmp_path / "initial_P.npy")
    assert "differ" in results.disagreement(*results.compare(done.weights_P, ours(tmp_path, 3), initial_P))


def test_the_export_holds_each_client_s_own_samples_batch_by_batch(tmp_path):
    workloads.export(tiny("mlp", 1), 4, tmp_path)
    work = side.Work.load(tmp_path)
    assert work.x_NS.shape == (6, 15, 1, 8, 8)
    assert abs(float(work.x_NS.mean())) < 1e-3
    assert float(work.x_NS.std()) == pytest.approx(1, abs=1e-3)
    assert len({sample.tobytes() for sample in work.x_NS.reshape(90, -1)}) == 90
    for round_index in range(1, 5):
        assert len(set(work.cohort(round_index))) == 3
        batches = list(work.batches(round_index, 2))
        assert [len(batch) for batch in batches] == [10, 5]
        assert sorted(np.concatenate(batches)) == list(range(15))


def test_workloads_are_those_that_the_page_names():
    sizes = {w.name: (w.clients, w.samples, w.cohort) for w in workloads.WORKLOADS}
    assert sizes == {
        "mlp": (1000, 20, 100), "cnn": (1000, 50, 50), "cnn-again": (100, 50, 50), "logistic": (1000, 60, 10),
        "mlp-peers": (20, 20, 20), "cnn-peers": (20, 50, 20),
    }  # fmt: skip
    assert all(w.rounds >= results.LEAST_ROUNDS for w in workloads.WORKLOADS)
    assert {w.quick(10).cohort for w in workloads.WORKLOADS} == {10}
    assert all(w.quick(10).clients == 10 for w in workloads.WORKLOADS if w.has_peers)
    assert {target.workload for target in targets.TARGETS} == set(sizes)


def test_a_contender_that_fails_says_why(tmp_path):
    with pytest.raises(runs.ContenderFailed, match=r"it ended with 1; what it said: .*/loop\.log"):
        runs.run(LOOP, tmp_path, tmp_path, 3, watch=False)
    assert "facts.json" in (tmp_path / "loop.log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("failures", [1, 2])
def test_who_ends_with_an_error_is_asked_once_more(tmp_path, monkeypatch, failures):
    left = iter([runs.ContenderFailed("gloo")] * failures + ["done"])

    def run(*_, **__):
        if isinstance(answer := next(left), Exception):
            raise answer
        return answer

    monkeypatch.setattr(peers, "run", run)
    if failures == 1:
        assert peers._run(LOOP, tmp_path, 3, watch=False) == "done"
    else:
        with pytest.raises(runs.ContenderFailed, match="gloo"):
            peers._run(LOOP, tmp_path, 3, watch=False)


def test_an_environment_is_made_once_and_again_when_requirements_change(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "REQUIREMENTS", {"empty": ()})
    environments.ensure(tmp_path, "empty")
    python = environments.python_of(tmp_path, "empty")
    assert python.exists()
    (tmp_path / "empty" / "left").touch()
    environments.ensure(tmp_path, "empty")
    assert (tmp_path / "empty" / "left").exists()
    (tmp_path / "empty" / "requirements.txt").write_text("something==1.0")
    environments.ensure(tmp_path, "empty")
    assert not (tmp_path / "empty" / "left").exists()
    assert python.exists()


def test_contenders_are_chosen_by_name_or_family_and_the_loop_is_always_there():
    def names(*wanted):
        return [contender.name for contender in contenders.chosen(EVERYBODY, wanted)]

    assert names("pfl") == ["loop", "pfl-1", "pfl"]
    ours = ["fedchunk", "fedchunk-chunks", "fedchunk-feedback", "fedchunk-relay"]
    assert names("fedchunk") == [*ours, "fedchunk-1", "loop"]
    assert names("flower-lean") == ["loop", "flower-lean"]
    with pytest.raises(ValueError, match="got fedml; allowed: fedchunk, "):
        names("fedml")


def test_peers_run_where_all_take_part_and_others_only_what_is_not_ours_alone():
    runs_of = {w.name: [taker.name for taker in peers.takers_of(w, EVERYBODY)] for w in workloads.WORKLOADS}
    assert {name for name, takers in runs_of.items() if "fedchunk-relay" in takers} == {"mlp-peers", "cnn-peers"}
    assert {name for name, takers in runs_of.items() if "flower" not in takers} == {
        "cnn-again", "mlp-peers", "cnn-peers"
    }  # fmt: skip


def test_every_contender_has_a_script_and_a_known_environment():
    assert len({contender.name for contender in EVERYBODY}) == len(EVERYBODY)
    for contender in EVERYBODY:
        assert (runs.SIDE / contender.script).exists()
        assert contender.environment is None or contender.environment in environments.REQUIREMENTS


def test_weights_are_compared_by_their_norm_and_by_the_way_they_went():
    reference_P = np.array([3.0, 4.0], np.float32)
    initial_P = np.array([3.0, 3.5], np.float32)
    difference, deviation = results.compare(np.array([3.0, 4.05], np.float32), reference_P, initial_P)
    assert difference == pytest.approx(0.05 / 5, rel=1e-5)
    assert deviation == pytest.approx(0.05 / 0.5, rel=1e-5)


@pytest.mark.parametrize(
    ("difference", "deviation", "word"),
    [(9e-6, 9e-4, None), (2e-5, 0.0, "norm"), (0.0, 2e-3, "way"), (float("nan"), float("nan"), "norm")],
)
def test_weights_agree_up_to_rounding_only(difference, deviation, word):
    found = results.disagreement(difference, deviation)
    assert found is None if word is None else word in found


def timed(name, repetition, rounds_s, train_s=()):
    return results.Timed(name, repetition, load=0.5, first_s=10.0 * repetition, rounds_s=rounds_s, train_s=train_s)


def test_the_first_three_rounds_and_the_last_do_not_count():
    run = timed("loop", 1, (102.0, 103.0, 4.0, 5.0, 6.0, 107.0), (91.0, 92.0, 93.0, 3.0, 4.0, 5.0, 99.0))
    assert results.steady(run) == (4.0, 5.0, 6.0)
    assert results.Results([run]).training("loop") == 4.0


def test_ratios_are_taken_within_a_repetition():
    found = results.Results(
        [
            timed("fedchunk", 1, (9.0, 9.0, 1.0, 1.0, 9.0)),
            timed("pfl", 1, (9.0, 9.0, 2.0, 2.0, 9.0)),
            timed("fedchunk", 2, (9.0, 9.0, 10.0, 30.0, 9.0)),
            timed("pfl", 2, (9.0, 9.0, 60.0, 60.0, 9.0)),
        ]
    )
    assert found.ratio("pfl", "fedchunk") == results.Spread(2.5, 2.0, 3.0)
    assert found.rounds("pfl") == results.Spread(31.0, 2.0, 60.0)
    assert found.first("pfl") == results.Spread(15.0, 10.0, 20.0)
    assert found.fastest(["pfl", "fedchunk", "flower"]) == "fedchunk"
    assert found.fastest(["flower"]) is None


def mlp(**rounds_s):
    return results.Results([timed(name.replace("_", "-"), 1, (9, 9, seconds, 9)) for name, seconds in rounds_s.items()])


@pytest.mark.parametrize(
    ("fedjax", "fedjax_1", "verdict"), [(0.9, 2.0, "**missed**"), (1.2, 1.1, "reached"), (1.6, 1.5, "aim reached")]
)
def test_the_faster_way_of_a_peer_counts(fedjax, fedjax_1, verdict):
    target = next(target for target in targets.TARGETS if "fedjax" in target.what)
    assert target.verdict(target.measure(mlp(fedchunk=1.0, fedjax=fedjax, fedjax_1=fedjax_1), 2).median) == verdict
    assert target.measure(mlp(fedjax=fedjax), 2) is None


def test_the_cnn_is_measured_by_the_loop_s_training_shared_among_the_actors():
    target = next(target for target in targets.TARGETS if target.workload == "cnn" and "loop" in target.what)
    found = results.Results(
        [
            timed("fedchunk", 1, (9, 9, 2.2, 9)),
            timed("loop", 1, (9, 9, 5.0, 9), (9.0, 9.0, 9.0, 4.0, 9.0)),
            timed("fedchunk", 2, (9, 9, 2.4, 9)),
            timed("loop", 2, (9, 9, 9.0, 9), (9.0, 9.0, 9.0, 3.0, 9.0)),
            timed("fedchunk", 3, (9, 9, 2.4, 9)),
            timed("loop", 3, (9, 9, 9.0, 9), (9.0, 9.0, 9.0, 4.0, 9.0)),
        ]
    )
    assert target.measure(found, 2) == results.Spread(*map(pytest.approx, (1.2, 1.1, 1.6)))
    assert target.verdict(1.1) == "reached"
    assert target.verdict(1.05) == "aim reached"
    assert target.verdict(1.16) == "**missed**"


def section(checks, timed_runs):
    return {
        "title": "A workload",
        "description": "What it is.",
        "actors": 2,
        "machine": "a machine",
        "labels": {contender.name: contender.label for contender in EVERYBODY},
        "checks": checks,
        "runs": timed_runs,
    }


def raw_run(name, seconds):
    return {
        "contender": name, "repetition": 1, "load": 0.5, "first_s": 3.0, "rounds_s": [9, 9, seconds, 9],
        "train_s": [9, 9, 9, 0.05, 9],
    }  # fmt: skip


def test_the_page_gives_no_ratio_for_whoever_disagrees():
    sound = {"difference": 1e-9, "deviation": 1e-8, "peak_mb": 500.0, "versions": {"torch": "2.0"}, "fault": None}
    checks = [{"contender": name, **sound} for name in ("fedchunk", "loop")]
    checks.append({"contender": "pfl", **sound, "fault": "final weights differ"})
    text = report.page({"workloads": {"mlp": section(checks, [raw_run("fedchunk", 0.01), raw_run("loop", 0.1)])}})
    assert (
        "| plain PyTorch loop, one thread | 100 (100 to 100) | 3.00 (3.00 to 3.00) | 10.0 (10.0 to 10.0) times" in text
    )
    assert "No time counts of pfl-research, 2 processes: final weights differ" in text
    assert "| mlp | times as fast as pfl-research on all cores | at least 2.5 | 4 | not measured | |" in text
    assert "divided by 2: 25 ms" in text
    assert "torch 2.0" in text


def test_short_chunks_are_as_many_as_have_64_values(tmp_path):
    np.save(tmp_path / "initial_P.npy", np.zeros(55_210, np.float32))
    assert runs._filled_in("chunking_parts={short_chunks}", tmp_path) == "chunking_parts=862"
    assert runs._filled_in("chunking=true", tmp_path / "nowhere") == "chunking=true"
