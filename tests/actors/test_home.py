"""Parameters that stay at home: a plain loop's bits, with any actors; never in a message."""

import hashlib
from itertools import pairwise

import numpy as np
import pytest
import torch

from fedchunk.actors.client.experiment_data import prepare
from fedchunk.orchestrator.contract.home_part import apart, joined, shared_part, stays_home
from fedchunk.orchestrator.contract.messages import BufferSpec, ModelSpec, ModelState, ParameterSpec
from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.core.seeds import generator
from fedchunk.orchestrator.learning.build import build_model, flat_model, model_spec
from fedchunk.orchestrator.learning.engines.image_order import image_order
from fedchunk.orchestrator.learning.preprocess import to_device

HEAD, FIRST = ("5.*",), ("1.*",)
RESNET = {
    "model_type": "resnet20", "model_options": {"blocks": 1}, "number_of_clients": 3, "synthetic_samples": 60,
    "synthetic_size": 8, "data_distribution_kind": "iid",
}  # fmt: skip


def plain_personal(settings):
    """FedAvg of what is shared, as a textbook has it: a module and a state_dict for each client."""
    data, patterns = prepare(settings), settings.training.local_parameters
    training, federation, dataset = settings.training, settings.federation, data.dataset

    def build():
        return build_model(settings, dataset.input_shape, dataset.num_classes)

    shared = {name: value for name, value in build().state_dict().items() if not stays_home(name, patterns)}
    modules = [build() for _ in range(federation.number_of_clients)]
    for round_index in range(1, federation.federated_learning_rounds + 1):
        for client, module in enumerate(modules):
            module.load_state_dict(shared, strict=False)
            indices = data.partition.samples_of(client)
            x = to_device(dataset.train_x[indices], dataset.scale, None, torch.device("cpu"))
            y = torch.from_numpy(dataset.train_y[indices])
            optimizer = torch.optim.SGD(module.parameters(), lr=training.learning_rate)
            rng = generator(federation.random_seed, "batches", round_index, client)
            module.train()
            for batch in torch.from_numpy(rng.permutation(len(y))).split(training.train_batch_size):
                optimizer.zero_grad()
                x_B = x[batch].to(memory_format=image_order(module, "cpu")) if x.ndim == 4 else x[batch]
                torch.nn.functional.cross_entropy(module(x_B), y[batch]).backward()
                optimizer.step()
        states = [module.state_dict() for module in modules]
        shared = {
            name: (sum(state[name].double() for state in states) / len(states)).float()
            if states[0][name].is_floating_point()
            else torch.stack([state[name] for state in states]).double().mean().round().long()
            for name in shared
        }
    for module in modules:
        module.load_state_dict(shared, strict=False)
    names = [name for name, _ in build().named_parameters() if name in shared]
    return np.concatenate([shared[name].numpy().ravel() for name in names]), modules, dataset


def accuracies(modules, dataset):
    x = to_device(dataset.test_x, dataset.scale, None, torch.device("cpu"))
    with torch.no_grad():
        answers = [module.eval()(x).argmax(1).numpy() for module in modules]
    return [float((answer == dataset.test_y).mean()) for answer in answers]


@pytest.mark.parametrize("chunking", [False, True])
@pytest.mark.parametrize(
    "rules",
    [
        {"local_parameters": HEAD},
        {"local_parameters": FIRST},
        {"local_parameters": ("1.weight", "*.bias")},
        {**RESNET, "local_parameters": ("*norm*",)},
        {**RESNET, "local_parameters": ("head.*",)},
    ],
    ids=["head", "first", "some of each", "batch norms", "head beside buffers"],
)
def test_full_exchange_of_what_is_shared_gives_the_bits_of_a_plain_loop(make_settings, run_local, rules, chunking):
    settings = make_settings(
        chunking=chunking, sensitivity_percentage=100.0, vectorize_clients="off", evaluate_clients=True, **rules
    )
    run = run_local(settings)
    weights_P, modules, dataset = plain_personal(settings)

    assert run.summary.status == "finished", run.summary.error
    assert run.summary.weights_sha256 == hashlib.sha256(weights_P.astype("<f4").tobytes()).hexdigest()
    assert run.rows("rounds")[-1]["accuracy"] is None
    last = [row["accuracy"] for row in run.rows("clients") if row["round"] == 3]
    assert last == pytest.approx(accuracies(modules, dataset))
    assert run.rows("rounds")[-1]["client_accuracy_mean"] == pytest.approx(np.mean(last))


