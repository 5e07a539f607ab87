"""Every built-in component, and one of a user for each kind, through the whole instrument.

validate, plan, run in process and on Ray (the same bits), records, the run's note, compare. A file that is added to a
kind's folder is in these tests by itself.
"""

import json
import subprocess
import sys
from itertools import cycle, islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from fedchunk.analysis.compare import compare
from fedchunk.analysis.load import load_run
from fedchunk.orchestrator import run as wiring
from fedchunk.orchestrator.components import Components
from fedchunk.orchestrator.registry import KINDS, builtin_names, builtin_signature, constants, help_of
from fedchunk.orchestrator.run import Launch, execute
from fedchunk.orchestrator.settings.loading import load, to_yaml
from fedchunk.orchestrator.tracking.note import note

SMALL = {
    "dataset_type": "synthetic", "synthetic_samples": 96, "synthetic_test_samples": 24, "synthetic_classes": 4,
    "number_of_clients": 4, "federated_learning_rounds": 2, "train_batch_size": 8, "local_steps": 2,
    "learning_rate": 0.05, "mlflow_enabled": False, "device": "cpu", "number_of_actors": 2,
    "chunking": True, "chunking_parts": 20, "sensitivity_percentage": 40, "sensitivity_threshold": 0.001,
    "sensitivity_schedule": [50, 20], "sensitivity_budget_mb": 50,
}  # fmt: skip
HEAVY = ("resnet18", "resnet20", "resnet50", "mobilenet", "vgg16", "vit", "vit_small")
OF_TOKENS = ("huggingface", "lstm", "transformer")
"""Models that answer for each token of a sample: no loss of a classification fits them."""
FROM_FILES = ("mnist", "fmnist", "cifar10", "cifar100")
FROM_OWN_FILES = ("imagefolder", "table", "arrays", "leaf", "text", "huggingface", "natural", "file")
PEER_RULES = ("stale_copies", "relay", "relay_tree")
STAR_RULES = ("contributors", "own_weights", "error_feedback")
NAMES = {
    name: tuple(one for one in builtin_names(kind) if name != "model" or one not in OF_TOKENS)
    for name, kind in KINDS.items()
}

OWN = """
import json
import numpy as np
import torch
from torch import nn
from fedchunk import Dataset, Task


class task(Task):
    LOSS, TARGETS, TARGET_METRIC, ONE_LABEL = "CrossEntropy", "labels", "accuracy", True

    def prepared(self, outputs, targets):
        return outputs / 2, targets


class tokens(nn.Module):
    def __init__(self, num_classes, task):
        super().__init__()
        assert task == "language_model"
        self.layers = nn.Sequential(nn.Embedding(num_classes, 8), nn.Linear(8, num_classes))

    def forward(self, x):
        return self.layers(x)


class model(nn.Module):
    def __init__(self, input_shape, num_classes, width=6):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(input_shape)), width), nn.Tanh(),
                                    nn.Linear(width, num_classes))

    def forward(self, x):
        return self.layers(x)


def dataset(seed, samples=80):
    rng = np.random.default_rng(seed)
    y = np.arange(samples) % 4
    x = (rng.standard_normal((samples, 1, 8, 8)) + y[:, None, None, None]).astype(np.float32)
    return Dataset(x[16:], y[16:], x[:16], y[:16], clients=np.arange(samples - 16) % 4)


class tokenizer:
    def __init__(self, documents, offset=1):
        assert len(documents) == 4
        self.offset, self.token_bytes = offset, [1] * 257

    def encode(self, document):
        return np.frombuffer(document, np.uint8).astype(int) + self.offset


def partition(targets_S, number_of_clients):
    return np.array_split(np.argsort(targets_S, kind="stable"), number_of_clients)


def loss(outputs, targets, gamma=2.0):
    logs = torch.log_softmax(outputs, 1).gather(1, targets[:, None])[:, 0]
    return -((1 - logs.exp()) ** gamma * logs).mean()


def metric(outputs, targets):
    best = outputs.topk(2, dim=1).indices
    return float((best == targets[:, None]).any(1).sum()), len(targets)


def score(change_P, layout, power=1.0):
    return np.abs(layout.sums_C(change_P)) ** power


def policy(scores_C, num_chunks, round_index):
    return max(1, num_chunks // (1 + round_index)), "fewer each round"


class encoding:
    wire_id = 200

    def encode(self, values, sizes_K):
        return values.astype("<f2").tobytes()

    def decode(self, data, sizes_K):
        return np.frombuffer(data, "<f2").astype(np.float32)


def aggregation(values_NK, weights_N):
    return (values_NK.max(0) + values_NK.min(0)) / 2


def server_optimizer(change_P, state, beta=0.5):
    velocity_P = beta * state.get("velocity_P", np.zeros_like(change_P)) + change_P
    return velocity_P, {"velocity_P": velocity_P}


def learning_rate_schedule(round_index, rounds):
    return 1 - 0.5 * round_index / rounds


server_learning_rate_schedule = learning_rate_schedule


def topology(number_of_clients):
    return [(client, client + 1) for client in range(number_of_clients - 1)]


class recorder:
    def __init__(self, folder):
        self.path = folder / "own.json"

    def start(self, info):
        self.rounds = []

    def record_rounds(self, results):
        self.rounds += [result.round_index for result in results]

    def finish(self, summary, spec, model):
        self.path.write_text(json.dumps(self.rounds))
"""
OWN_KINDS = [name for name in KINDS if name != "exchange_rule"]


