"""Fixtures that several packages' tests share."""

import functools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

settings.register_profile("patient", deadline=None)  # a busy machine is no failure
settings.load_profile("patient")


class _ByFile(LoadScopeScheduling):
    """Each file's tests on one process, and those of all files that start a Ray on the same one: they share it."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return "ray" if file in _files_with_ray() else file


@functools.cache
def _files_with_ray() -> frozenset[str]:
    root = Path(__file__).parents[1]
    files = (root / "tests").rglob("test_*.py")
    return frozenset(str(file.relative_to(root)) for file in files if "mark.ray" in file.read_text(encoding="utf-8"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFile:
    """How ``pytest -n 2`` shares tests out."""
    return _ByFile(config, log)


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
