import json

import pytest

from orchestrator.commands.plan import Bounds, Downloads, count_downloads, data_shape, make_plan, model_input
from orchestrator.commands.plan_report import plan_text
from orchestrator.learning.data import load_dataset
from orchestrator.messages import BufferSpec, ModelSpec, ParameterSpec
from orchestrator.settings import (
    ChunkingSettings,
    DataSettings,
    FederationSettings,
    RuntimeSettings,
    Settings,
    TrainingSettings,
)

HEADER = 64


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


def settings(clients=4, rounds=3, rate=1.0, *, evaluate_clients=False, interval=1, **chunking) -> Settings:
    return Settings(
        chunking=ChunkingSettings(**({"chunking": True} | chunking)),
        federation=FederationSettings(
            number_of_clients=clients,
            federated_learning_rounds=rounds,
            client_sampling_rate=rate,
            evaluate_clients=evaluate_clients,
            evaluation_interval=interval,
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

    mask, buffers = 4, 4 * 3 + 8
    assert plan.upload == Bounds(HEADER + mask + 4 * 4 + buffers, HEADER + mask + 4 * 6 + buffers)
    assert plan.download == Bounds(HEADER + mask + 4 * 4 + buffers, HEADER + mask + 4 * 10 + buffers)
    assert plan.first_download == plan.dense_message == HEADER + mask + 4 * 10 + buffers
    assert plan.downloads == Downloads(whole=2, changes=4, empty=0)
    assert plan.uplink == plan.upload * 6
    assert plan.downlink == Bounds(
        2 * plan.first_download + 4 * plan.download.low, 2 * plan.first_download + 4 * plan.download.high
    )
    assert plan.dense == 6 * plan.dense_message


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

    assert dynamic.chunks_sent == Bounds(1, 3)
    assert dynamic.uplink.high == fixed.uplink.high
    assert dynamic.uplink.low < fixed.uplink.low
    assert "ceiling" in plan_text(dynamic)
    assert "ceiling" not in plan_text(fixed)


def test_without_chunking_the_plan_is_full_exchange():
    plan = make_plan(settings(chunking=False), model(1000, 5, 1), actors=1)

    assert plan.uplink == plan.downlink == Bounds(plan.dense, plan.dense)


def test_a_sampled_client_downloads_the_whole_model_when_it_first_takes_part():
    downloads = count_downloads(settings(clients=10, rounds=40, rate=0.2))

    assert downloads.whole == 10
    assert downloads.whole + downloads.changes == 2 * 40
    assert downloads.empty == 0


def test_evaluating_the_clients_own_models_moves_their_download_forward():
    """Rounds 2 and 3 (the last) are evaluated: after round 2 all know it, so round 3 tells them nothing new."""
    downloads = count_downloads(settings(clients=4, rounds=3, evaluate_clients=True, interval=2))

    assert downloads == Downloads(whole=4, changes=4 + 4 + 4, empty=4)


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
    dataset = load_dataset(data, seed=1)
    arrays = (dataset.train_x, dataset.train_y, dataset.test_x, dataset.test_y)

    assert model_input(data) == (dataset.image_shape, dataset.num_classes)
    assert data_shape(data).num_bytes == sum(array.nbytes for array in arrays)


def test_resized_images_reach_the_model_in_their_new_size():
    assert model_input(DataSettings(dataset_type="cifar100", transform_input_size=224)) == ((3, 224, 224), 100)


def test_memory_grows_with_clients_in_the_store_and_with_the_optimizer_in_an_actor():
    few, many = (make_plan(settings(clients), model(10_000), actors=1) for clients in (10, 20))
    adam = make_plan(Settings(training=TrainingSettings(optimizer="adam")), model(10_000), actors=1)
    sgd = make_plan(Settings(), model(10_000), actors=1)

    assert memory(many, "object store") > memory(few, "object store")
    assert memory(many, "each actor") == memory(few, "each actor")
    assert memory(adam, "each actor") - memory(sgd, "each actor") == 2 * 4 * 10_000


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


def test_runtime_settings_cost_no_bytes():
    base = settings()
    other = base.model_copy(update={"runtime": RuntimeSettings(number_of_actors=8)})

    assert make_plan(base, model(1000), actors=1).uplink == make_plan(other, model(1000), actors=8).uplink
