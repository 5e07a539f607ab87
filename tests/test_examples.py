"""The examples, a component of each kind: each runs, and what goes wrong in one is said with its file and line."""

import ast
import csv
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import fedchunk
from fedchunk.orchestrator import registry
from fedchunk.orchestrator.registry import KINDS
from fedchunk.orchestrator.settings.loading import load

PROJECT = Path(__file__).parents[1]
EXAMPLES = PROJECT / "examples"
PAGE = PROJECT / "docs" / "extending.md"
FILES = {kind: f"{kind}.py" for kind in KINDS} | {"server_learning_rate_schedule": "learning_rate_schedule.py"}
"""The example of each kind."""
RECIPES = {"bible_by_book.py", "diabetes_by_age.py"}
"""What makes the data of a worked example; each has a test of its own."""
LAB = "/home/me/lab"
"""How the page calls the folder that its messages were got in."""

SMALL = {
    "dataset_type": "synthetic",
    "synthetic_samples": 120,
    "synthetic_test_samples": 40,
    "number_of_clients": 4,
    "federated_learning_rounds": 2,
    "learning_rate": 0.1,
    "train_batch_size": 16,
    "chunking": True,
    "chunking_parts": 30,
    "sensitivity_percentage": 50,
    "mlflow_enabled": False,
    "device": "cpu",
}
PEERS = {"federated_learning_schema": "DecentralizedFederatedLearning"}


