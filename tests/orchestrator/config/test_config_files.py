import json
from pathlib import Path

import jsonschema
import pytest

from fedchunk.orchestrator.settings import loading
from fedchunk.orchestrator.settings.fedpilot_keys import ALIASES, KEYS
from fedchunk.orchestrator.settings.loading import parse
from fedchunk.orchestrator.settings.whole import Settings
from fedchunk.orchestrator.settings.yaml_source import read_document

CONFIGS = Path(__file__).parents[3] / "configs"
FILES = sorted(CONFIGS.glob("*.yaml"))
SEED_BLOCK = """\
# Enable chunking
chunking: true
chunking_with_gradients: true    # Must be true for gradient-guided importance
chunking_parts: 50               # Split model into 50 segments
chunking_random_section: false   # false = importance-based, true = random selection

# Control what percentage of chunks to transmit
sensitivity_percentage: 80       # Send the top 80% most important chunks
dynamic_sensitivity_percentage: true  # Automatically adapt the threshold each round
"""


def schema_faults(text):
    """What an editor marks that reads YAML 1.2 and checks it against the schema."""
    validator = jsonschema.Draft7Validator(loading.json_schema())
    document = {entry.key: entry.value for entry in read_document(text, "f.yaml")[0]}
    return [error.message for error in validator.iter_errors(document)]


def test_the_seeds_block_loads_verbatim():
    loaded = parse(SEED_BLOCK, "seed.yaml")
    chunking = loaded.settings.chunking
    assert loaded.notices == ()
    assert (chunking.chunking, chunking.score, chunking.chunking_parts) == (True, "gradient", 50)
    assert (chunking.sensitivity_percentage, chunking.dynamic_sensitivity_percentage) == (80.0, True)


def test_the_seeds_file_holds_the_block_word_for_word():
    assert SEED_BLOCK in (CONFIGS / "seed.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_shipped_file_loads_says_what_it_is_for_and_suits_editors(path):
    text = path.read_text(encoding="utf-8")
    head = text.splitlines()[:3]
    assert head[0] == "# yaml-language-server: $schema=fedchunk.schema.json"
    assert head[1] == "#"
    assert head[2].startswith("# ")
    assert schema_faults(text) == []
    notices = loading.load(path).notices
    assert len(notices) == (1 if path.stem == "fedpilot" else 0), notices


def test_the_plan_is_the_examples_of_the_seed():
    settings = loading.load(CONFIGS / "resnet50_plan.yaml").settings
    assert settings.training.model_type == "resnet50"
    assert settings.federation.number_of_clients == 50
    assert settings.federation.federated_learning_rounds == 100
    assert (settings.chunking.chunking_parts, settings.chunking.sensitivity_percentage) == (50, 80)


def test_the_shipped_schema_is_current():
    shipped = json.loads((CONFIGS / "fedchunk.schema.json").read_text(encoding="utf-8"))
    assert shipped == loading.json_schema(), "write it anew: fedchunk schema > configs/fedchunk.schema.json"


def test_the_schema_is_a_draft_7_schema_with_every_key_described():
    schema = loading.json_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    assert set(schema["properties"]) == {*Settings().flat(), *ALIASES, *KEYS}
    assert all(entry["description"] for entry in schema["properties"].values())
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    "text",
    [
        "alpha: 1", "chunking: 1", "chunking_parts: 0", "sensitivity_percentage: 0", "optimizer: sdg",
        "model_type: [mlp]", "model_type: 5", "model_options: 5", "metrics: accuracy", "metrics: [5]",
        "learning_rate_schedule: [0.1, 0]", "patience: 0",
        "ray_dashboard_port: 65536", "number_of_actors: 4097", "momentum: 1", "data_dir: ''", "fedprox_mu: -1",
        "sensitivity_schedule: [50, 0]", "sensitivity_schedule: 50", "client_k_neighbors: 0",
    ],
)  # fmt: skip
def test_editors_mark_what_we_refuse(text):
    assert len(schema_faults(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "", SEED_BLOCK, "fedprox_mu: 1", "data_distribution_kind: 20", "federation_id: 7", "chunk_score: null",
        "number_of_actors: null", "chunking_parts: 5.0", "number_of_epochs: null", "distance_metric: null",
        "federated_learning_schema: traditional", "dp_enabled: false", "mlflow_tracking_uri: null",
        "sensitivity_schedule: [50, 2.5]", "k_value: null", "adjacency_matrix_file_name: a.csv",
        "model_type: LENET", "learning_rate_schedule: cosine\nlearning_rate_schedule_options: {final: 0.1}",
        "server_learning_rate_schedule: [1, 0.5]", "metrics: []", "recorders: [jsonl]", "patience: null",
        "federated_learning_schema: decentralized\nfederated_learning_topology: k_connect\nclient_k_neighbors: 4",
    ],
)  # fmt: skip
def test_editors_accept_what_we_accept(text):
    parse(text, "f.yaml")
    assert schema_faults(text) == []
