import json
from itertools import pairwise

import pytest

from fedchunk.orchestrator.commands.plan import make_plan
from fedchunk.orchestrator.commands.plan_messages import Bounds
from fedchunk.orchestrator.commands.plan_report import plan_text
from fedchunk.orchestrator.commands.plan_star import Downloads
from fedchunk.orchestrator.contract.messages import BufferSpec, ModelSpec, ParameterSpec
from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.learning.data.facts import DataFacts, data_facts
from fedchunk.orchestrator.learning.data.load import load_dataset
from fedchunk.orchestrator.settings.running import RuntimeSettings
from fedchunk.orchestrator.settings.sections import (
    ChunkingSettings,
    DataSettings,
    FederationSettings,
    TrainingSettings,
)
from fedchunk.orchestrator.settings.whole import Settings

HEADER, MASK, SETUP = 8, 1, 24
"""Bytes of a header, of a mask of 4 chunks that are not all, and what the first message of a connection has more."""
FEEDBACK = {"chunk_reconstruction": "error_feedback", "chunk_score": "accumulated"}
PEERS = {"federated_learning_schema": "DecentralizedFederatedLearning"}
RING = {**PEERS, "federated_learning_topology": "ring"}


def model(parameters: int, float_buffers: int = 0, counters: int = 0) -> ModelSpec:
    return ModelSpec(
        (ParameterSpec("weight", (parameters,), 0, parameters),),
        (
            BufferSpec("mean", (float_buffers,), False, 0, float_buffers),
            BufferSpec("count", (counters,), True, 0, counters),
        ),
    )


RESNET50 = model(25_557_032, 53_120, 53)
"""ResNet-50 with 1,000 classes, as torchvision counts it."""


def settings(clients=4, rounds=3, rate=1.0, *, federation=None, **chunking) -> Settings:
    return Settings(
        chunking=ChunkingSettings(**({"chunking": True} | chunking)),
        federation=FederationSettings(
            number_of_clients=clients,
            federated_learning_rounds=rounds,
            client_sampling_rate=rate,
            **(federation or {}),
        ),
    )


def test_the_seeds_example_comes_out_as_its_arithmetic_says():
    seed = settings(50, 100, chunking_parts=50, sensitivity_percentage=80.0)

    plan = make_plan(seed, RESNET50, actors=1)

    assert plan.chunks_sent == Bounds(40, 40)
    assert plan.dense_message == pytest.approx(100e6, rel=0.03)  # "100MB per upload"
    assert plan.dense == pytest.approx(500e9, rel=0.03)  # "500GB", one way
    assert 2 * plan.dense == pytest.approx(1e12, rel=0.03)
    assert plan.upload.high == pytest.approx(80e6, rel=0.03)  # "Transmit only 80MB"
    assert plan.uplink.high == pytest.approx(0.8 * plan.dense, rel=0.001)


def test_bytes_by_hand():
    """10 values in 4 chunks of 2, 3, 2, 3 values; 2 of them sent; 3 float buffers and 1 counter."""
    plan = make_plan(settings(2, 3, chunking_parts=4, sensitivity_percentage=50.0), model(10, 3, 1), actors=1)

    bare = HEADER + MASK + 4 * 3 + 8
    assert plan.upload == Bounds(bare + 4 * 4, SETUP + bare + 4 * 6)
    assert plan.download == Bounds(bare - MASK + 4 * 4, bare + 4 * 10)  # a mask of all chunks takes nothing
    assert plan.dense_message == bare - MASK + 4 * 10
    assert plan.first_download == SETUP + plan.dense_message
    assert plan.downloads == Downloads(whole=2, changes=4, empty=0)
    assert plan.uplink == Bounds(6 * (bare + 4 * 4) + 2 * SETUP, 6 * (bare + 4 * 6) + 2 * SETUP)
    assert plan.downlink == Bounds(
        2 * plan.first_download + 4 * plan.download.low, 2 * plan.first_download + 4 * plan.download.high
    )
    assert plan.dense == 6 * plan.dense_message + 2 * SETUP


