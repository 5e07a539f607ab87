"""The cluster files as their readers see them: Ray's own schema, and what safety and repeatability ask for."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


@pytest.fixture(scope="module")
def ray_job() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docs" / "rayjob.yaml").read_text())


def pinned_ray() -> str:
    return re.search(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]


def containers(ray_job: dict[str, Any]) -> list[dict[str, Any]]:
    groups = ray_job["spec"]["rayClusterSpec"]
    pods = [groups["headGroupSpec"], *groups["workerGroupSpecs"]]
    return [container for pod in pods for container in pod["template"]["spec"]["containers"]]


def test_cluster_file_is_valid_by_the_launchers_own_schema(cluster):
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(cluster)

    validate_config(prepared)
    assert prepared["available_node_types"]["gpu_worker"]["min_workers"] == 2


def test_launcher_refuses_a_misspelt_key(cluster):
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    with pytest.raises(ValidationError, match="setup_comands"):
        validate_config(prepare_config(cluster | {"setup_comands": []}))


def test_every_node_installs_the_synced_project_with_the_pinned_versions(cluster):
    (target,) = [remote for remote, local in cluster["file_mounts"].items() if local == "."]

    install = [command for command in cluster["setup_commands"] if "pip install" in command]

    assert install == [f"cd {target} && pip install -c constraints.txt -e . 'ray[default]'"]
    assert {".venv", ".git", "runs"} <= set(cluster["rsync_exclude"])


def test_ray_is_the_same_version_in_image_and_constraints(cluster, ray_job):
    images = [cluster["docker"]["image"], cluster["docker"]["head_image"]]

    assert {re.search(r":([\d.]+)-py3", image)[1] for image in images} == {pinned_ray()}
    assert ray_job["spec"]["rayClusterSpec"]["rayVersion"] == pinned_ray()


@pytest.mark.parametrize("commands", ["head_start_ray_commands", "worker_start_ray_commands"])
def test_nodes_start_with_token_authentication(cluster, commands):
    starts = [command for command in cluster[commands] if "ray start" in command]

    assert len(starts) == 1
    assert starts[0].startswith("export RAY_AUTH_MODE=token;")


def test_token_is_a_private_file_from_outside_the_project(cluster):
    (remote,) = [remote for remote, local in cluster["file_mounts"].items() if local == "~/.ray/auth_token"]

    assert f"chmod 600 {remote}" in cluster["setup_commands"]


def test_dashboard_listens_on_loopback_only(cluster):
    (start,) = [command for command in cluster["head_start_ray_commands"] if "ray start" in command]

    assert re.findall(r"--dashboard-host=(\S+)", start) == ["127.0.0.1"]
    assert "0.0.0.0" not in (ROOT / "cluster.yaml").read_text()


def test_kubernetes_job_has_a_token_and_runs_the_command_line_on_its_own_cluster(ray_job):
    spec = ray_job["spec"]

    assert (ray_job["apiVersion"], ray_job["kind"]) == ("ray.io/v1", "RayJob")
    assert spec["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert re.fullmatch(r"fedchunk run configs/\S+ .*--address auto.*", spec["entrypoint"])
    assert len({container["image"] for container in containers(ray_job)}) == 1


def test_kubernetes_job_shows_nothing_to_the_outside(ray_job):
    assert "serviceType" not in ray_job["spec"]["rayClusterSpec"]["headGroupSpec"]
    assert spec_env(ray_job).isdisjoint({"RAY_AUTH_TOKEN", "MLFLOW_TRACKING_PASSWORD"})


def spec_env(ray_job: dict[str, Any]) -> set[str]:
    """Variables whose value stands in the file itself."""
    return {entry["name"] for c in containers(ray_job) for entry in c.get("env", []) if "value" in entry}


def test_documentation_shows_the_kubernetes_file_as_it_is():
    assert (ROOT / "docs" / "rayjob.yaml").read_text() in (ROOT / "docs" / "cluster.md").read_text()