class Silent:
    def stage(self, name):
        pass

    def clients_done(self, round_index, done, cohort):
        pass

    def round_done(self, result):
        pass


def settings_of(values, folder):
    file = folder / "settings.yaml"
    file.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items()))
    return load(file)


def overrides_for(kind, name):
    """What makes a component the one in force, in settings that are right."""
    values = {KINDS[kind].key: [name] if KINDS[kind].many else name}
    if kind == "topology" and name != "star":
        values |= {"federated_learning_schema": "DecentralizedFederatedLearning", "k_value": 2,
                   "sensitivity_budget_mb": None}  # fmt: skip
    if kind == "exchange_rule" and name in PEER_RULES:
        values |= {
            "federated_learning_schema": "DecentralizedFederatedLearning",
            "federated_learning_topology": "ring",
            "sensitivity_budget_mb": None,
        }
    fit = {"values": "regression", "flags": "multilabel"}
    if kind in ("loss", "metric"):
        suits = constants(KINDS[kind], name).get("TARGETS", ("labels",))
        values |= {} if "labels" in suits else {"task": fit[suits[0]]}
    if name == "language_model" or (kind == "model" and constants(KINDS["model"], name).get("PER_TOKEN")):
        values |= {"task": "language_model"}
    if name == "language_model":
        values |= {"model_type": "./mine.py:tokens"}
    if kind == "model" and name in HEAVY:
        values |= {"synthetic_size": 32, "synthetic_samples": 12, "synthetic_test_samples": 4, "local_steps": 1,
                   "federated_learning_rounds": 1, "number_of_clients": 2}  # fmt: skip
    if kind == "encoding" and constants(KINDS[kind], name).get("LEVELS"):
        values |= {"chunk_reconstruction": "error_feedback"}
    return values


def adjacency(folder):
    (folder / "ring.csv").write_text("0,1,0,1\n1,0,1,0\n0,1,0,1\n1,0,1,0\n")
    return {"adjacency_matrix_file_name": str(folder / "ring.csv")}


def planned(settings):
    from fedchunk.orchestrator.commands.plan import make_plan
    from fedchunk.orchestrator.learning.build import model_spec
    from fedchunk.orchestrator.learning.data.facts import data_facts

    facts = data_facts(settings)
    return make_plan(settings, model_spec(settings, facts.input_shape, facts.num_classes), facts, actors=2)


def ran(settings, output, local):
    ended = execute(settings, Launch(output=output, local=local), Silent())
    assert ended.summary.status == "finished", ended.summary.error
    return ended.summary


def noted(settings):
    """The run's description in MLflow."""
    data = SimpleNamespace(name="some data", train_samples=10, test_samples=5)
    spec, layout = SimpleNamespace(num_parameters=100, home=None, num_frozen=0), SimpleNamespace(num_rows=20)
    info = SimpleNamespace(
        spec=spec, layout=layout, data=data, samples_per_client=(5, 5), backend="local", device="cpu",
        number_of_actors=1,
    )  # fmt: skip
    return note(settings.flat(), info)


def within_plan(run, plan):
    rows = run.rounds.to_pylist()
    assert sum(row["uplink_bytes"] for row in rows) <= plan.uplink.high
    assert sum(row["downlink_bytes"] for row in rows) <= plan.downlink.high