def test_bytes_of_chunks_at_tensors_by_hand():
    """Tensors of 1, 10 and 4 values: in 4 chunks of 1, 5, 5 and 4 values, of which 2 are sent."""
    bounds = (0, 1, 11, 15)
    parameters = tuple(ParameterSpec(str(i), (), *ends) for i, ends in enumerate(pairwise(bounds)))
    spec = ModelSpec(parameters, ())
    chunks = {"chunk_layout": "tensors", "chunking_parts": 4, "sensitivity_percentage": 50.0}
    plan = make_plan(settings(2, 3, **chunks), spec, actors=1)

    assert (plan.chunks, plan.shortest_chunk, plan.longest_chunk) == (4, 1, 5)
    assert plan.upload == Bounds(HEADER + MASK + 4 * 5, SETUP + HEADER + MASK + 4 * 10)
    assert "hold 1 to 5 values, 4 on average" in " ".join(plan_text(plan).split())
    assert "more tensors than chunking_parts" not in plan_text(plan)
    few = make_plan(settings(2, 3, **{**chunks, "chunking_parts": 2}), spec, actors=1)
    assert (few.chunks, few.shortest_chunk, few.longest_chunk) == (3, 1, 10)
    assert "There are more tensors than chunking_parts: each of the 3" in " ".join(plan_text(few).split())
    assert "tensors" not in plan_text(make_plan(settings(chunking_parts=4), spec, actors=1))


def test_own_weights_adds_a_share_per_chunk_on_the_way_down_only():
    chunked = {"chunking_parts": 4, "sensitivity_percentage": 50.0}
    plain = make_plan(settings(**chunked), model(10), actors=1)
    shared = make_plan(settings(chunk_reconstruction="own_weights", **chunked), model(10), actors=1)

    assert shared.download == Bounds(plain.download.low + 4 * 2, plain.download.high + 4 * 4)
    assert (shared.upload, shared.first_download) == (plain.upload, plain.first_download)


def test_dynamic_sensitivity_keeps_the_percentage_as_ceiling():
    fixed = make_plan(settings(chunking_parts=10, sensitivity_percentage=30.0), model(1000), actors=1)
    dynamic = make_plan(
        settings(chunking_parts=10, sensitivity_percentage=30.0, dynamic_sensitivity_percentage=True),
        model(1000),
        actors=1,
    )

    assert dynamic.chunks_sent == Bounds(0, 3)  # where all scores are 0, nothing is worth sending
    assert dynamic.uplink.high == fixed.uplink.high
    assert dynamic.uplink.low < fixed.uplink.low
    assert "ceiling" in plan_text(dynamic)
    assert "ceiling" not in plan_text(fixed)


def test_without_chunking_the_plan_is_full_exchange():
    plan = make_plan(settings(chunking=False), model(1000, 5, 1), actors=1)

    assert plan.uplink == plan.downlink == Bounds(plan.dense, plan.dense)


@pytest.mark.parametrize(
    ("chunking", "evaluates", "states"),
    [
        (False, False, ""),
        (False, True, "clients x (model + 4 C), twice while a checkpoint is written + "),
        (True, False, "clients x (model + 4 C), twice while a checkpoint is written + "),
    ],
)
def test_states_lie_in_the_store_only_where_clients_keep_any(chunking, evaluates, states):
    experiment = settings(chunking=chunking, federation={"evaluate_clients": evaluates})
    (store,) = (line for line in make_plan(experiment, model(1000), actors=1).memory if line.what == "object store")

    assert store.formula == f"{states}one round's payloads + one download + data set"


def downloads_of(experiment) -> Downloads:
    return make_plan(experiment, model(1000), actors=1).downloads


def test_a_sampled_client_downloads_the_whole_model_when_it_first_takes_part():
    downloads = downloads_of(settings(clients=10, rounds=40, rate=0.2))

    assert downloads.whole == 10
    assert downloads.whole + downloads.changes == 2 * 40
    assert downloads.empty == 0


def test_evaluating_the_clients_own_models_moves_their_download_forward():
    """Rounds 2 and 3 (the last) are evaluated: after round 2 all know it, so round 3 tells them nothing new."""
    evaluated = {"evaluate_clients": True, "evaluation_interval": 2}

    assert downloads_of(settings(rounds=3, federation=evaluated)) == Downloads(whole=4, changes=4 + 4 + 4, empty=4)


def test_clients_that_make_the_first_model_download_a_header():
    plan = make_plan(settings(2, 3, federation={"initial_model": "seed"}, chunking=False), model(10), actors=1)

    assert plan.first_download == 0
    assert plan.downloads == Downloads(changes=4, empty=2)
    assert plan.downlink == Bounds.exactly(4 * (HEADER + 40) + 2 * (SETUP + HEADER))


