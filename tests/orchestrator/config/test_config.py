import subprocess
import sys

import pytest

from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.settings import loading
from fedchunk.orchestrator.settings.loading import parse
from fedchunk.orchestrator.settings.running import RuntimeSettings
from fedchunk.orchestrator.settings.sections import ChunkingSettings, TrainingSettings
from fedchunk.orchestrator.settings.whole import Settings


def faults(text, *overrides):
    with pytest.raises(ConfigError) as caught:
        parse(text, "f.yaml", overrides)
    return caught.value.faults


def only_fault(text, *overrides):
    found = faults(text, *overrides)
    assert len(found) == 1, found
    return found[0]


def test_flat_keys_reach_their_sections():
    settings = parse("chunking: true\nlearning_rate: 1e-3\nnumber_of_clients: 7\n", "f.yaml").settings
    assert (settings.chunking.chunking, settings.training.learning_rate) == (True, 0.001)
    assert settings.federation.number_of_clients == 7


def test_field_names_are_unique_over_all_sections():
    names = [name for section in Settings().model_dump().values() for name in section]
    assert len(names) == len(set(names)) == len(Settings().flat())


def test_an_empty_file_is_all_defaults_and_said():
    loaded = parse("# nothing yet\n", "f.yaml")
    assert loaded.settings == Settings()
    assert loaded.notices == ("f.yaml: holds no settings; every setting has its default",)


def test_all_faults_come_together_in_the_files_order_and_then_the_command_lines():
    text = "chunking: yes\nalpha: 1\nchunking_parts: 0\nmu: 1\nmu: 2\nlearning_rate: !x 1\n"
    found = faults(text, "seed=1", "device=tpu")
    assert [fault.where for fault in found] == [
        "f.yaml:1:1", "f.yaml:2:1", "f.yaml:3:1", "f.yaml:5:1", "f.yaml:6:16", "seed=1", "device=tpu",
    ]  # fmt: skip


def test_a_fault_says_what_was_got_and_what_is_allowed():
    fault = only_fault("\n  sensitivity_percentage: 120\n")
    assert str(fault) == "f.yaml:2:3: sensitivity_percentage: got 120; allowed: a number above 0 and at most 100"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("chunking: yes", "write true or false"),
        ("chunking: 'true'", "without quotes"),
        ("chunking: 1", "write true or false"),
        ("chunking: {chunking: true}", "settings are flat"),
        ("learning_rate: '0.001'", "write the number without quotes"),
        ("learning_rate: .nan", "got nan"),
        ("learning_rate: -.inf", "got -inf"),
        ("learning_rate: 1e999", "got inf"),
        ("chunking_parts: 2.5", "a whole number from 1 to"),
        ("chunking_parts: true", "got true"),
        ("chunking_parts: 0o0", "got 0"),
        ("number_of_clients: 1e30", "2147483647"),
        ("number_of_clients:", "leave the line out"),
        ("client_sampling_rate: 50", "write 0.5 for 50 %"),
        ("stop_avg_accuracy: 95", "write 0.95 for 95 %"),
        ("distance_metric: cosin", "did you mean cosine?"),
        ("aggregation_strategy: FedPox", "did you mean FedProx?"),
        ("model_type: swin", "one of cnn, huggingface, lenet, logistic, lstm, mlp"),
        ("dataset_type: [digits]", "got ['digits']"),
        ("federation_id: true", "put text in quotes"),
        ("data_dir: ''", "text of at least 1 character"),
        (f"data_dir: {{{'x' * 99}: 1}}", "got a mapping"),
        (f"device: {'x' * 999}", "xxx..."),
        ("mlflow_tracking_uri: ''", "or null"),
        ("chunk_score: norm", "one of accumulated, distance, fisher, gradient"),
        ("federated_learning_topology: mesh", "one of complete, custom, k_connected, ring, star"),
        ("federated_learning_schema: ClusterFederatedLearning", "no clustered federations"),
        ("client_k_neighbors: 0", "a whole number from 1 to"),
        ("sensitivity_schedule: [50, 0]", "got [50, 0]; allowed: a list of numbers above 0 and at most 100"),
        ("sensitivity_schedule: [[1], yes]", "got [a list, 'yes']"),
        ("sensitivity_schedule: [true]", "got [true]"),
        ("sensitivity_schedule: 50", "write it as a list, such as"),
        ("sensitivity_schedule: null", "leave the line out"),
        ("local_parameters: head", "allowed: a list of words; write it as a list, such as [head.*]"),
        ("chunking_prats: 5", "did you mean chunking_parts?"),
        ("Chunking-Parts: 5", "did you mean chunking_parts?"),
        (f"{'k' * 999}: 5", "no such setting"),
        ("zzz: 5", "fedchunk schema lists them all"),
    ],
)
def test_the_message_helps(line, words):
    fault = only_fault(line)
    assert words in fault.message + fault.key
    assert len(str(fault)) < 250