def own_files(name, folder):
    """Settings that read a few samples from files of a user, which are written here."""
    rng = np.random.default_rng(0)
    y = np.arange(96) % 4
    x = (rng.integers(0, 40, (96, 1, 8, 8)) + 50 * y[:, None, None, None]).astype(np.uint8)
    values = {"dataset_type": name, "data_dir": str(folder)}
    if name == "imagefolder":
        for place, label in enumerate(y):
            path = folder / "pictures" / f"class {label}" / f"{place:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(x[place, 0]).save(path)
        return values | {"dataset_options": {"folder": "pictures", "cache_dir": str(folder / "cache")}}
    if name == "table":
        lines = [
            f"{row[0, 0, 0]},{row[0, 1, 1] / 7},{'ab'[label % 2]},{label}" for row, label in zip(x, y, strict=True)
        ]
        (folder / "rows.csv").write_text("\n".join(["first,second,third,label", *lines]))
        return values | {"dataset_options": {"file": "rows.csv", "target_column": "label"}}
    if name == "arrays":
        np.savez(folder / "all.npz", train_x=x, train_y=y, test_x=x[:8], test_y=y[:8])
        return values | {"dataset_options": {"file": "all.npz"}}
    if name == "huggingface":
        import datasets  # takes seconds

        features = datasets.Features({"x": datasets.Array3D((1, 8, 8), "uint8"), "label": datasets.Value("int64")})
        rows = {"x": list(x), "label": y.tolist()}
        datasets.Dataset.from_dict(rows, features=features).save_to_disk(folder / "saved")
        options = {"folder": "saved", "target_column": "label", "cache_dir": str(folder / "cache")}
        return values | {"dataset_options": options}
    if name == "text":
        for place in range(4):
            path = folder / "text" / f"{place}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(bytes(rng.integers(97, 123, 400).astype(np.uint8)))
        of_tokens = {"task": "language_model", "model_type": "lstm", "model_options": {"width": 8, "depth": 1}}
        return values | of_tokens | {"dataset_options": {"length": 16}}
    if name == "file":
        (folder / "split.csv").write_text("client,sample\n" + "".join(f"{place % 4},{place}\n" for place in range(96)))
        options = {"partition_file": "split.csv"}
        return {"data_distribution_kind": name, "partition_options": options, "data_dir": str(folder)}
    data = {f"user {user}": {"x": x[user::4].reshape(24, -1).tolist(), "y": y[user::4].tolist()} for user in range(4)}
    content = {"users": list(data), "num_samples": [24] * 4, "user_data": data}
    (folder / "leaf.json").write_text(json.dumps(content))
    values |= {"dataset_type": "leaf", "dataset_options": {"train": "leaf.json", "test": "leaf.json"}}
    return values | ({"data_distribution_kind": name} if name == "natural" else {})


BUILT_IN = [(kind, name) for kind, names in NAMES.items() for name in names]


@pytest.mark.parametrize(("kind", "name"), BUILT_IN, ids=[f"{kind}-{name}" for kind, name in BUILT_IN])
def test_a_built_in_component(kind, name, tmp_path, monkeypatch):
    monkeypatch.setattr(wiring, "_write_report", lambda folder: folder / "report.html")  # seconds, and not of its kind
    if kind == "dataset" and name in FROM_FILES:
        pytest.skip("its files are not here by themselves; tests/orchestrator/learning reads them from files it makes")
    values = SMALL | adjacency(tmp_path) | overrides_for(kind, name)
    values |= own_files(name, tmp_path) if name in FROM_OWN_FILES else {}
    (tmp_path / "mine.py").write_text(OWN)
    settings = settings_of(values, tmp_path).settings
    assert help_of(KINDS[kind], name), "the first line of its docstring is its line of help"
    assert not builtin_signature(KINDS[kind], name).takes_any
    plan = planned(settings)
    assert "**2 clients**" in noted(settings)
    summary = ran(settings, tmp_path / "run", local=True)
    run = load_run(tmp_path / "run")
    assert run.summary["weights_sha256"] == summary.weights_sha256
    assert run.config["components"].keys() == ({"model_type"} if name == "language_model" else set())
    within_plan(run, plan)


@pytest.mark.parametrize("kind", OWN_KINDS)
def test_a_component_of_a_user(kind, tmp_path):
    (tmp_path / "mine.py").write_text(OWN)
    name = f"./mine.py:{kind}"
    values = SMALL | overrides_for(kind, name) | (own_files("text", tmp_path) if kind == "tokenizer" else {})
    settings = settings_of(values, tmp_path).settings
    plan = planned(settings)
    if kind in ("model", "policy", "aggregation", "server_optimizer", "topology", "encoding"):
        assert name in noted(settings)
    (tmp_path / "mine.py").unlink()  # only what was loaded counts from here on
    ran(settings, tmp_path / "run", local=True)
    run = load_run(tmp_path / "run")
    key = KINDS[kind].key + (f".{name}" if KINDS[kind].many else "")
    assert run.config["components"][key]["name"] == name
    assert run.config["components"][key]["place"].startswith(str(tmp_path / "mine.py"))
    assert len(run.config["components"][key]["sha256"]) == 64
    if kind != "encoding":  # of an encoding of one's own the plan can only estimate
        within_plan(run, plan)
    again = load(tmp_path / "run" / "config.yaml")  # from the sources that lie in the run's folder
    assert again.settings.flat().keys() == settings.flat().keys()
    other = ran(again.settings, tmp_path / "again", local=True)
    assert other.weights_sha256 == run.summary["weights_sha256"]
    assert len(compare([tmp_path / "run", tmp_path / "again"], None).to_dict()) > 0