def written(file):
    """The settings that the docstring of an example says."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    return yaml.safe_load("\n".join(line for line in text.splitlines() if re.match(r"[a-z_]+: ", line)))


def settings_file(folder, **settings):
    """A settings file in ``folder``."""
    file = folder / "case.yaml"
    file.write_text(json.dumps(SMALL | settings))
    return file


def run(file, **settings):
    return fedchunk.run(file, local=True, progress=False, **settings)


@pytest.fixture(autouse=True)
def without_report(monkeypatch):
    """The report takes longer than these runs."""
    monkeypatch.setattr("fedchunk.orchestrator.run._write_report", lambda folder: folder / "report.html")


@pytest.fixture
def examples(in_folder):
    """A copy of the examples, which is not the current folder."""
    return Path(shutil.copytree(EXAMPLES, in_folder / "examples"))


def test_every_kind_has_an_example_of_few_lines():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(FILES.values()) | RECIPES
    listed = re.findall(r"\| \[(\w+\.py)\]\(\1\)", (EXAMPLES / "README.md").read_text())
    assert sorted(listed) == sorted(set(FILES.values()))
    short = 0
    for name in set(FILES.values()):
        text = (EXAMPLES / name).read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 30, name
        (tree, lines) = ast.parse(text), text.splitlines()
        documented = [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef))]
        told = sum(node.body[0].end_lineno - node.body[0].lineno + 1 for node in documented if ast.get_docstring(node))
        short += len([line for line in lines if line.strip()]) - told <= 15
    assert short >= len(set(FILES.values())) - 2


EFFECTS = {}
"""What is seen of an example in its run, by kind."""


def seen_by(kind):
    def keep(check):
        EFFECTS[kind] = check
        return check

    return keep


@seen_by("model")
def _(done):
    assert done.layout["stop"][-1].as_py() == 64 * 24 + 24 + 24 * 24 + 24 + 24 * 10 + 10


@seen_by("dataset")
def _(done):
    assert sum(done.clients["samples"].to_pylist()[:4]) == 178 - round(0.25 * 178)


@seen_by("tokenizer")
def _(done):
    per_token = 8 + 16 + 1  # of the embedding and of the last layer with its bias
    assert done.layout["stop"][-1].as_py() == (256 + 100) * per_token + 4 * 16 * (8 + 16 + 2)
    assert 0 < done.summary["target"] < 9


@seen_by("partition")
def _(done):
    assert done.clients.num_rows == 2 * 3
    assert min(done.clients["samples"].to_pylist()) >= 2 * 30


@seen_by("task")
def _(done):
    assert done.layout["stop"][-1].as_py() == 64 * 200 + 200 + 200 * 200 + 200 + 200 * 9 + 9  # a step between grades
    assert set(done.metrics["name"].to_pylist()) == {"f1_micro"}
    assert done.rounds["target"].null_count == 0


@seen_by("loss")
def _(done):
    assert done.rounds["train_loss"][0].as_py() < 0.9 * np.log(10)  # of cross entropy it would be more


@seen_by("metric")
def _(done):
    rows = {row["name"]: row["value"] for row in done.metrics.to_pylist() if row["round"] == 2}
    assert set(rows) == {"f1_macro", "top2"}
    assert done.rounds["accuracy"][-1].as_py() <= rows["top2"] <= 1


@seen_by("score")
def _(done):
    assert len(set(done.chunks["score"].to_pylist())) > 100


@seen_by("policy")
def _(done):
    assert set(done.clients["chunks_sent"].to_pylist()) == {10}
    assert set(done.clients["sensitivity_reason"].to_pylist()) == {"a third, halved every 10 rounds"}


@seen_by("encoding")
def _(done):
    assert done.summary["uplink_bytes"] < 0.05 * done.summary["dense_uplink_bytes"]


@seen_by("exchange_rule")
def _(done):
    assert done.rounds["client_accuracy_mean"][-1].as_py() is not None


@seen_by("aggregation")
def _(done):
    assert done.summary["accuracy"] is not None


@seen_by("server_optimizer")
def _(done):
    assert done.summary["accuracy"] is not None


@seen_by("learning_rate_schedule")
@seen_by("server_learning_rate_schedule")
def _(done):
    assert done.num_rounds == 2


@seen_by("topology")
def _(done):
    links = {
        (row["sender"], row["receiver"]) for row in done.ledger.to_pylist() if row["sender"] >= 0 <= row["receiver"]
    }
    assert links == {(0, 1), (1, 0), (0, 2), (2, 0), (0, 3), (3, 0)}


@seen_by("recorder")
def _(done):
    with (done.path / "progress.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert [int(row[0]) for row in rows] == [1, 2]
    assert [float(row[1]) for row in rows] == done.rounds["accuracy"].to_pylist()


def example_settings(kind):
    found = written(EXAMPLES / FILES[kind])
    if kind == "server_learning_rate_schedule":  # the same file serves both
        found = {key.replace("learning_rate", "server_learning_rate", 1): value for key, value in found.items()}
    return SMALL | found


@pytest.mark.parametrize("kind", KINDS)
def test_each_runs_as_its_file_says_and_is_recorded(examples, kind):
    key = KINDS[kind].key
    file = settings_file(examples, **example_settings(kind))
    load(file)
    done = run(file)
    assert (done.status, done.num_rounds) == ("finished", 2)
    assert set(done.clients["status"].to_pylist()) == {"ok"}
    EFFECTS[kind](done)
    name = next(word for word in np.atleast_1d(done.config[key]) if str(word).startswith("./"))
    about = done.config["components"][f"{key}.{name}" if KINDS[kind].many else key]
    assert about["name"] == name
    assert about["place"].startswith(f"{examples / FILES[kind]}:")
    kept = done.path / "components" / about["sha256"][:8] / FILES[kind]
    assert kept.read_text() == (EXAMPLES / FILES[kind]).read_text()


@pytest.mark.parametrize("kind", ["learning_rate_schedule", "server_learning_rate_schedule"])
def test_a_schedule_changes_what_is_learned(examples, kind):
    with_it = run(settings_file(examples, **example_settings(kind)))
    without = run(settings_file(examples))
    assert with_it.summary["weights_sha256"] != without.summary["weights_sha256"]


def test_the_score_written_anew_gives_the_bits_of_the_built_in(examples):
    built_in = run(settings_file(examples, chunk_score="gradient"))
    anew = run(settings_file(examples, chunk_score="./score.py:gradient"))
    by_hand = run(settings_file(examples, chunk_score="./score.py:gradient_by_hand"))
    for other in (anew, by_hand):
        assert other.summary["weights_sha256"] == built_in.summary["weights_sha256"]
        assert other.chunks.drop(["score"]).equals(built_in.chunks.drop(["score"]))
    assert anew.chunks.equals(built_in.chunks)
    np.testing.assert_allclose(by_hand.chunks["score"], built_in.chunks["score"], rtol=2e-6)


def test_the_sign_encoding_reads_back_what_it_wrote():
    sign = example("encoding", "Sign")()
    values, sizes_K = np.array([3, -1, 2, -2, 0, -6, 0.5], np.float32), np.array([4, 3])
    encoded = sign.encode(values, sizes_K)
    assert len(encoded) == 2 * 4 + 1
    np.testing.assert_allclose(sign.decode(encoded, sizes_K), [2, -2, 2, -2, 6.5 / 3, -6.5 / 3, 6.5 / 3], rtol=1e-6)
    assert len(sign.decode(sign.encode(values[:0], sizes_K[:0]), sizes_K[:0])) == 0


def test_the_focal_loss_is_cross_entropy_at_gamma_0_and_less_of_what_is_right():
    focal, torch_entropy = example("loss", "focal"), torch.nn.functional.cross_entropy
    outputs, targets = torch.tensor([[4.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    torch.testing.assert_close(focal(outputs, targets, 0.0), torch_entropy(outputs, targets))
    chances = outputs.softmax(1)[:, 0]
    torch.testing.assert_close(focal(outputs, targets, 2.0), (-((1 - chances) ** 2) * chances.log()).mean())


def test_the_clipped_mean_stands_a_client_that_lies_and_is_the_mean_of_clients_alike():
    clipped_mean = example("aggregation", "clipped_mean")
    honest = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    np.testing.assert_allclose(clipped_mean(honest, np.ones(8), 10.0), honest.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(clipped_mean(honest[:1], np.ones(1)), honest[0])
    lied = np.vstack([honest, np.full((1, 5), 1e6, np.float32)])
    assert np.abs(clipped_mean(lied, np.ones(9)) - honest.mean(axis=0)).max() < 1.5


def test_lion_steps_equally_far_where_something_was_sent():
    layout = fedchunk.Layout(6, 3)
    change_P, sent_C = np.array([1, -9, 0, 0, 0.5, 0.1], np.float32), np.array([True, False, True])
    step_P, state = example("server_optimizer", "lion")(change_P, sent_C, {}, layout)
    assert step_P.tolist() == [1, -1, 0, 0, 1, 1]
    step_P, _ = example("server_optimizer", "lion")(0 * change_P, np.array([False, True, True]), state, layout)
    assert step_P.tolist() == [0, 0, 0, 0, 1, 1]


def test_warm_up_rises_and_falls_between_0_and_1():
    warm_up = example("learning_rate_schedule", "warm_up")
    factors = [warm_up(round_index, 10, 4) for round_index in range(1, 11)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert sorted(factors[3:], reverse=True) == factors[3:]
    assert factors[-1] == pytest.approx(0)
    assert warm_up(1, 1) == 0.2


def test_a_peer_part_way_along_goes_where_metropolis_weights_say():
    part_way = example("exchange_rule", "PartWay")
    settings = SMALL | AROUND["exchange_rule"] | {"sensitivity_percentage": 100, "chunk_reconstruction": part_way}
    assert fedchunk.load_settings(settings).chunking.chunk_reconstruction.endswith(":PartWay")


def example(kind, name):
    """What stands in the file of a kind."""
    names = {"__name__": f"example_{kind}"}
    file = EXAMPLES / FILES[kind]
    exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), names)
    return names[name]


# The settings that use most of them together, by the command, from another folder.


def command(folder, *arguments):
    program = Path(sys.executable).with_name("fedchunk")
    ran = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.slow
def test_the_settings_go_through_all_commands_from_another_folder(in_folder):
    file = EXAMPLES / "settings.yaml"
    (said,) = command(in_folder, "validate", file).splitlines()
    assert said.startswith(f"{file}: valid ("), "no notices"
    planned = json.loads(command(in_folder, "plan", file, "--json").splitlines()[-1])
    ran = command(in_folder, "run", file, "--local", "--output", "ran", "--json")
    summary = json.loads(ran.splitlines()[-1])
    done = fedchunk.load_run(in_folder / "ran")
    assert summary["status"] == done.status == "finished"
    assert summary["accuracy"] > 0.8
    assert (in_folder / "ran" / "progress.csv").is_file()
    own = [line for line in yaml.safe_load(file.read_text()).values() if "./" in str(line)]
    assert len(done.config["components"]) == len(own) >= 9
    least, most = planned["uplink"]["low"], planned["uplink"]["high"]
    assert least <= summary["uplink_bytes"] <= most < 1.1 * least, "how many chunks go is known beforehand"
    again = command(in_folder, "run", "ran/config.yaml", "--local", "--output", "again", "--json")
    assert json.loads(again.splitlines()[-1])["weights_sha256"] == summary["weights_sha256"]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["settings", "encoding", "exchange_rule", "server_optimizer"])
def test_on_ray_they_have_the_same_bits(examples, ray_here, kind):
    file = examples / "settings.yaml" if kind == "settings" else settings_file(examples, **example_settings(kind))
    few = {"federated_learning_rounds": 2}
    on_ray = fedchunk.run(file, progress=False, **few)
    assert on_ray.summary["weights_sha256"] == run(file, **few).summary["weights_sha256"]


def test_another_source_is_another_experiment(examples):
    """An edited file is read again; records and comparisons tell the two versions apart, and seeds of one together."""
    file = settings_file(examples, chunk_score="./score.py:signed")
    runs = [run(file, random_seed=seed) for seed in (1, 2)]
    source = examples / "score.py"
    source.write_text(source.read_text().replace("** power", "** -power"))
    runs.append(run(file, random_seed=1))
    shas = [one.config["components"]["chunk_score"]["sha256"] for one in runs]
    assert shas[0] == shas[1] != shas[2]
    assert runs[0].summary["weights_sha256"] != runs[2].summary["weights_sha256"]
    assert sorted(len(group.runs) for group in fedchunk.compare(runs).groups) == [1, 2]


@pytest.mark.slow
def test_mlflow_is_told_what_they_are(examples):
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{examples.parent}/mlflow.db"
    file = settings_file(examples, **example_settings("policy") | {"mlflow_enabled": True})
    done = run(file, tracking_uri=uri)
    client = MlflowClient(uri)
    (found,) = client.search_runs([one.experiment_id for one in client.search_experiments()])
    for part, value in done.config["components"]["sensitivity_policy"].items():
        assert found.data.tags[f"fedchunk.component.sensitivity_policy.{part}"] == value


def test_a_file_may_import_what_lies_beside_it_wherever_the_settings_are(examples):
    (examples / "helper.py").write_text("def twice(x):\n    return 2 * x\n")
    (examples / "mine.py").write_text("from helper import twice\n\n" + body("return twice(change_C)", asks="change_C"))
    done = run(settings_file(examples, chunk_score="./mine.py:own"))
    again = run(done.path / "config.yaml")
    above = run(settings_file(examples.parent, chunk_score="./examples/mine.py:own"))
    assert len({one.summary["weights_sha256"] for one in (done, again, above)}) == 1


# docs/extending.md


def test_the_pages_table_of_kinds_is_the_registry():
    rows = re.findall(r"^\| ([a-z_]+) \| (.+) \| (.*?) ?\| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    told = {
        name: [re.findall(r"`(\w+)`", cell) for cell in (keys, asks)] + [returns] for name, keys, asks, returns in rows
    }
    assert told.pop("kind")[2] == "must return"
    assert told == {
        kind.name: [[kind.key, *([kind.options_key] if kind.options_key else [])], list(kind.on_offer), kind.returns]
        for kind in KINDS.values()
    }


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_the_pages_example_runs_from_beginning_to_end(in_folder):
    for language, comment in (("python", "# signs.py"), ("python", "# mine.py\nfrom"), ("yaml", "# settings.yaml")):
        (code,) = (code for code in blocks(language) if code.startswith(comment))
        (in_folder / comment.split()[1]).write_text(code)
    (console,) = blocks("console")
    for line in console.splitlines():
        out = command(in_folder, *line.removeprefix("$ fedchunk ").split())
    assert "agreeing" in out
    assert "update" in out
    kept = fedchunk.load_run(in_folder / "runs" / "agreeing").config["components"]["chunk_score"]["sha256"][:8]
    folder = in_folder / "runs" / "agreeing" / "components" / kept
    assert sorted(path.name for path in folder.iterdir()) == ["mine.py", "signs.py"]


def test_the_pages_ways_to_name_a_component(in_folder, monkeypatch):
    """An installed package's entry point, a module, a file, and a dotted name."""
    package = in_folder / "site" / "my_lab-1.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: my_lab\nVersion: 1\n")
    (toml,) = blocks("toml")
    table = tomllib.loads(toml)["project"]["entry-points"]["fedchunk.score"]
    lines = [f"{name} = {place}" for name, place in table.items()]
    (package / "entry_points.txt").write_text("\n".join(["[fedchunk.score]", *lines, "gradient = my_lab.rules:taylor"]))
    (in_folder / "my_lab").mkdir()
    source = "def taylor(change_C):\n    return change_C\n\n\nclass Rules:\n    taylor = staticmethod(taylor)\n"
    (in_folder / "my_lab" / "rules.py").write_text(source)
    monkeypatch.syspath_prepend(in_folder / "site")
    monkeypatch.syspath_prepend(in_folder)
    registry.entry_points.cache_clear()
    try:
        for name in (
            "taylor",
            "my_lab.rules:taylor",
            "./my_lab/rules.py:taylor",
            "my_lab/rules.py:Rules.taylor",
        ):
            (own,) = load(settings_file(in_folder, chunk_score=name)).settings.components.own
            assert own.where.startswith(f"{in_folder / 'my_lab' / 'rules.py'}:"), name
        built_in = load(settings_file(in_folder, chunk_score="gradient")).settings
        assert not built_in.components.own, "a built-in name cannot be taken over"
    finally:
        registry.entry_points.cache_clear()
        for name in [name for name in sys.modules if name.startswith("my_lab")]:
            del sys.modules[name]