@pytest.mark.parametrize(
    ("line", "section", "name", "value"),
    [
        ("chunking_parts: 5.0", "chunking", "chunking_parts", 5),
        ("chunking_parts: 1e3", "chunking", "chunking_parts", 1000),
        ("sensitivity_percentage: 80", "chunking", "sensitivity_percentage", 80.0),
        ("model_type: LENET", "training", "model_type", "lenet"),
        ("optimizer: SGD", "training", "optimizer", "sgd"),
        ("aggregation_strategy: fedprox", "training", "aggregation_strategy", "FedProx"),
        ("fedprox_mu: 1", "training", "mu", 1.0),
        ("client_k_neighbors: null", "federation", "k_value", None),
        ("sensitivity_schedule: [50, 2.5]", "chunking", "sensitivity_schedule", (50.0, 2.5)),
        ("sensitivity_schedule: []", "chunking", "sensitivity_schedule", ()),
        ("data_distribution_kind: 20", "data", "data_distribution_kind", "20"),
        ("data_distribution_kind: '20'", "data", "data_distribution_kind", "20"),
        ("data_distribution_kind: DIR", "data", "data_distribution_kind", "dir"),
        ("federation_id: 007", "federation", "federation_id", "007"),
        ("federation_id: 1.10", "federation", "federation_id", "1.10"),
        ("federation_id: 12:30:45", "federation", "federation_id", "12:30:45"),
        ("federation_id: yes", "federation", "federation_id", "yes"),
        ("federated_learning_schema: traditional", "federation", "federated_learning_schema",
         "TraditionalFederatedLearning"),
        ("random_seed: 9223372036854775807", "federation", "random_seed", 2**63 - 1),
        ("placement_group_strategy: spread", "runtime", "placement_group_strategy", "SPREAD"),
        ("placement_group_strategy: PLACEMENT_GROUP_STRICT_PACK", "runtime", "placement_group_strategy", "STRICT_PACK"),
        ("number_of_epochs: null", "training", "number_of_epochs", 1),
        ("weight_decay: null", "training", "weight_decay", None),
    ],
)  # fmt: skip
def test_harmless_spellings_are_understood(line, section, name, value):
    read = getattr(getattr(parse(line, "f.yaml").settings, section), name)
    assert (type(read), read) == (type(value), value)


def test_fedpilots_names_of_a_peer_to_peer_federation_are_understood():
    text = "federated_learning_schema: decentralized\nfederated_learning_topology: k_connect\nclient_k_neighbors: 4\n"
    federation = parse(text, "f.yaml").settings.federation
    assert federation.federated_learning_schema == "DecentralizedFederatedLearning"
    assert (federation.federated_learning_topology, federation.k_value) == ("k_connected", 4)


def test_a_list_can_be_given_on_the_command_line():
    loaded = parse("chunking: true\n", "f.yaml", ["sensitivity_policy=schedule", "sensitivity_schedule=[50, 5]"])
    assert loaded.settings.chunking.sensitivity_schedule == (50.0, 5.0)


def test_overrides_win_over_the_file_even_over_its_wrong_values():
    loaded = parse("chunking_parts: 0\nfedprox_mu: 1\n", "f.yaml", ["chunking_parts=8", "mu=2", "federation_id=3"])
    assert loaded.settings.chunking.chunking_parts == 8
    assert loaded.settings.training.mu == 2.0
    assert loaded.settings.federation.federation_id == "3"


def test_of_two_overrides_the_last_counts_and_that_is_said():
    loaded = parse("chunking: false\n", "f.yaml", ["random_seed=1", "random_seed=2"])
    assert loaded.settings.federation.random_seed == 2
    assert loaded.notices == ("random_seed=2: random_seed: set twice; this one counts, not random_seed=1",)


def test_a_wrong_override_is_reported_at_the_override():
    assert str(only_fault("", "chunking_parts=[1]")).startswith("chunking_parts=[1]: chunking_parts: got [1]")


def test_a_setting_under_two_names_is_a_fault_that_names_both():
    fault = only_fault("fedprox_mu: 1\nmu: 1\n")
    assert str(fault) == "f.yaml:2:1: mu: set twice, as fedprox_mu at f.yaml:1:1; keep one"


@pytest.mark.parametrize("lines", ["client_k_neighbors: null\nk_value: 2", "k_value: 2\nclient_k_neighbors: null"])
def test_null_under_one_of_two_names_says_nothing(lines):
    body = f"{lines}\nfederated_learning_schema: decentralized\nfederated_learning_topology: k_connected\n"
    assert parse(body, "f.yaml").settings.federation.k_value == 2


def test_fed_avg_turns_fedpilots_clustering_off():
    loaded = parse("do_cluster: true\nfed_avg: true\n", "f.yaml")
    assert loaded.settings == Settings()
    assert "do_cluster" in loaded.notices[0]
    assert "clustering" in str(only_fault("do_cluster: true\nfed_avg: false\n"))


@pytest.mark.parametrize(
    ("written", "meant"), [("fashion-mnist", "fmnist"), ("CIFAR-10", "cifar10"), ("cifar-100", "cifar100")]
)
def test_fedpilots_names_of_data_sets_are_known(written, meant):
    assert parse(f"dataset_type: {written}\n", "f.yaml").settings.data.dataset_type == meant