@pytest.mark.parametrize(
    ("encoding", "bytes_of_5", "bytes_of_6"),
    [("float32", 20, 24), ("float16", 10, 12), ("bfloat16", 10, 12), ("int8", 5 + 4, 6 + 4), ("int4", 3 + 4, 3 + 4)],
)
def test_encodings_by_hand(encoding, bytes_of_5, bytes_of_6):
    """11 values in 4 chunks of 2, 3, 3, 3 values; 2 of them sent, each with a scale where there are scales."""
    plan = make_plan(
        settings(chunking_parts=4, sensitivity_percentage=50.0, chunk_encoding=encoding), model(11), actors=1
    )

    assert plan.upload == Bounds(HEADER + MASK + bytes_of_5, SETUP + HEADER + MASK + bytes_of_6)
    assert plan.first_download == SETUP + plan.dense_message


def test_compression_may_leave_no_values_but_never_adds_any():
    plain = make_plan(settings(chunking_parts=4), model(1000), actors=1)
    packed = make_plan(settings(chunking_parts=4, chunk_compression="zstd"), model(1000), actors=1)

    assert packed.upload == Bounds(HEADER, plain.upload.high)  # of all chunks: no mask
    assert packed.encoding == "float32, zstd"


def test_agreement_by_hand():
    """40 values in 4 chunks, 1 sent. Round 1: scores, choice. Round 2: the choice comes with the model."""
    chunks = {"chunking_parts": 4, "sensitivity_percentage": 25.0, "chunk_agreement": "consensus"}
    agreed = settings(1, 2, federation={"initial_model": "seed"}, agreement_interval=2, **chunks)

    plan = make_plan(agreed, model(40), actors=1)

    scores, update, choice = HEADER + 4 + 4, HEADER + MASK + 40, HEADER + MASK + MASK  # an update says how many
    assert plan.score_message == scores
    assert plan.uplink == Bounds.exactly(SETUP + scores + update + update)
    assert plan.downlink == Bounds.exactly((SETUP + HEADER + MASK) + choice + (HEADER + MASK + MASK + 40))
    assert plan.downloads == Downloads(empty=1, changes=1, choices=1)


def test_who_was_away_catches_up_in_full_float32_with_error_feedback():
    chunks = {"chunking_parts": 4, "sensitivity_percentage": 100.0, "chunk_encoding": "int8"}
    always, sampled = (
        make_plan(settings(4, 40, rate, **chunks, **FEEDBACK), model(4000), actors=1) for rate in (1.0, 0.5)
    )

    assert always.download == Bounds.exactly(HEADER + 4 * 2 + 4000)
    assert sampled.download.high == HEADER + 4 * 4000


def test_a_downlink_percentage_replaces_what_clients_chose():
    chunks = {"chunking_parts": 4, "sensitivity_percentage": 50.0, "downlink_sensitivity_percentage": 25.0}
    plan = make_plan(settings(**chunks, **FEEDBACK), model(4000), actors=1)

    assert plan.download == Bounds.exactly(HEADER + MASK + 4 * 1000)


def test_rounds_with_chunks_of_their_own():
    chunks = {"sensitivity_policy": "schedule", "sensitivity_schedule": (50.0, 10.0), "sensitivity_percentage": 20.0}
    plan = make_plan(settings(1, 4, chunking_parts=10, sensitivity_warmup_rounds=1, **chunks), model(1000), actors=1)

    assert plan.chunks_sent == Bounds(1, 10)  # warm-up 10, then 10 % of the schedule's second entry, which stays
    assert plan.uplink == Bounds.exactly(SETUP + HEADER + 3 * (HEADER + 1) + 4 * 100 * (10 + 1 + 1 + 1))


def test_a_budget_caps_the_uplink_and_not_one_message():
    chunks = {"chunking_parts": 100, "sensitivity_policy": "knee"}
    free = make_plan(settings(4, 10, **chunks), model(10_000), actors=1)
    capped = make_plan(settings(4, 10, sensitivity_budget_mb=0.1, **chunks), model(10_000), actors=1)

    assert free.uplink.high > 1_000_000
    assert capped.uplink.high == 100_000
    assert capped.upload.high > 2_500  # what knees leave over can be spent later