# What goes wrong


MINE = """\
import numpy as np


def signed(change_P, layuot, power=1.0):
    return np.abs(change_P)


def good(change_P, layout, power: float = 1.0):
    return np.abs(layout.sums_C(change_P)) ** power
"""

FAULTS = [
    {"chunk_score": "./rules.py:signed"},
    {"chunk_score": "./mine.py:singed"},
    {"chunk_score": "./mine.py:signed"},
    {"chunk_score": "./mine.py:good", "chunk_score_options": {"powr": 2}},
    {"chunk_score": "./mine.py:good", "chunk_score_options": {"power": "high"}},
    {"chunk_score": "./broken.py:rule"},
    {"chunk_score": "my_lab.rules:taylor"},
    {"chunk_score": "gradeint"},
]
"""Settings that ``fedchunk validate`` refuses, one line of the page each."""


def messages_on_the_page():
    """The lines of its two lists of messages; on the page they are broken, with four spaces more before the rest."""
    return [re.sub(r"\n {4,}", " ", text).splitlines() for text in blocks("text")]


def fault_of(folder, settings):
    (folder / "mine.py").write_text(MINE)
    (folder / "broken.py").write_text("import nump as np\n")
    text = yaml.safe_dump({"chunking": True, "sensitivity_percentage": 20, **settings}, sort_keys=False)
    (folder / "settings.yaml").write_text(text)
    with pytest.raises(fedchunk.ConfigError) as caught:
        load("settings.yaml")
    return str(caught.value).replace(str(folder), LAB)