@pytest.mark.parametrize("patterns", [HEAD, FIRST])
def test_clients_at_once_keep_their_own_as_those_one_by_one(make_settings, run_local, patterns):
    rules = {"chunking": False, "local_parameters": patterns, "clients_per_group": 5}
    settings = make_settings(vectorize_clients="on", **rules)
    run = run_local(settings)
    weights_P, _, _ = plain_personal(settings)

    assert all("at once" in row["training"] for row in run.rows("clients"))
    np.testing.assert_allclose(run.model.weights_P, weights_P, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"chunking": False, "client_sampling_rate": 0.6},
        {"chunk_reconstruction": "own_weights", "clients_per_call": 3, "clients_per_group": 2},
        {"chunk_reconstruction": "error_feedback", "chunk_encoding": "int4", "client_sampling_rate": 0.6},
        {"chunk_agreement": "consensus", "evaluate_clients": True, "chunk_layout": "tensors"},
        {"transport": "tcp", "evaluate_clients": True},
    ],
)
def test_any_actors_give_the_same_bits(make_settings, run_local, shuffled_group, without_times, rules):
    rules = {"local_parameters": FIRST, "chunk_score": "layerwise", "federated_learning_rounds": 4, **rules}
    one = run_local(make_settings(number_of_actors=1, **rules))
    shuffled_group(np.random.default_rng(5))
    two = run_local(make_settings(number_of_actors=2, **rules))
    assert one.summary.status == "finished", one.summary.error
    assert one.summary.weights_sha256 == two.summary.weights_sha256
    for table in ("rounds", "clients", "chunks", "ledger"):
        assert without_times(one.rows(table)) == without_times(two.rows(table))


PEERS = {"federated_learning_schema": "DecentralizedFederatedLearning", "federated_learning_topology": "complete"}


@pytest.mark.parametrize("patterns", [HEAD, FIRST])
@pytest.mark.parametrize("rule", ["contributors", "own_weights", "relay", "relay_tree"])
def test_peers_that_send_all_that_they_share_to_all_are_the_plain_loop(make_settings, run_local, rule, patterns):
    tree = {"evaluate_clients": True} if rule == "relay_tree" else {}
    settings = make_settings(
        **PEERS, **tree, chunk_reconstruction=rule, sensitivity_percentage=100.0, local_parameters=patterns,
        vectorize_clients="off",
    )  # fmt: skip
    run = run_local(settings)
    weights_P, modules, dataset = plain_personal(settings)

    assert run.summary.status == "finished", run.summary.error
    np.testing.assert_allclose(run.model.weights_P, weights_P, rtol=1e-4, atol=1e-6)
    last = [row for row in run.rows("clients") if row["round"] == 3]
    assert [row["accuracy"] for row in last] == pytest.approx(accuracies(modules, dataset), abs=0.02)
    assert len({row["accuracy"] for row in last}) > 1
    assert run.rows("rounds")[-1]["accuracy"] is None
    assert {row["bytes"] for row in run.rows("ledger") if row["kind"] == "values"} <= {
        4 * len(weights_P) * times for times in range(1, 5)
    }


@pytest.mark.parametrize(
    "rules",
    [
        {"federated_learning_topology": "ring", "final_average": True},
        {"chunk_reconstruction": "stale_copies", "chunk_encoding": "int4"},
        {"chunk_reconstruction": "relay", "min_completion_rate": 0.5, "chunk_score": "layerwise"},
    ],
)
def test_any_actors_give_peers_the_same_bits(make_settings, run_local, shuffled_group, without_times, rules):
    rules = {**PEERS, "local_parameters": FIRST, **rules}
    one = run_local(make_settings(number_of_actors=1, **rules))
    shuffled_group(np.random.default_rng(5))
    two = run_local(make_settings(number_of_actors=2, **rules))
    assert one.summary.status == "finished", one.summary.error
    assert one.summary.weights_sha256 == two.summary.weights_sha256
    for table in ("rounds", "clients", "chunks", "ledger"):
        assert without_times(one.rows(table)) == without_times(two.rows(table))