SPLITS = [name for name in NAMES["partition"] if name not in FROM_OWN_FILES]
LIGHT_MODELS = [
    name for name in NAMES["model"] if name not in HEAVY and not constants(KINDS["model"], name).get("PER_TOKEN")
]


def of_labels(kind):
    return [name for name in NAMES[kind] if "labels" in constants(KINDS[kind], name).get("TARGETS", ("labels",))]


def combinations():
    """Settings in which every light built-in component is in force at least once, many at a time."""
    turning = {
        "model": LIGHT_MODELS, "partition": SPLITS,
        "loss": of_labels("loss"), "score": NAMES["score"], "policy": NAMES["policy"], "encoding": NAMES["encoding"],
        "exchange_rule": STAR_RULES, "aggregation": NAMES["aggregation"], "metric": of_labels("metric"),
        "server_optimizer": NAMES["server_optimizer"], "learning_rate_schedule": NAMES["learning_rate_schedule"],
        "server_learning_rate_schedule": NAMES["server_learning_rate_schedule"], "recorder": NAMES["recorder"],
    }  # fmt: skip
    most = max(map(len, turning.values()))
    for names in zip(*(islice(cycle(names), most) for names in turning.values()), strict=True):
        values = {}
        for kind, name in zip(turning, names, strict=True):
            values[KINDS[kind].key] = [name] if KINDS[kind].many else name
        if values["chunk_encoding"].startswith("int"):
            values["chunk_reconstruction"] = "error_feedback"
        yield values
    for task in ("regression", "multilabel"):
        yield {"task": task, "chunk_reconstruction": "error_feedback"}
    for rule, topology in zip(
        ("contributors", "own_weights", "stale_copies", "contributors"), NAMES["topology"][:4], strict=False
    ):
        if topology != "star":
            yield overrides_for("topology", topology) | {"chunk_reconstruction": rule}
    yield {"chunk_layout": "tensors", "local_parameters": ["5.*"], "evaluate_clients": True,
           "chunk_reconstruction": "error_feedback", "client_sampling_rate": 0.8}  # fmt: skip
    for rule in ("relay", "relay_tree"):
        yield overrides_for("topology", "ring") | {"chunk_reconstruction": rule}


COMBINATIONS = list(combinations())


@pytest.mark.ray
@pytest.mark.parametrize("values", COMBINATIONS, ids=range(len(COMBINATIONS)))
def test_on_ray_the_bits_are_those_of_one_process(values, tmp_path, ray_here, monkeypatch):
    monkeypatch.setattr(wiring, "_write_report", lambda folder: folder / "report.html")
    settings = settings_of(SMALL | adjacency(tmp_path) | values, tmp_path).settings
    here = ran(settings, tmp_path / "here", local=True)
    there = ran(settings, tmp_path / "there", local=False)
    assert there.weights_sha256 == here.weights_sha256
    assert there.uplink_bytes == here.uplink_bytes


@pytest.mark.ray
def test_a_file_that_only_the_driver_has_works_on_ray(tmp_path, ray_here):
    (tmp_path / "mine.py").write_text(OWN)
    star = [kind for kind in OWN_KINDS if kind != "topology"]
    values = {KINDS[kind].key: [f"./mine.py:{kind}"] if KINDS[kind].many else f"./mine.py:{kind}" for kind in star}
    settings = settings_of(SMALL | values, tmp_path).settings
    (tmp_path / "mine.py").unlink()
    here = ran(settings, tmp_path / "here", local=True)
    there = ran(settings, tmp_path / "there", local=False)
    assert there.weights_sha256 == here.weights_sha256
    assert json.loads((tmp_path / "there" / "own.json").read_text()) == [1, 2]
    assert load_run(tmp_path / "there").metrics.num_rows == 2


def test_validate_of_settings_without_own_components_imports_nothing_heavy(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in SMALL.items()))
    code = (
        "import sys; from fedchunk.orchestrator.settings.loading import load; "
        f"load({str(file)!r}); print({{'numpy', 'torch', 'ray', 'cloudpickle', 'mlflow'}} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60).strip() == "set()"


def test_settings_that_name_a_place_without_its_code_never_run_something_else(tmp_path):
    from fedchunk.orchestrator.core.errors import ComponentFailed

    (tmp_path / "mine.py").write_text(OWN)
    settings = settings_of(SMALL | {"model_type": "./mine.py:model"}, tmp_path).settings
    bare = settings.model_copy(update={"components": Components()})
    with pytest.raises(ComponentFailed, match=r"mine.py:model.*did not come with the settings"):
        ran(bare, tmp_path / "run", local=True)
    assert "mine.py:model" in to_yaml(bare)
    assert Path(tmp_path / "run").exists()