@pytest.mark.parametrize("number", range(len(FAULTS)))
def test_the_pages_faults_are_what_validate_says(in_folder, number):
    assert fault_of(in_folder, FAULTS[number]) == messages_on_the_page()[0][number]


def body(*lines, asks=""):
    """A function ``own``, whose lines count from 2."""
    return "\n".join([f"def own({asks}):", *(f"    {line}" for line in lines), ""])


def own_model(*lines):
    return "\n".join([
        "from torch import nn",
        "class own(nn.Module):",
        "    def __init__(self, input_shape, num_classes):",
        "        super().__init__()",
        "        self.layer = nn.Linear(64, num_classes)",
        "    def forward(self, x):",
        *(f"        {line}" for line in lines),
        "",
    ])  # fmt: skip


def own_codec(encode, decode):
    return "\n".join([
        "import numpy as np",
        "class own:",
        "    wire_id = 200",
        "    def encode(self, values, sizes_K):",
        f"        {encode}",
        "    def decode(self, encoded, sizes_K):",
        f"        {decode}",
        "",
    ])  # fmt: skip


def own_recorder(**methods):
    lines = {"start": "pass", "record_rounds": "pass", "finish": "pass", **methods}
    arguments = {"start": "info", "record_rounds": "results", "finish": "summary, spec, model"}
    return "\n".join(
        [
            "class own:",
            *(f"    def {name}(self, {arguments[name]}): {line}" for name, line in lines.items() if line),
            "",
        ]
    )


