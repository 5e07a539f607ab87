"""The wheel: what it installs, that a small project runs on it alone, and that its types are good for a consumer."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

BASE_PYTHON = Path(sys._base_executable)
"""Without this environment's links to the checkout: libraries come by PYTHONPATH, fedchunk from the wheel alone."""


@pytest.fixture(scope="session")
def wheel(project, tmp_path_factory):
    """The wheel of a copy of the checkout, unpacked."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=project, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    for name in filter(None, files):
        if (project / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((project / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", str(built), str(source)], check=True, timeout=240)
    (file,) = built.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        archive.extractall(built / "unpacked")
    return built / "unpacked"


def environment(wheel: Path) -> dict[str, str]:
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(wheel), *libraries]), "OMP_NUM_THREADS": "1"}


def fedchunk(wheel, folder, *arguments):
    command = [BASE_PYTHON, "-c", "from fedchunk.orchestrator.main import main; main()", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(wheel), capture_output=True, text=True, timeout=200, check=False
    )


@pytest.mark.slow
def test_the_wheel_installs_one_package_with_types_schema_and_configurations(wheel):
    assert {path.name for path in wheel.iterdir() if not path.name.endswith(".dist-info")} == {"fedchunk"}
    for name in ("py.typed", "configs/fedchunk.schema.json", "configs/quickstart.yaml", "configs/new/mine.py"):
        assert (wheel / "fedchunk" / name).is_file(), name


@pytest.mark.slow
def test_a_new_project_runs_on_the_wheel_alone_beside_folders_of_our_names(wheel, tmp_path):
    made = fedchunk(wheel, tmp_path, "new", "first")
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "first"
    for name in ("actors", "analysis", "orchestrator"):  # a user's own, and broken at that
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise RuntimeError('not ours')")
    ran = fedchunk(
        wheel, folder, "run", "settings.yaml", "--local", "mlflow_enabled=false", "federated_learning_rounds=2"
    )
    assert ran.returncode == 0, ran.stderr
    where = fedchunk(wheel, folder, "--version")
    assert where.returncode == 0


@pytest.mark.slow
def test_types_hold_for_a_consumer(wheel, tmp_path):
    consumer = tmp_path / "consumer.py"
    consumer.write_text(
        "import pyarrow as pa\n"
        "import fedchunk\n"
        "from fedchunk import Run, load_run\n\n\n"
        "def best(path: str) -> float:\n"
        "    run: Run = load_run(path)\n"
        "    table: pa.Table = run.rounds\n"
        "    reveal_type(run.weights)\n"
        "    reveal_type(fedchunk.run('a.yaml', local=True))\n"
        "    return float(table['accuracy'][-1].as_py())\n"
    )
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--cache-dir", tmp_path / "cache",
         "--config-file", os.devnull, consumer],
        cwd=tmp_path, env=os.environ | {"MYPYPATH": str(wheel)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    errors = [line for line in checked.stdout.splitlines() if "consumer.py" in line and ": error:" in line]
    assert not [line for line in errors if "pyarrow" not in line], checked.stdout
    assert 'Revealed type is "fedchunk.analysis.load.Run"' in checked.stdout
    assert 'Revealed type is "Any"' not in checked.stdout