def test_a_budget_that_is_always_used_up_gives_every_message_its_share():
    chunks = {"chunking_parts": 100, "sensitivity_policy": "budget"}
    plan = make_plan(settings(4, 10, sensitivity_budget_mb=0.1, **chunks), model(10_000), actors=1)

    six, seven = HEADER + 5 + 400 * 6, HEADER + 6 + 400 * 7  # 7 bits for K; 31 and 34 for the choice
    assert six < 2497 < seven  # (0.1 MB - 4 setups) / 40; what is left of eight rounds pays one chunk more in two
    assert plan.uplink == Bounds.exactly(4 * (SETUP + 8 * six + 2 * seven))


def test_a_budget_below_the_bare_messages_is_refused():
    with pytest.raises(ConfigError, match=r"sensitivity_budget_mb: got 0\.0004 MB, but headers, masks and buffers"):
        make_plan(settings(4, 10, sensitivity_budget_mb=0.0004), model(10_000), actors=1)


def test_overdue_chunks_may_fill_a_message_but_not_every_message():
    chunks = {"chunking_parts": 100, "sensitivity_percentage": 2.0}
    plain = make_plan(settings(2, 50, **chunks), model(10_000), actors=1)
    never = make_plan(settings(2, 50, chunk_max_age=50, **chunks), model(10_000), actors=1)
    aged = make_plan(settings(2, 50, chunk_max_age=20, **chunks), model(10_000), actors=1)

    assert never.uplink == plain.uplink
    assert aged.chunks_sent == Bounds(2, 100)
    assert aged.upload.high == aged.dense_message + 13  # the longest mask of 100 chunks; nothing is overdue at first
    assert (
        aged.uplink.high == plain.uplink.high + 2 * 2 * 4 * 10_000 + 2 * 50 * 13
    )  # each chunk twice, in rounds 21 and 42 at the latest; masks may be of any length


def test_peers_pay_for_every_edge_in_both_directions():
    ring = settings(
        6, 5, federation={**PEERS, "federated_learning_topology": "ring"}, chunking_parts=4, sensitivity_percentage=25.0
    )
    plan = make_plan(ring, model(40, 3, 1), actors=1)

    message = HEADER + MASK + 4 * 10 + 4 * 3 + 8
    assert (plan.topology, plan.edges, plan.downloads, plan.first_download) == ("ring", 6, None, 0)
    assert plan.upload == plan.download == Bounds(message, SETUP + message)
    assert plan.uplink == plan.downlink == Bounds.exactly(2 * 6 * (SETUP + 5 * message))
    assert plan.dense == 2 * 6 * (SETUP + 5 * plan.dense_message)
    text = plan_text(plan)
    assert "6 peers, topology ring with 6 edges, 5 rounds: 12 messages a round, one per edge and direction" in text
    assert "per edge" in text.split("\n\n")[1]
    assert "first download is" not in text


@pytest.mark.parametrize(
    "data",
    [
        DataSettings(),
        DataSettings(
            dataset_type="synthetic",
            synthetic_samples=50,
            synthetic_test_samples=7,
            synthetic_classes=3,
            synthetic_channels=2,
            synthetic_size=5,
        ),
    ],
)
def test_shape_of_data_is_what_loading_gives(data):
    settings = Settings(data=data)
    dataset = load_dataset(settings)
    arrays = (dataset.train_x, dataset.train_y, dataset.test_x, dataset.test_y)

    num_bytes = sum(array.nbytes for array in arrays)
    assert data_facts(settings) == DataFacts(dataset.input_shape, dataset.num_classes, num_bytes)


def test_resized_images_reach_the_model_in_their_new_size():
    facts = data_facts(Settings(data=DataSettings(dataset_type="cifar100", transform_input_size=224)))

    assert (facts.input_shape, facts.num_classes) == ((3, 224, 224), 100)


def test_memory_grows_with_clients_in_the_store_and_with_the_optimizer_in_an_actor():
    few, many = (make_plan(settings(clients), model(10_000), actors=1) for clients in (128, 1280))
    adam = make_plan(Settings(training=TrainingSettings(optimizer="adam")), model(10_000), actors=1)
    sgd = make_plan(Settings(), model(10_000), actors=1)

    assert memory(many, "object store") > memory(few, "object store")
    assert memory(many, "each actor") == memory(few, "each actor")
    assert memory(adam, "each actor") - memory(sgd, "each actor") == 2 * 4 * 10_000


