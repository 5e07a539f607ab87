import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchunk.actors.backends.placement import plan_placement
from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.settings.running import RuntimeSettings
from fedchunk.orchestrator.settings.sections import FederationSettings
from fedchunk.orchestrator.settings.whole import Settings


def placed(cpus, gpus=0, *, clients=100, **runtime):
    settings = Settings(federation=FederationSettings(number_of_clients=clients), runtime=RuntimeSettings(**runtime))
    return plan_placement(settings, {"CPU": float(cpus)} | ({"GPU": float(gpus)} if gpus else {}))


def test_as_many_actors_as_cpus_but_no_more_than_clients():
    assert placed(8).number_of_actors == 8
    assert placed(8, cpus_per_actor=3).number_of_actors == 2
    assert placed(8, clients=5).number_of_actors == 5


def test_without_a_gpu_no_share_of_one_is_asked_for():
    placement = placed(2)

    assert (placement.device, placement.gpus) == ("cpu", 0)
    assert placement.bundles == [{"CPU": 1.0}, {"CPU": 1.0}]


def test_an_actor_has_a_gpu_of_its_own_unless_the_settings_say_otherwise():
    placement = placed(16, 4)

    assert (placement.device, placement.number_of_actors) == ("cuda", 4)
    assert placement.bundles[0] == {"CPU": 1.0, "GPU": 1.0}
    assert placed(16, 4, device="cpu").bundles[0] == {"CPU": 1.0}


def test_a_share_lies_on_one_gpu():
    assert placed(16, 2, gpus_per_actor=0.4).number_of_actors == 4
    assert placed(16, 4, gpus_per_actor=2).number_of_actors == 2


@given(st.integers(1, 8), st.integers(1, 64))
def test_actors_that_the_settings_count_share_the_gpus_there_are(gpus, actors):
    placement = placed(64, gpus, number_of_actors=actors)

    on_one = math.floor(1 / placement.gpus + 1e-9)
    assert placement.number_of_actors == actors
    assert placement.gpus <= 1
    assert on_one * gpus >= actors > (on_one - 1) * gpus


@given(st.integers(1, 100))
def test_as_many_even_shares_fit_as_they_say(parts):
    assert placed(1000, 3, clients=1000, gpus_per_actor=1 / parts).number_of_actors == 3 * parts


def test_cuda_without_a_gpu_is_refused():
    with pytest.raises(ConfigError, match="device: cuda needs a GPU in the cluster"):
        placed(4, device="cuda")


@pytest.mark.parametrize(
    ("gpus", "runtime", "what"),
    [
        (0, {"cpus_per_actor": 8}, "cpus_per_actor 8"),
        (2, {"gpus_per_actor": 4}, "cpus_per_actor 1 and gpus_per_actor 4"),
    ],
)
def test_actors_that_do_not_fit_are_refused(gpus, runtime, what):
    with pytest.raises(ConfigError, match=f"not one actor of {what} fits"):
        placed(4, gpus, **runtime)