def test_fedpilots_centralized_schema_is_the_traditional_one():
    loaded = parse("federated_learning_schema: CentralizedFederatedLearning\n", "f.yaml")
    assert loaded.settings.federation.federated_learning_schema == "TraditionalFederatedLearning"


def test_an_alias_is_reported_by_the_name_that_was_written():
    assert only_fault("fedprox_mu: -1\n").key == "fedprox_mu"


@pytest.mark.parametrize(
    "line",
    [
        "dp_enabled: false", "do_cluster: null", "gpu_index: 0", "gpu_index: '0'", "client_role: train",
        "encryption_method: none",
        "runtime_engine: torch", "metrics: {round: true, round_otel: false}", "metrics.round: true", "dp_epsilon: 2.0",
        "clustering_period: 9", "mean_accuracy_to_csv: true", "use_global_accuracy_for_noniid: true",
        "desired_distribution: null",
    ],
)  # fmt: skip
def test_fedpilots_keys_that_ask_for_nothing_are_said_and_ignored(line):
    loaded = parse(line, "f.yaml")
    assert loaded.settings == Settings()
    key = line.partition(":")[0]
    assert loaded.notices == (f"f.yaml:1:1: {key}: FedPilot's; no counterpart in fedchunk, ignored",)


@pytest.mark.parametrize(
    ("line", "feature"),
    [
        ("dp_enabled: true", "differential privacy"),
        ("dp_enabled: yes", "differential privacy"),
        ("do_cluster: true", "clustering"),
        ("encryption_method: ckks", "encryption"),
        ("gpu_index: '0:4'", "gpus_per_actor"),
        ("gpu_index: false", "gpus_per_actor"),
        ("client_role: train-test", "roles"),
        ("shapley: 1", "Shapley"),
        ("metrics: {round_otel: true}", "OpenTelemetry"),
        ("use_global_accuracy_for_noniid: false", "parts of the test set"),
        ("save_global_models: true", "every round"),
    ],
)
def test_fedpilots_keys_that_ask_for_what_is_not_here_are_refused(line, feature):
    fault = only_fault(line)
    assert fault.where == "f.yaml:1:1"
    assert f"fedchunk does not support {feature}" in fault.message or feature in fault.message


def test_sections_refuse_what_files_may_not_say():
    for section, field in ((ChunkingSettings, "chunking_parts"), (RuntimeSettings, "ray_dashboard_port")):
        for value in (0, 2**31, "5", True, float("nan")):
            with pytest.raises(ValueError, match=field):
                section(**{field: value})
    with pytest.raises(ValueError, match="ray_dashboard_port"):
        RuntimeSettings(ray_dashboard_port=65536)
    assert TrainingSettings(mu=3.0).proximal_mu == 0.0
    assert TrainingSettings(mu=3.0, aggregation_strategy="FedProx").proximal_mu == 3.0


def test_a_file_is_loaded_with_its_name_as_place(tmp_path):
    path = tmp_path / "a b.yaml"
    path.write_text("chunking_parts: 4\n\nfoo: 1\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        loading.load(path)
    assert caught.value.faults[0].where == f"{path}:3:1"
    path.write_text("chunking_parts: 4\n", encoding="utf-8")
    assert loading.load(str(path), ["chunking=true"]).settings.chunking.chunking


def test_a_byte_order_mark_and_windows_lines_do_no_harm(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbfchunking: true\r\nchunking_parts: 4\r\nfoo: 1\r\n")
    with pytest.raises(ConfigError) as caught:
        loading.load(path)
    assert [fault.where for fault in caught.value.faults] == [f"{path}:3:1"]


@pytest.mark.parametrize(
    ("content", "words", "place"),
    [
        (b"a: 1\nb: \xff\xfe\n", "the byte 0xff is not UTF-8", ":2:4"),
        ("chunking: true\n".encode("utf-16"), "not UTF-8", ":1:1"),
        (b"# \xc3\xa4\nb: \xe4\n", "the byte 0xe4 is not UTF-8", ":2:4"),
        (b"#" * (2**20 + 1), "more than 1048576 bytes", ":1:1"),
        ("ä".encode() * 2**19 + b"a", "more than 1048576 bytes", ":1:1"),
    ],
)
def test_a_file_that_is_not_settings_is_told_so(tmp_path, content, words, place):
    path = tmp_path / "f.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        loading.load(path)
    assert words in caught.value.faults[0].message
    assert caught.value.faults[0].where == f"{path}{place}"


def test_a_missing_file_and_a_folder_are_faults(tmp_path):
    for path, words in ((tmp_path / "no.yaml", "No such file"), (tmp_path, "directory")):
        with pytest.raises(ConfigError) as caught:
            loading.load(path)
        assert caught.value.faults[0].where == str(path)
        assert words in caught.value.faults[0].message


def test_heavy_packages_stay_out():
    code = (
        "import sys, fedchunk.orchestrator.settings.loading as c; c.parse('chunking: true', 'f'); c.json_schema();"
        "print(sorted({'torch', 'ray', 'mlflow', 'pyarrow', 'numpy', 'pandas', 'torchvision'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