def test_states_of_a_group_stay_until_all_its_clients_have_trained_again():
    """10 of 100 clients in each of many rounds: objects of 5 live (1 + 1/2 + ... + 1/5) times as long as needed."""
    alone, together = (
        make_plan(settings(100, rate=0.1, federation={"clients_per_group": size}), model(10_000), actors=1)
        for size in (1, 5)
    )
    state = 4 * 10_000 + 4 * 100
    difference = memory(together, "object store") - memory(alone, "object store")
    held = difference / state / (137 / 60 - 1)

    assert held == pytest.approx(round(held), abs=1e-3)
    assert 10 <= held <= 100


def test_peers_that_are_trained_at_once_take_memory_of_their_actor_and_none_of_the_store():
    alone, together = (
        make_plan(settings(20, federation={**RING, "clients_per_group": size}), model(10_000), actors=2)
        for size in (1, 5)
    )
    assert memory(together, "each actor") - memory(alone, "each actor") == 4 * 5 * 4 * 10_000
    assert memory(together, "object store") == memory(alone, "object store")


def test_without_checkpoints_states_lie_there_once():
    with_them = settings(6, chunking_parts=10)
    without = with_them.model_copy(update={"runtime": RuntimeSettings(checkpoint_interval=0)})
    twice, once = (memory(make_plan(one, model(10_000), actors=1), "object store") for one in (with_them, without))

    assert twice - once == 6 * (4 * 10_000 + 4 * 10)


def test_full_exchange_keeps_no_models_of_clients():
    chunked, dense = (make_plan(settings(chunking=on), model(10_000), actors=1) for on in (True, False))

    assert memory(chunked, "object store") - memory(dense, "object store") > 4 * 10_000


@pytest.mark.parametrize(
    ("federation", "chunking", "vectors"),
    [
        ({}, {"chunk_score": "update"}, 0),
        ({}, {"chunk_score": "accumulated"}, 6),
        ({}, FEEDBACK, 0),  # instead of a model: all know the same one
        ({"initial_model": "seed"}, {**FEEDBACK, "catch_up": "approximate"}, 6),
        ({**PEERS, "federated_learning_topology": "complete"}, {"chunk_reconstruction": "stale_copies"}, 6 * 2),
        (RING, {"chunk_reconstruction": "relay"}, 4 / 2),
        (RING, {"chunk_reconstruction": "relay_tree"}, 1 / 2),
    ],
)
def test_what_clients_remember_lies_in_the_store(federation, chunking, vectors):
    """6 clients: a vector each for what was not sent, and with stale copies one for all that was heard.

    All of it twice, while a checkpoint is written. Peers that share one model have that, four times, instead of their
    own; and where one plays the coordinator there is its download.
    """
    plain = make_plan(settings(6, federation=federation, chunking_parts=10), model(10_000), actors=1)
    keeping = make_plan(settings(6, federation=federation, chunking_parts=10, **chunking), model(10_000), actors=1)

    assert memory(keeping, "object store") - memory(plain, "object store") == 2 * vectors * 4 * 10_000
    assert (memory(keeping, "each actor") > memory(plain, "each actor")) == (chunking != {"chunk_score": "update"})


@pytest.mark.parametrize(
    ("federation", "chunking", "vectors"),
    [
        ({}, {"chunking": False}, 2),  # the model too, of which full exchange keeps none otherwise, as below
        ({}, {}, 2),
        ({}, FEEDBACK, 2),
        (RING, {}, 2),
        (RING, {"chunk_reconstruction": "relay"}, 2),
        (RING, {"chunk_reconstruction": "relay_tree"}, 2),
    ],
)
def test_carried_momentum_lies_in_the_store(federation, chunking, vectors):
    zero = settings(6, federation=federation, chunking_parts=10, **chunking)
    training = {"momentum": 0.9, "momentum_start": "quasi_global"}
    carried = zero.model_copy(update={"training": zero.training.model_copy(update=training)})
    plans = [make_plan(one, model(10_000), actors=1) for one in (carried, zero)]
    extra = memory(plans[0], "object store") - memory(plans[1], "object store")
    chunks = 4 * 6 if chunking.get("chunking") is False else 0

    assert extra == 2 * (6 * vectors * 4 * 10_000 + chunks)
    assert plans[0].uplink == plans[1].uplink