def test_what_stays_at_home_is_in_no_message_and_in_no_chunk(make_settings, run_local):
    run = run_local(make_settings(local_parameters=HEAD, sensitivity_percentage=100.0, chunk_layout="tensors"))
    shared = 36 * 200 + 200 + 200 * 200 + 200

    sent = [row["bytes"] for row in run.rows("ledger") if row["kind"] == "values"]
    assert set(sent) == {4 * shared}
    assert run.spec.num_parameters == shared == len(run.model.weights_P)
    assert run.spec.home.num_parameters == 200 * 4 + 4
    assert [row["stop"] for row in run.info.layout.to_pylist()][-1] == shared


def test_of_batch_norm_at_home_no_buffer_is_sent(make_settings, run_local):
    rules = {**RESNET, "sensitivity_percentage": 50.0}
    whole = run_local(make_settings(**rules))
    own = run_local(make_settings(**rules, local_parameters=("*norm*",)))

    assert "buffers" in {row["kind"] for row in whole.rows("ledger")}
    assert "buffers" not in {row["kind"] for row in own.rows("ledger") if row["bytes"]}


def spec_of_sizes(parameters, buffers):
    bounds = np.cumsum([0, *(size for _, size in parameters)]).tolist()
    places = [
        ParameterSpec(name, (size,), *ends) for (name, size), ends in zip(parameters, pairwise(bounds), strict=True)
    ]
    ends, others = {False: 0, True: 0}, []
    for name, size, is_integer in buffers:
        others.append(BufferSpec(name, (size,), is_integer, ends[is_integer], ends[is_integer] + size))
        ends[is_integer] += size
    return ModelSpec(tuple(places), tuple(others))


WHOLE = spec_of_sizes(
    [("body.a", 3), ("body.b", 2), ("head.a", 4), ("head.b", 1)],
    [("body.mean", 2, False), ("body.count", 1, True), ("head.mean", 3, False), ("head.count", 1, True)],
)


def test_a_model_falls_apart_and_is_whole_again():
    spec = shared_part(WHOLE, ("head.*",), "mine")
    state = ModelState(np.arange(10, dtype=np.float32), np.arange(5, dtype=np.float32), np.arange(2))
    shared, home = apart(spec, state)

    assert [one.name for one in spec.parameters] == ["body.a", "body.b"]
    assert [(one.name, one.start, one.stop) for one in spec.home.parameters] == [("head.a", 0, 4), ("head.b", 4, 5)]
    assert [(one.name, one.start) for one in spec.home.buffers] == [("head.mean", 0), ("head.count", 0)]
    assert (shared.weights_P.tolist(), home.weights_P.tolist()) == ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9])
    assert (home.buffers_B.tolist(), home.counters_I.tolist()) == ([2, 3, 4], [1])
    again = joined(shared, home)
    assert all(
        np.array_equal(getattr(again, name), getattr(state, name)) for name in ("weights_P", "buffers_B", "counters_I")
    )


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (
            ("hed.*",),
            "got 'hed.*', which no trained parameter and no buffer of mine is called; it has body.a, body.b, head.a",
        ),
        (("head.*", "nothing"), "got 'nothing', which no"),
        (("*",), r"got ['*'], which leaves no parameter of mine to share"),
    ],
)
def test_patterns_that_mean_nothing_or_everything_are_refused(patterns, message):
    with pytest.raises(ConfigError) as caught:
        shared_part(WHOLE, patterns, "mine")
    (fault,) = caught.value.faults
    assert fault.key == "local_parameters"
    assert fault.message.startswith(message)


@pytest.mark.parametrize("patterns", [(), HEAD, FIRST, ("*norm*", "conv.weight")])
def test_the_flat_model_answers_alike_whatever_lies_last(make_settings, patterns):
    rules = RESNET if patterns == ("*norm*", "conv.weight") else {}
    settings = make_settings(**rules, local_parameters=patterns)
    shape = (1, 8, 8) if rules else (1, 6, 6)
    module, model = build_model(settings, shape, 4), flat_model(settings, shape, 4, "cpu")
    x_B = torch.randn(3, *shape)

    torch.testing.assert_close(model.module(x_B), module(x_B), rtol=0, atol=0)
    names = [place.name for place in model.spec.parameters]
    assert sorted(names) == sorted(name for name, _ in module.named_parameters())
    assert [stays_home(name, patterns) for name in names] == sorted(stays_home(name, patterns) for name in names)
    spec = model_spec(settings, shape, 4)
    assert spec == shared_part(model.spec, patterns, "mlp")
    state = model.state()
    model.weights.zero_()
    model.load(state)
    torch.testing.assert_close(model.module.eval()(x_B), module.eval()(x_B), rtol=0, atol=0)
