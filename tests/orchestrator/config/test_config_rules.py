import pytest

from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.settings.loading import parse
from fedchunk.orchestrator.settings.running import RuntimeSettings
from fedchunk.orchestrator.settings.sections import ChunkingSettings, DataSettings, FederationSettings
from fedchunk.orchestrator.settings.whole import Settings


def only_fault(text, *overrides):
    with pytest.raises(ConfigError) as caught:
        parse(text, "f.yaml", overrides)
    (fault,) = caught.value.faults
    return fault


def peers(topology="ring", *lines):
    """A peer-to-peer file; ``lines`` begin in its third line."""
    schema = "federated_learning_schema: DecentralizedFederatedLearning"
    return "\n".join((schema, f"federated_learning_topology: {topology}", *lines))


def chunks(*lines):
    """A file with chunks, of which half are sent; ``lines`` begin in its third line."""
    return "\n".join(("chunking: true", "sensitivity_percentage: 50", *lines))


CONTRADICTIONS = [
    ("dataset_type: synthetic\nsynthetic_samples: 9\nnumber_of_clients: 10", "3:1", "at most 9"),
    ("dataset_type: synthetic\nsynthetic_samples: 9", "1:1", "number_of_clients got 10"),
    ("number_of_clients: 1439", "1:1", "at most 1438"),
    ("dataset_type: cifar10\nnumber_of_clients: 50001", "2:1", "at most 50000"),
    ("pretrained_models: true", "1:1", "no trained weights for model_type mlp"),
    ("momentum_start: quasi_global", "1:1", "got quasi_global with optimizer sgd and momentum 0, where there is no"),
    ("momentum: 0.9\nmomentum_start: quasi_global\noptimizer: rmsprop", "2:1", "allowed here: zero, or optimizer: sgd"),
    (peers("ring", chunks("chunk_reconstruction: relay_tree", "patience: 3", "local_parameters: ['5.*']")), "6:1",
     "needs evaluate_clients: true where parameters stay at home"),
    ("client_test_share: 0.2", "1:1", "got 0.2, but clients' own models are not measured; set evaluate_clients: true"),
    ("momentum: 0.9\nmomentum_start: quasi_global\nlocal_parameters: ['5.*']", "2:1", "have no common direction"),
    ("patience: 3\nlocal_parameters: ['5.*']", "1:1", "needs evaluate_clients: true where parameters stay at home"),
    ("gpus_per_actor: 0.5\ndevice: cpu", "1:1", "set device to cuda or auto"),
    ("gpus_per_actor: 1.5", "1:1", "a whole number"),
    ("chunk_score: distance\nchunking_random_section: true", "1:1", "remove one of them"),
    ("chunking_with_gradients: false\nchunk_score: gradient", "2:1", "remove one of them"),
    ("federated_learning_topology: ring", "1:1", "federated_learning_schema to DecentralizedFederatedLearning"),
    ("federated_learning_schema: decentralized", "1:1", "got star, but DecentralizedFederatedLearning has no"),
    (peers("star"), "2:1", "set it to ring, k_connected, complete or custom"),
    (peers("ring", "number_of_clients: 1"), "3:1", "each client needs a neighbour; allowed here: 2 or more"),
    (peers("k_connected"), "2:1", "k_value is missing; topology k_connected needs the number of neighbours"),
    (peers("k_connected", "number_of_clients: 15", "k_value: 3"), "4:1",
     "got 3 for number_of_clients 15: each link has two ends, so their product must be even; nearest allowed: 2 or 4"),
    (peers("k_connected", "client_k_neighbors: 10"), "3:1", "a client has at most 9 neighbours; nearest allowed: 9"),
    (peers("k_connected", "k_value: 1"), "3:1", "pairs would never hear of each other; nearest allowed: 2"),
    (peers("custom"), "2:1", "adjacency_matrix_file_name is missing; topology custom needs a CSV file"),
    (peers("ring", "client_sampling_rate: 0.5"), "3:1", "nobody draws a cohort"),
    (peers("ring", "chunking: true", "chunk_reconstruction: error_feedback"), "4:1", "allowed here: contributors"),
    (peers("ring", "chunking: true", "chunk_agreement: consensus"), "4:1", "allowed here: independent"),
    (peers("ring", "chunking: true", "sensitivity_budget_mb: 5"), "4:1", "got 5 peer to peer, where no coordinator"),
    (peers("ring", "chunking: true", "sensitivity_policy: budget", "sensitivity_budget_mb: 5"), "4:1", "got budget"),
    (chunks("chunk_reconstruction: stale_copies"), "3:1", "in a star, where clients have no neighbours"),
    (chunks("chunk_reconstruction: relay"), "3:1", "got relay in a star, where clients have no neighbours"),
    (chunks("chunk_reconstruction: relay_tree"), "3:1", "allowed here: contributors, error_feedback, own_weights"),
    (peers("ring", "chunking: true", "chunk_reconstruction: relay", "client_sampling_rate: 0.5"), "5:1",
     "nobody draws a cohort"),
    (peers("ring", "chunking: true", "chunk_reconstruction: relay_tree", "server_optimizer: adam"), "5:1",
     "got adam with relay_tree, where another peer may become the root and gets what is withheld, but no moments"),
    (peers("ring", "chunking: true", "chunk_reconstruction: relay", "chunk_agreement: consensus"), "5:1",
     "allowed here: independent"),
    (peers("ring", chunks("chunk_reconstruction: stale_copies", "chunk_score: accumulated",
                          "aggregation_strategy: median")), "7:1", "got median with stale_copies peer to peer"),
    (peers("ring", "chunking: true", "sensitivity_percentage: 10", "chunk_reconstruction: stale_copies",
           "stale_copy_step: 0.5"), "6:1", "got 0.5 with 10 % of the chunks"),
    (peers("ring", "chunking: true", "sensitivity_percentage: 36", "chunk_reconstruction: stale_copies",
           "stale_copy_step: 0.9"), "6:1", "allowed here: at most 0.72"),
    (peers("ring", "final_average: true", "patience: 3"), "3:1", "after the last of federated_learning_rounds"),
    (peers("ring", "final_average: true", "stop_avg_accuracy: 0.5"), "3:1", "remove one of them"),
    ("final_average: true", "1:1", "in a star, where all share one model"),
    (peers("ring", "final_average: true", "chunking: true", "chunk_reconstruction: relay"), "3:1", "with relay, where"),
    (peers("ring", "chunking: true", "chunk_reconstruction: relay_tree", "final_average: true"), "5:1", "remove it"),
    (chunks("dynamic_sensitivity_percentage: true", "sensitivity_policy: knee"), "4:1", "which is the policy energy"),
    (chunks("sensitivity_policy: threshold"), "3:1", "sensitivity_threshold is missing"),
    (chunks("sensitivity_policy: schedule"), "3:1", "sensitivity_schedule is missing"),
    (chunks("sensitivity_policy: schedule", "sensitivity_schedule: []"), "4:1", "such as [50, 20, 5]"),
    (chunks("sensitivity_policy: budget"), "3:1", "sensitivity_budget_mb is missing"),
    ("model_type: resnet18\npretrained_models: true\ninitial_model: seed", "3:1", "allowed here: broadcast"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "words"), CONTRADICTIONS)