def test_the_coordinator_holds_what_it_has_not_told_when_chunks_were_sent_and_nothing_for_peers():
    dense, plain, withheld, feedback, peers = (
        memory(make_plan(experiment, model(10_000), actors=1), "coordinator")
        for experiment in (
            settings(chunking=False),
            settings(),
            settings(chunk_score="accumulated"),
            settings(**FEEDBACK),
            settings(federation={**PEERS, "federated_learning_topology": "ring"}),
        )
    )

    assert feedback - dense == 4 * 4 * 10_000
    assert plain - dense == 4 * 4 * 100, "of 4 clients and 100 chunks, where states may be forgotten"
    assert withheld == dense
    assert peers == 4 * 10_000


def memory(plan, what: str) -> int:
    (line,) = [line for line in plan.memory if line.what == what]
    return line.bytes


def test_json_has_exact_bytes_and_text_has_decimal_units():
    plan = make_plan(settings(50, 100, chunking_parts=50, sensitivity_percentage=80.0), RESNET50, actors=None)
    as_json = json.loads(json.dumps(plan.as_dict()))

    assert as_json["uplink"] == {"low": plan.uplink.low, "high": plan.uplink.high}
    assert as_json["actors"] is None
    text = plan_text(plan)
    assert "25,557,032 parameters (102 MB as float32) in 50 chunks, of which a client sends 40" in text
    assert "512 GB" in text
    assert "No client actor fits on this machine" in text


@pytest.mark.parametrize(
    ("federation", "chunking", "words"),
    [
        ({}, {}, "A client's first download is the whole model. Later a client is sent what the clients sent"),
        ({"initial_model": "seed"}, {}, "Clients make the first model themselves"),
        (
            {},
            {"chunk_agreement": "consensus"},
            "a client sends 112 B of scores each round and is told the choice in at most 22 B",
        ),
        ({}, {"chunk_agreement": "consensus", "agreement_interval": 3}, "of scores every 3 rounds"),
        (RING, {"chunk_reconstruction": "relay"}, "90 messages a round, one from each to each of the others"),
        (RING, {"chunk_reconstruction": "relay"}, "every message is handed on from peer to peer until all have it"),
        (RING, {"chunk_reconstruction": "relay_tree"}, "25 messages a round up a tree, hop by hop, and 9 down it"),
        ({}, {"chunk_agreement": "consensus", "agreement_scores": "none"}, "clients send no scores"),
        ({}, {"sensitivity_policy": "knee"}, "The policy knee chooses the number of chunks"),
        ({}, {"sensitivity_warmup_rounds": 1, "sensitivity_percentage": 5.0}, "depends on the round: an upload has"),
        ({}, {"chunk_max_age": 9}, "once in 10 rounds at most"),
        ({}, {"sensitivity_budget_mb": 2.0}, "caps the upload in all at 2.00 MB"),
        ({}, {"chunk_compression": "lz4"}, "'at least' counts none of them"),
        ({"client_sampling_rate": 0.5}, FEEDBACK, "as it was told then, merged, or as float32 values: whichever takes"),
        (
            {"client_sampling_rate": 0.5, "initial_model": "seed"},
            {**FEEDBACK, "catch_up": "approximate"},
            "or the difference to the first model: whichever takes the fewest bytes",
        ),
        ({}, {**FEEDBACK, "downlink_sensitivity_percentage": 5.0}, "Later 5 % of the chunks come down in each round"),
        ({"stop_avg_accuracy": 0.9}, {}, "stop_avg_accuracy may end the run before its last round"),
        ({**PEERS, "federated_learning_topology": "ring"}, {}, "There is no coordinator and no first download"),
    ],
)
def test_the_text_says_what_the_bounds_mean(federation, chunking, words):
    experiment = Settings(
        chunking=ChunkingSettings(**({"chunking": True} | chunking)), federation=FederationSettings(**federation)
    )
    text = " ".join(plan_text(make_plan(experiment, model(1000), actors=1)).split())

    assert words in text


def test_runtime_settings_cost_no_bytes():
    base = settings()
    other = base.model_copy(update={"runtime": RuntimeSettings(number_of_actors=8)})

    assert make_plan(base, model(1000), actors=1).uplink == make_plan(other, model(1000), actors=8).uplink