def own_rule(*lines):
    return "\n".join([
        "import numpy as np",
        "from fedchunk import ExchangeRule",
        "class own(ExchangeRule):",
        "    def mix(self, view):",
        *(f"        {line}" for line in lines),
        "",
    ])  # fmt: skip


def own_data(arrays):
    made = "x, y = np.zeros((40, 4), np.float32), np.arange(40) % 3"
    return f"import numpy as np, fedchunk\ndef own():\n    {made}\n    return fedchunk.Dataset({arrays})\n"


def own_tokenizer(encode):
    return f"class own:\n    token_bytes = [1] * 256\n    def encode(self, document):\n        {encode}\n"


def own_task(targets):
    head = "import fedchunk\nclass own(fedchunk.Task):\n    def targets(self, field, targets, samples):\n"
    return f"{head}        {targets}\n"


WRONG = {
    "model": {
        "raises": (own_model("raise ValueError('no')"), 7, "ValueError: no"),
        "nan": (own_model("return self.layer(x.flatten(1)) * float('nan')"), 0, "nan|not finite"),
        "shape": (own_model("return self.layer(x.flatten(1))[:, :3]"), 0, r"outputs|\(.*3\)|10"),
        "type": (body("return 3", asks="num_classes"), 0, r"returned int, expected an nn\.Module"),
    },
    "dataset": {
        "raises": (body("raise ValueError('no')"), 2, "ValueError: no"),
        "nan": (
            own_data("x * np.nan, y, x, y"),
            0,
            "train_x holds values that are nan",
        ),
        "count": (
            own_data("x, y[1:], x, y"),
            0,
            "40 samples, train_y 39 labels",
        ),
        "type": (body("return [1, 2]"), 0, "returned list, expected a fedchunk Dataset"),
    },
    "tokenizer": {
        "raises": (body("raise ValueError('no')"), 2, "ValueError: no"),
        "encode raises": (own_tokenizer("raise ValueError('no')"), 4, "ValueError: no"),
        "count": (own_tokenizer("return list(document[1:])"), 0, "its tokens stand for .* bits_per_byte would"),
        "type": (body("return 3"), 0, "returned int without encode and token_bytes"),
    },
    "task": {
        "raises": (own_task("raise RuntimeError('no')"), 4, "RuntimeError: no"),
        "type": (body("return 3"), 0, "returned int, expected a fedchunk Task"),
    },
    "partition": {
        "raises": (body("raise ValueError('no')"), 2, "ValueError: no"),
        "nan": (body("return [[float('nan')]] * 4"), 0, "float64"),
        "count": (body("return [[1], [2], [3]]"), 0, "3 parts, expected a list of 4"),
        "twice": (body("return [[1], [2], [3], [3]]"), 0, "sample 3 out 2 times"),
        "empty": (body("return [[1], [2], [3], []]"), 0, "without a sample"),
    },
    "loss": {
        "raises": (body("raise ValueError('no')", asks="outputs, targets"), 2, "ValueError: no"),
        "nan": (body("return outputs.sum() * float('nan')", asks="outputs"), 0, "nan|not finite"),
        "shape": (body("return outputs.sum(1)", asks="outputs"), 0, "expected a scalar"),
        "type": (body("return 1.0", asks="outputs"), 0, "float, expected a scalar"),
    },
    "metric": {
        "raises": (body("raise ValueError('no')", asks="outputs"), 2, "ValueError: no"),
        "nan": (body("return float('nan'), 1", asks="outputs"), 0, "nan"),
        "shape": (body("return outputs, 1", asks="outputs"), 0, "Tensor|a finite number|element"),
        "count": (body("return outputs.sum()", asks="outputs"), 0, r"expected \(sum, weight\)"),
    },
    "score": {
        "raises": (body("raise ValueError('no')"), 2, "ValueError: no"),
        "nan": (body("return change_C * float('nan')", asks="change_C"), 0, "nan for chunk 0"),
        "shape": (body("return change_P", asks="change_P"), 0, r"shape \(\d+,\), expected \(30,\)"),
        "count": (body("return change_C[1:]", asks="change_C"), 0, r"shape \(29,\)"),
        "type": (body("return ['a'] * num_chunks", asks="num_chunks"), 0, "expected numbers"),
    },
    "policy": {
        "raises": (body("raise ValueError('no')"), 2, "ValueError: no"),
        "nan": (body("return float('nan')"), 0, "returned nan, expected a whole number from 0 to 30"),
        "count": (body("return 31"), 0, "returned 31, expected a whole number from 0 to 30"),
        "type": (body("return [1]"), 0, r"returned \[1\]"),
    },
    "encoding": {
        "raises": (own_codec("raise ValueError('no')", "pass"), 5, "ValueError: no"),
        "decode raises": (own_codec("return values.tobytes()", "raise ValueError('no')"), 7, "ValueError: no"),
        "nan": (
            own_codec("return b'x'", "return np.full(sizes_K.sum(), np.nan)"), 0, "nan|not finite",
        ),
        "count": (own_codec("return values.tobytes()", "return np.frombuffer(encoded, np.float32)[1:]"), 0, "decoded"),
        "type": (own_codec("return values", "pass").replace("200", "'mine'"), 0, "wire_id 'mine'"),
    },
    "exchange_rule": {
        "raises": (own_rule("raise ValueError('no')"), 5, "ValueError: no"),
        "nan": (own_rule("return view.own_P * np.nan, ()"), 0, "nan|not finite"),
        "shape": (own_rule("return view.own_P[1:], ()"), 0, r"shape|values"),
        "count": (own_rule("return view.own_P"), 0, "expected"),
        "type": (body("return 3"), 0, "returned int, expected an ExchangeRule"),
    },
    "aggregation": {
        "raises": (body("raise ValueError('no')"), 2, "ValueError: no"),
        "nan": (body("return values_NK[0] * float('nan')", asks="values_NK"), 0, "not finite"),
        "shape": (body("return values_NK", asks="values_NK"), 0, "returned shape"),
        "count": (body("return values_NK[0][1:]", asks="values_NK"), 0, "returned shape"),
    },
    "server_optimizer": {
        "raises": (body("raise ValueError('no')"), 2, "ValueError: no"),
        "nan": (body("return change_P * float('nan'), {}", asks="change_P"), 0, "not finite"),
        "shape": (body("return change_P[1:], {}", asks="change_P"), 0, "a step of shape"),
        "count": (body("return change_P", asks="change_P"), 0, r"expected \(step_P, state\)"),
    },
    "learning_rate_schedule": {
        "raises": (body("raise ValueError('no')"), 2, "ValueError: no"),
        "nan": (body("return float('nan')"), 0, "nan"),
        "type": (body("return 'half'"), 0, "half|str"),
        "range": (body("return -1"), 0, "-1"),
    },
    "server_learning_rate_schedule": {
        "raises": (body("raise ValueError('no')"), 2, "ValueError: no"),
        "nan": (body("return float('nan')"), 0, "nan"),
        "type": (body("return 'half'"), 0, "half|str"),
        "range": (body("return -1"), 0, "-1"),
    },
    "topology": {
        "raises": (body("raise ValueError('no')"), 2, "ValueError: no"),
        "nan": (body("return [(0, float('nan'))]"), 0, "NaN"),
        "shape": (body("return [0, 1, 2]"), 0, "TypeError|pairs"),
        "count": (body("return [(0, 1), (2, 3)]"), 0, "2 of 4 clients cannot be reached"),
        "range": (body("return [(0, 4)]"), 0, r"the edge \(0, 4\)"),
    },
    "recorder": {
        "raises": ("class own:\n    def __init__(self):\n        raise ValueError('no')\n", 3, "ValueError: no"),
        "count": (own_recorder(finish=""), 0, "returned own without a method finish"),
        "type": (body("return 3"), 0, "returned int without a method start"),
    },
}  # fmt: skip
"""Components that do wrong: the source, the line that must be named (0: any of the file), and what must be said."""

