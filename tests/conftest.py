"""Fixtures that several packages' tests share."""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("patient", deadline=None)  # a busy machine is no failure
settings.load_profile("patient")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On several processes, those tests that share one Ray stay together and begin first; else a file's do."""
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        is_ray = item.get_closest_marker("ray") is not None
        item.add_marker(pytest.mark.xdist_group("ray" if is_ray else item.path.name))
    items.sort(key=lambda item: item.get_closest_marker("ray") is None)


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of the checkout."""
    return Path(__file__).parents[1]


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one, with no setting of the caller's environment in reach."""
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def _one_ray():
    """Ends the Ray that tests share."""
    import ray

    yield ray
    ray.shutdown()


@pytest.fixture
def ray_here(_one_ray):
    """One Ray for all tests: starting it takes longer than most of them."""
    from fedchunk.actors.backends.ray_start import start_ray
    from fedchunk.orchestrator.settings.running import RuntimeSettings

    if not _one_ray.is_initialized():
        start_ray(RuntimeSettings(number_of_actors=2, object_store_memory_mb=300), None)
    return _one_ray


@pytest.fixture
def no_ray(_one_ray):
    """This process has no Ray: beside one of its own a cluster would be on the loopback, where nobody joins it."""
    _one_ray.shutdown()