def test_contradictions_are_refused_where_they_stand(text, place, words):
    fault = only_fault(text)
    assert fault.where == f"f.yaml:{place}"
    assert words in fault.message


@pytest.mark.parametrize(
    "text",
    [
        "dataset_type: synthetic\nsynthetic_samples: 9\nnumber_of_clients: 9",
        "number_of_clients: 1438",
        "pretrained_models: true\nmodel_type: resnet18",
        "gpus_per_actor: 2\ndevice: cuda",
        "gpus_per_actor: 0.25",
        "momentum: 0.9\nmomentum_start: quasi_global",
        "chunk_score: random\nchunking_random_section: true\nchunking: true\nsensitivity_percentage: 5",
        "chunk_score: distance\nchunking_with_gradients: false\nchunking: true\nsensitivity_percentage: 5",
        "chunk_score: gradient\nchunking_with_gradients: true\nchunking: true\nsensitivity_percentage: 5",
        peers("ring", "number_of_clients: 2"),
        peers("ring", "clients_per_group: 2"),
        peers("complete"),
        peers("k_connected", "number_of_clients: 2", "k_value: 1"),
        peers("k_connected", "number_of_clients: 16", "k_value: 15"),
        peers("k_connected", "number_of_clients: 15", "k_value: 14"),
        peers("custom", "adjacency_matrix_file_name: a.csv"),
        peers("ring", chunks("chunk_score: accumulated", "chunk_reconstruction: stale_copies", "stale_copy_step: 0.4")),
        peers("ring", "chunking: true", "chunk_encoding: int8", "chunk_reconstruction: stale_copies",
              "stale_copy_step: 1"),
        peers("ring", chunks("chunk_score: accumulated", "chunk_reconstruction: relay", "withheld_share: 0.5",
                             "relay_step: 1.2", "aggregation_strategy: median", "aggregation_sample_scaling: true")),
        peers("ring", chunks("chunk_score: accumulated", "chunk_reconstruction: relay_tree", "clients_per_group: 2",
                             "downlink_sensitivity_percentage: 5", "server_learning_rate: 0.7",
                             "evaluate_clients: true", "initial_model: seed", "chunk_encoding: int4")),
        chunks("chunk_reconstruction: error_feedback", "chunk_score: accumulated", "chunk_agreement: consensus",
               "agreement_interval: 5", "chunk_encoding: int4", "downlink_sensitivity_percentage: 5"),
        chunks("dynamic_sensitivity_percentage: true", "sensitivity_policy: energy", "sensitivity_energy: 0.5"),
        chunks("sensitivity_policy: threshold", "sensitivity_threshold: 0.1"),
        chunks("sensitivity_policy: schedule", "sensitivity_schedule: [50, 2]"),
        chunks("sensitivity_policy: budget", "sensitivity_budget_mb: 5"),
        chunks("sensitivity_policy: knee", "sensitivity_budget_mb: 5"),
        chunks("sensitivity_warmup_rounds: 2", "sensitivity_warmup_percentage: 80"),
        "chunking: true\nsensitivity_budget_mb: 5",
        "chunking: true\nchunk_encoding: float16",
        "model_type: resnet18\npretrained_models: true",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_contradiction_is_accepted(text):
    assert parse(text, "f.yaml").notices == ()


@pytest.mark.parametrize(
    "line",
    [
        "chunk_reconstruction: error_feedback", "chunk_agreement: consensus", "sensitivity_budget_mb: 5",
        "sensitivity_policy: schedule", "chunk_reconstruction: stale_copies\nstale_copy_step: 1",
    ],
)  # fmt: skip
def test_full_exchange_with_the_same_file_is_one_switch_away(line):
    for file in (f"chunking: true\n{line}", peers("ring", "chunking: true", line)):
        assert not parse(file, "f.yaml", ["chunking=false"]).settings.chunking.chunking


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
         "1:1: chunk_score: has no effect (nor has sensitivity_percentage): chunking is false"),
        ("chunking: true\nsensitivity_percentage: 5\nsensitivity_energy: 0.5", "3:1: sensitivity_energy: has no"),
        ("chunking: true", "1:1: chunking: sensitivity_percentage is 100: every chunk is sent"),
        ("chunking: true\nsensitivity_percentage: 0.8", "write 80 if you meant 80 %"),
        ("chunking: true\nchunking_random_section: true\ndynamic_sensitivity_percentage: true",
         "adapts to scores of random here, which say nothing of a chunk"),
        (chunks("dynamic_sensitivity_percentage: true", "chunk_score: round_robin"),
         "adapts to scores of round_robin here"),
        (chunks("sensitivity_policy: utopia", "chunk_score: random"), "3:1: sensitivity_policy: adapts to scores"),
        (chunks("sensitivity_threshold: 3"), "3:1: sensitivity_threshold: has no effect: the policy is fixed"),
        (chunks("sensitivity_schedule: [3]"), "3:1: sensitivity_schedule: has no effect: the policy is fixed"),
        (chunks("sensitivity_policy: knee", "sensitivity_energy: 0.5"), "the policy is knee, which does not ask"),
        (chunks("sensitivity_warmup_percentage: 80"), "has no effect: sensitivity_warmup_rounds is 0"),
        (chunks("sensitivity_warmup_rounds: 8"), "3:1: sensitivity_warmup_rounds: is 8 of 8 rounds: the policy never"),
        (chunks("stale_copy_step: 0.1"), "3:1: stale_copy_step: has no effect: chunk_reconstruction is contributors"),
        (chunks("downlink_sensitivity_percentage: 5"), "has no effect: chunk_reconstruction is contributors"),
        (chunks("agreement_interval: 3", "agreement_scores: none"),
         "4:1: agreement_scores: has no effect (nor has agreement_interval): chunk_agreement is independent"),
        (chunks("chunk_agreement: consensus", "agreement_interval: 3", "agreement_scores: none"),
         "4:1: agreement_interval: has no effect: agreement_scores is none"),
        (chunks("chunk_reconstruction: error_feedback"), "chunk_score is gradient, which sees this round only"),
        (chunks("chunk_reconstruction: error_feedback", "chunk_score: update"), "accumulated measures both"),
        (peers("ring", chunks("chunk_reconstruction: stale_copies", "chunk_score: relative")), "is relative, which"),
        (chunks("chunk_encoding: int4"), "3:1: chunk_encoding: is int4, whose rounding contributors keeps nowhere"),
        (chunks("chunk_encoding: int8", "chunk_reconstruction: own_weights"), "own_weights keeps nowhere"),
        ("chunk_encoding: float16", "1:1: chunk_encoding: has no effect: chunking is false"),
        ("k_value: 4", "1:1: k_value: has no effect: federated_learning_topology is star"),
        (peers("ring", "adjacency_matrix_file_name: a.csv"), "has no effect: federated_learning_topology is ring"),
        (peers("ring", "server_learning_rate: 2"), "3:1: server_learning_rate: has no effect: peer to peer"),
        (peers("ring", "evaluate_clients: true"), "the clients' models are always measured"),
        (peers("ring", chunks("chunk_reconstruction: stale_copies", "chunk_score: accumulated",
                              "aggregation_sample_scaling: true")), "of stale_copies come from the topology"),
        (peers("ring", chunks("chunk_reconstruction: relay", "chunk_score: accumulated",
                              "downlink_sensitivity_percentage: 5")), "chunk_reconstruction is relay"),
        (peers("ring", chunks("chunk_reconstruction: relay_tree", "chunk_score: accumulated", "relay_step: 1.2")),
         "7:1: relay_step: has no effect: chunk_reconstruction is relay_tree"),
        (peers("ring", chunks("chunk_reconstruction: relay", "chunk_score: accumulated", "server_learning_rate: 2")),
         "server_learning_rate: has no effect: peer to peer"),
        (peers("ring", chunks("chunk_reconstruction: relay", "chunk_score: accumulated", "evaluate_clients: true")),
         "the model that is measured is that of all peers"),
        (peers("ring", chunks("chunk_reconstruction: relay", "chunk_score: update")), "accumulated measures both"),
        ("local_steps: 9\nnumber_of_epochs: 2", "2:1: number_of_epochs: has no effect: local_steps says"),
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


def test_the_policy_in_force():
    assert ChunkingSettings().policy == "fixed"
    assert ChunkingSettings(dynamic_sensitivity_percentage=True).policy == "energy"
    assert ChunkingSettings(sensitivity_policy="knee").policy == "knee"


@pytest.mark.parametrize(
    ("lines", "step"),
    [
        (["sensitivity_percentage: 36"], 0.612),
        (["sensitivity_percentage: 7"], 0.119),
        (["sensitivity_percentage: 60"], 0.7),
        ([], 0.7),
        (["sensitivity_percentage: 36", "stale_copy_step: 0.4"], 0.4),
        (["sensitivity_policy: schedule", "sensitivity_schedule: [90, 50, 10]"], 0.17),
        (["sensitivity_percentage: 50", "sensitivity_policy: knee"], 0.3),
        (["sensitivity_percentage: 10", "sensitivity_policy: knee"], 0.17),
        (["sensitivity_percentage: 10", "sensitivity_schedule: [1]"], 0.17),  # which nobody reads
    ],
)
def test_the_step_towards_stale_copies_goes_with_the_share_that_is_sent(lines, step):
    text = peers("ring", "chunking: true", "chunk_reconstruction: stale_copies", "chunk_score: accumulated", *lines)
    assert parse(text, "f.yaml").settings.chunking.copy_step == pytest.approx(step)


def test_a_step_may_be_auto_in_any_spelling_or_a_number_and_says_so():
    key = "chunk_reconstruction: stale_copies\nstale_copy_step:"
    assert parse(peers("ring", "chunking: true", f"{key} AUTO"), "f.yaml").settings.chunking.stale_copy_step == "auto"
    assert parse(peers("ring", "chunking: true", f"{key} 1"), "f.yaml").settings.chunking.stale_copy_step == 1.0
    for wrong, words in (("0", "got 0"), ("often", "got 'often'"), ("true", "got true")):
        fault = only_fault(peers("ring", "chunking: true", f"{key} {wrong}"))
        assert fault.message == f"{words}; allowed: auto, or a number above 0 and at most 1"