AROUND = {
    "task": {"loss_function": "CrossEntropy"},
    "tokenizer": {
        "task": "language_model",
        "model_type": "lstm",
        "dataset_type": "text",
        "data_dir": ".",
        "dataset_options": {"train": "mine.py", "length": 4},
    },
    "exchange_rule": PEERS | {"federated_learning_topology": "ring"},
    "topology": PEERS,
    "encoding": {"chunk_reconstruction": "error_feedback", "chunk_score": "accumulated"},
}
"""Settings that a kind needs."""

OF_A_CLIENT = {"model", "loss", "score", "policy", "encoding", "learning_rate_schedule", "exchange_rule"}
"""Kinds that are called for one client, which must be named."""

CASES = [pytest.param(kind, case) for kind, cases in WRONG.items() for case in cases]


def wrong_settings(folder, kind, source):
    (folder / "mine.py").write_text(source)
    own = "./mine.py:own"
    key = KINDS[kind].key
    return settings_file(folder, **AROUND.get(kind, {}), **{key: [own] if KINDS[kind].many else own})


def test_every_kind_has_components_that_do_wrong():
    assert set(WRONG) == set(KINDS)


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_what_goes_wrong_is_said_with_file_and_line_and_nothing_takes_its_place(in_folder, kind, case):
    source, line, said = WRONG[kind][case]
    file = wrong_settings(in_folder, kind, source)
    with pytest.raises(fedchunk.FedchunkError) as caught:
        run(file, output="ran")
    text = str(caught.value)
    assert re.search(rf"{re.escape(str(in_folder / 'mine.py'))}:{line or r'[0-9]+'}\b", text), text
    assert re.search(said, text), text
    assert f"{KINDS[kind].key} ./mine.py:own" in text
    if kind in OF_A_CLIENT and "without a method" not in said and case != "type":
        assert re.search(r"client", text), text
    summary = json.loads((in_folder / "ran" / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert summary["weights_sha256"] is None
    assert summary["rounds_completed"] == 0


@pytest.mark.parametrize("method", ["start", "record_rounds", "finish"])
def test_a_recorder_that_raises_costs_its_own_record_and_is_named(in_folder, method, caplog):
    done = run(wrong_settings(in_folder, "recorder", own_recorder(**{method: "raise ValueError('no')"})))
    assert done.status == "finished"
    assert re.search(rf"{re.escape(str(in_folder / 'mine.py'))}:\d+\): ValueError: no", caplog.text)
    assert caplog.text.count("The run goes on") == 1


@pytest.mark.parametrize("kind", ["score", "policy"])
def test_of_one_client_that_fails_the_others_go_on_and_it_is_named(in_folder, kind):
    answer = {"score": "num_chunks * [1.0]", "policy": "3"}[kind]
    source = body("if client == 2:", "    raise ValueError('no')", f"return {answer}", asks="client, num_chunks")
    done = run(wrong_settings(in_folder, kind, source))
    rows = {(row["round"], row["client"]): row for row in done.clients.to_pylist()}
    assert done.status == "finished"
    for (_, client), row in rows.items():
        assert row["status"] == ("failed" if client == 2 else "ok")
    assert f"{in_folder / 'mine.py'}:3): ValueError: no" in rows[1, 2]["reason"]


def test_scores_may_be_negative_and_the_report_can_be_written(in_folder, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(in_folder)
    done = run(wrong_settings(in_folder, "score", body("return -change_C", asks="change_C")))
    assert (done.path / "report.html").is_file()


def test_a_recorder_that_fails_later_does_not_end_what_it_records(in_folder, caplog):
    file = wrong_settings(in_folder, "recorder", own_recorder(record_rounds="raise ValueError('disk full')"))
    done = run(file)
    assert (done.status, done.num_rounds) == ("finished", 2)
    assert "mine.py:3" in caplog.text
    assert "disk full" in caplog.text


FAILURES = [("score", "shape"), ("server_optimizer", "raises")]
"""Failures that the page shows."""


def failure_of(folder, kind, case):
    source, _, _ = WRONG[kind][case]
    with pytest.raises(fedchunk.FedchunkError) as caught:
        run(wrong_settings(folder, kind, source), output="ran")
    return str(caught.value).replace(str(folder), LAB).partition("\nWhat had finished")[0]


def test_the_pages_failures_are_what_a_run_says(in_folder):
    shown = messages_on_the_page()[1]
    for number, (kind, case) in enumerate(FAILURES):
        folder = in_folder / str(number)
        folder.mkdir()
        shutil.rmtree(in_folder / "ran", ignore_errors=True)
        assert set(failure_of(folder, kind, case).replace(f"{LAB}/{number}", LAB).splitlines()) <= set(shown)
