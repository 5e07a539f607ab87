import os
import shutil
import socket
from pathlib import Path

import pytest

from fedchunk.orchestrator.commands.doctor import (
    Check,
    check_disk,
    check_gpus,
    check_home,
    check_memory,
    check_packages,
    check_pair,
    check_port,
    check_python,
    check_shared_memory,
    check_token,
    examine,
    report,
    worst,
)

GB = 1_000_000_000


def token(home: Path, mode: int) -> Path:
    path = home / ".ray" / "auth_token"
    path.parent.mkdir(exist_ok=True)
    path.write_text("secret")
    path.chmod(mode)
    return path


@pytest.mark.parametrize(("version", "status"), [((3, 10, 14), "fail"), ((3, 11, 0), "ok"), ((3, 14, 1), "ok")])
def test_python_from_3_11(version, status):
    assert check_python(version).status == status


def test_missing_and_old_packages_fail_with_what_is_needed():
    checks = check_packages(["no-such-package>=1", "numpy>=99", "pydantic>=2", "pytest>=999; extra == 'dev'"])

    assert [(c.name, c.status) for c in checks] == [("no-such-package", "fail"), ("numpy", "fail")]
    assert ">=99" in checks[1].remedy


def test_versions_people_ask_for_are_shown():
    (check,) = check_packages(["ray>=2.59"])

    assert (check.name, check.status) == ("ray", "ok")
    assert check.found.startswith("2.")


def test_the_installed_torch_and_torchvision_fit():
    assert check_pair().status == "ok"


def test_no_driver_is_no_fault():
    assert check_gpus(None) == Check("gpus", "ok", "none (no nvidia-smi): experiments run on the processors")


@pytest.mark.parametrize(
    ("script", "status", "found"),
    [
        (
            "echo 'NVIDIA A10, 23028 MiB'; echo 'NVIDIA A10, 23028 MiB'",
            "ok",
            "NVIDIA A10, 23028 MiB; NVIDIA A10, 23028 MiB",
        ),
        ("echo 'driver mismatch' >&2; exit 9", "warn", "driver mismatch"),
    ],
)
def test_gpus_are_what_the_driver_says(tmp_path, script, status, found):
    nvidia_smi = tmp_path / "nvidia-smi"
    nvidia_smi.write_text(f"#!/bin/sh\n{script}\n")
    nvidia_smi.chmod(0o755)

    check = check_gpus(str(nvidia_smi))

    assert (check.status, check.found) == (status, found)


def test_a_driver_that_cannot_be_started_is_a_warning(tmp_path):
    assert check_gpus(str(tmp_path / "gone")).status == "warn"


def test_memory_below_what_two_actors_need_is_a_warning():
    assert check_memory(GB, 8 * GB).status == "warn"
    assert check_memory(6 * GB, 8 * GB) == Check("memory", "ok", "6.00 GB free of 8.00 GB")


def test_no_shared_memory_folder_is_no_fault(tmp_path):
    assert check_shared_memory(tmp_path / "shm").status == "ok"


@pytest.mark.parametrize(
    ("total", "free", "status"), [(100 * GB, GB // 2, "fail"), (100 * GB, 3 * GB, "warn"), (100 * GB, 50 * GB, "ok")]
)
def test_disk(total, free, status):
    assert check_disk("disk", (total, total - free, free)).status == status


def test_a_writable_home_is_left_as_it_was(tmp_path):
    assert check_home(tmp_path, {}).status == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_written_fails_unless_the_token_is_elsewhere(tmp_path):
    home = tmp_path / "none"

    assert check_home(home, {}).status == "fail"
    assert check_home(home, {"RAY_AUTH_TOKEN": "secret"}).status == "warn"


@pytest.mark.parametrize(("mode", "status"), [(0o600, "ok"), (0o400, "ok"), (0o644, "warn"), (0o620, "warn")])
def test_a_token_that_others_can_read_or_write_is_a_warning_with_its_remedy(tmp_path, mode, status):
    path = token(tmp_path, mode)

    check = check_token(tmp_path, {})

    assert check.status == status
    assert check.remedy == (f"chmod 600 {path}" if status == "warn" else "")
    assert "secret" not in check.found


def test_token_follows_rays_own_variables(tmp_path):
    elsewhere = token(tmp_path, 0o644)

    assert check_token(tmp_path / "home", {}).status == "ok"  # not there yet
    assert check_token(tmp_path / "home", {"RAY_AUTH_TOKEN_PATH": str(elsewhere)}).status == "warn"
    assert check_token(tmp_path / "home", {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "gone")}).status == "fail"
    assert check_token(tmp_path, {"RAY_AUTH_TOKEN": "secret"}) == Check("ray token", "ok", "given by RAY_AUTH_TOKEN")
    assert check_token(tmp_path, {"RAY_AUTH_MODE": "disabled"}).status == "warn"


def test_a_port_that_is_taken_is_a_warning_that_says_how_to_choose_another():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        check = check_port(port, "set ray_dashboard_port")

    assert (check.status, check.remedy) == ("warn", "set ray_dashboard_port")
    assert check_port(port, "").status == "ok"


def test_the_worst_check_decides():
    checks = [Check("a", "ok", ""), Check("b", "warn", "", "x")]

    assert worst(checks[:1]) == "ok"
    assert worst(checks) == "warn"
    assert worst([*checks, Check("c", "fail", "")]) == "fail"


def test_report_has_a_line_a_check_and_the_remedy_below():
    text = report([Check("ports", "ok", "free"), Check("token", "warn", "mode 0644", "chmod 600 it")])

    assert text == "ok    ports: free\nwarn  token: mode 0644\n      -> chmod 600 it"


def test_this_machine_is_examined_whole(tmp_path):
    checks = {check.name: check for check in examine(tmp_path, tmp_path, {}, {0: "any"})}

    assert checks["python"].status == "ok"
    assert {"ray", "torch", "torchvision", "mlflow", "pyarrow"} <= set(checks)
    assert 1 <= int(checks["cores"].found) <= (os.cpu_count() or 1)
    assert str(tmp_path) in checks["ray token"].found
    assert checks["disk for runs"].found.endswith(check_disk("", shutil.disk_usage(tmp_path)).found.split(" of ")[1])
