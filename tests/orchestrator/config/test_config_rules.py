import pytest

from orchestrator.config import parse
from orchestrator.errors import ConfigError
from orchestrator.settings import ChunkingSettings, DataSettings, FederationSettings, RuntimeSettings, Settings


def only_fault(text, *overrides):
    with pytest.raises(ConfigError) as caught:
        parse(text, "f.yaml", overrides)
    (fault,) = caught.value.faults
    return fault


CONTRADICTIONS = [
    ("dataset_type: synthetic\nsynthetic_samples: 9\nnumber_of_clients: 10", "3:1", "at most 9"),
    ("dataset_type: synthetic\nsynthetic_samples: 9", "1:1", "number_of_clients got 10"),
    ("number_of_clients: 1798", "1:1", "at most 1797"),
    ("dataset_type: cifar10\nnumber_of_clients: 50001", "2:1", "at most 50000"),
    ("pretrained_models: true", "1:1", "no trained weights for model_type mlp"),
    ("gpus_per_actor: 0.5\ndevice: cpu", "1:1", "set device to cuda or auto"),
    ("gpus_per_actor: 1.5", "1:1", "a whole number"),
    ("chunk_score: distance\nchunking_random_section: true", "1:1", "remove one of them"),
    ("chunking_with_gradients: false\nchunk_score: gradient", "2:1", "remove one of them"),
]


@pytest.mark.parametrize(("text", "place", "words"), CONTRADICTIONS)
def test_contradictions_are_refused_where_they_stand(text, place, words):
    fault = only_fault(text)
    assert fault.where == f"f.yaml:{place}"
    assert words in fault.message


@pytest.mark.parametrize(
    "text",
    [
        "dataset_type: synthetic\nsynthetic_samples: 9\nnumber_of_clients: 9",
        "number_of_clients: 1797",
        "pretrained_models: true\nmodel_type: resnet18",
        "gpus_per_actor: 2\ndevice: cuda",
        "gpus_per_actor: 0.25",
        "chunk_score: random\nchunking_random_section: true\nchunking: true\nsensitivity_percentage: 5",
        "chunk_score: distance\nchunking_with_gradients: false\nchunking: true\nsensitivity_percentage: 5",
        "chunk_score: gradient\nchunking_with_gradients: true\nchunking: true\nsensitivity_percentage: 5",
    ],
)
def test_what_only_looks_like_a_contradiction_is_accepted(text):
    assert parse(text, "f.yaml").notices == ()


def test_a_contradiction_that_the_command_line_makes_is_told_there():
    assert only_fault("device: cpu", "gpus_per_actor=1").where == "gpus_per_actor=1"


def test_contradictions_come_together_with_other_faults():
    with pytest.raises(ConfigError) as caught:
        parse("device: cpu\ngpus_per_actor: 1\nchunking: 3\n", "f.yaml")
    assert [fault.key for fault in caught.value.faults] == ["gpus_per_actor", "chunking"]


def test_a_wrong_value_is_not_also_a_contradiction():
    assert only_fault("synthetic_samples: -1\ndataset_type: synthetic\nnumber_of_clients: 5000").message.startswith(
        "got -1"
    )


def test_an_unreadable_line_might_have_resolved_a_contradiction():
    fault = only_fault("device: cpu\ngpus_per_actor: 1\ndevice: cuda\n")
    assert "set twice" in fault.message


def test_contradictions_are_refused_without_a_file_too():
    with pytest.raises(ValueError, match="gpus_per_actor: got 1"):
        Settings(runtime=RuntimeSettings(device="cpu", gpus_per_actor=1.0))
    with pytest.raises(ValueError, match="number_of_clients"):
        Settings(
            data=DataSettings(dataset_type="synthetic", synthetic_samples=3),
            federation=FederationSettings(number_of_clients=4),
        )


@pytest.mark.parametrize(
    ("text", "notice"),
    [
        ("sensitivity_percentage: 5", "1:1: sensitivity_percentage: has no effect: chunking is false"),
        ("chunk_score: random\nsensitivity_percentage: 5",
         "2:1: sensitivity_percentage: has no effect (nor has chunk_score): chunking is false"),
        ("chunking: true\nsensitivity_percentage: 5\nsensitivity_energy: 0.5", "3:1: sensitivity_energy: has no"),
        ("chunking: true", "1:1: chunking: sensitivity_percentage is 100: every chunk is sent"),
        ("chunking: true\nsensitivity_percentage: 0.8", "write 80 if you meant 80 %"),
        ("chunking: true\nchunking_random_section: true\ndynamic_sensitivity_percentage: true", "random scores"),
        ("mu: 1", "1:1: mu: has no effect: aggregation_strategy is not FedProx"),
        ("aggregation_strategy: FedProx\nmu: 0", "2:1: mu: FedProx with mu 0 is FedAvg"),
        ("optimizer: adam\nmomentum: 0.9", "2:1: momentum: has no effect"),
        ("dirichlet_beta: 0.3", "1:1: dirichlet_beta: has no effect: data_distribution_kind is iid"),
        ("synthetic_size: 9", "1:1: synthetic_size: has no effect: dataset_type is digits"),
        ("ray_dashboard_port: 9000", "ray_dashboard is false"),
        ("mlflow_enabled: false\nmlflow_tracking_uri: x", "mlflow_enabled is false"),
        ("stop_avg_accuracy: 0.9\nevaluation_interval: 8", "1:1: stop_avg_accuracy: has no effect"),
        ("number_of_actors: 11", "got 11 for 10 clients"),
        ("torch_threads: 4", "slow each other down"),
    ],
)  # fmt: skip
def test_what_has_no_effect_is_accepted_and_said(text, notice):
    notices = parse(text, "f.yaml").notices
    assert len(notices) == 1
    assert notice in notices[0]


@pytest.mark.parametrize(
    "text",
    [
        "mu: 0.01", "dirichlet_beta: 0.1", "chunking_parts: 100", "data_distribution_kind: dir\ndirichlet_beta: 5",
        "optimizer: rmsprop\nmomentum: 0.5", "stop_avg_accuracy: 0.9", "torch_threads: 2\ncpus_per_actor: 2",
        "federated_learning_rounds: 1\nstop_avg_accuracy: 0.9", "chunking: true\ndynamic_sensitivity_percentage: true",
    ],
)  # fmt: skip
def test_a_default_that_is_written_out_needs_no_word(text):
    assert parse(text, "f.yaml").notices == ()


def test_the_score_in_force():
    assert ChunkingSettings().score == "gradient"
    assert ChunkingSettings(chunking_with_gradients=False).score == "distance"
    assert ChunkingSettings(chunking_with_gradients=False, chunking_random_section=True).score == "random"
    assert ChunkingSettings(chunking_random_section=True, chunk_score="random").score == "random"
    assert ChunkingSettings(chunking_with_gradients=False, chunk_score="distance").score == "distance"
