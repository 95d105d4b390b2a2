"""The project's own Docker Engine: started, killed, started again over what was left, and stopped without a trace.

Each runs in a network namespace of its own, with its own data and socket.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpulease_host.docker_engine.machine import SIMULATED_GPUS_LABEL
from local import dockerd, dockerd_packages, images
from local.dockerd_files import Dockerd, living_pid
from tests.host.docker_engine.bench import client_of, start_private, wait_until

pytestmark = pytest.mark.docker


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    dockerd.stop(tmp_path, force=True)


def test_the_engine_and_the_set_up_agree_on_the_label() -> None:
    assert dockerd.SIMULATED_GPUS_LABEL == SIMULATED_GPUS_LABEL


def test_a_running_one_is_used_as_it_is(docker_host: str) -> None:
    again = dockerd.ensure()
    assert again.docker_host == docker_host
    assert "running" in again.note


def test_it_starts_over_what_a_killed_one_left_and_containers_live_on(state: Path) -> None:
    host = start_private(state)
    daemon = Dockerd(state)
    client = client_of(host)
    assert (client.info()["Driver"], client.info()["LiveRestoreEnabled"]) == ("btrfs", True)
    images.ensure(host)
    container = client.create_container(images.BUSYBOX, ["sleep", "600"], host_config={"NetworkMode": "none"})
    client.start(container)
    pid = int(daemon.pid_file.read_text())
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 10)

    assert start_private(state) == host
    assert client_of(host).inspect_container(container)["State"]["Running"]
    assert not dockerd.stop(state), "containers run"
    assert dockerd.stop(state, force=True)
    assert not daemon.data_root.is_mount()
    assert not daemon.run_dir.exists()
    assert str(state) not in Path("/proc/mounts").read_text()


def test_containers_of_a_killed_one_keep_it_from_being_stopped_unless_it_is_forced(state: Path) -> None:
    host = start_private(state)
    daemon = Dockerd(state)
    images.ensure(host)
    client = client_of(host)
    container = client.create_container(images.BUSYBOX, ["sleep", "600"], host_config={"NetworkMode": "none"})
    client.start(container)
    process = Path(f"/proc/{client.inspect_container(container)['State']['Pid']}")
    os.kill(int(daemon.pid_file.read_text()), signal.SIGKILL)
    wait_until(lambda: living_pid(daemon.pid_file, "dockerd") is None, 10)
    assert not dockerd.stop(state)
    assert process.exists()
    assert dockerd.stop(state, force=True)
    wait_until(lambda: not process.exists(), 10)


def test_stopping_what_does_not_run_is_no_error(tmp_path: Path) -> None:
    assert dockerd.stop(tmp_path)


def test_a_pid_file_whose_number_is_another_program_is_stale(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    file.write_text(str(os.getpid()))
    assert living_pid(file, "dockerd") is None


def test_missing_packages_are_named_with_the_line_to_run_where_we_may_not() -> None:
    with pytest.raises(dockerd_packages.MissingPackagesError, match=r"apt-get install .*docker\.io"):
        dockerd_packages.provide(["docker.io"], may_install=False)


def test_the_hook_double_lets_only_declared_gpus_through(tmp_path: Path) -> None:
    declared = tmp_path / "gpus"
    declared.mkdir()
    (declared / "GPU-1").touch()
    assert _hook(tmp_path, declared, "GPU-1") == (0, "")
    assert '"container": "abc"' in (declared / "GPU-1").read_text()
    status, said = _hook(tmp_path, declared, "GPU-1,GPU-2")
    assert (status, "GPU-2: unknown device" in said) == (1, True)
    assert _hook(tmp_path, declared, "../gpus/GPU-1")[0] == 1


def _hook(bundle: Path, declared: Path, visible: str) -> tuple[int, str]:
    (bundle / "config.json").write_text(f'{{"process": {{"env": ["NVIDIA_VISIBLE_DEVICES={visible}"]}}}}')
    done = subprocess.run(
        [sys.executable, "local/nvidia_hook.py", "prestart"],
        input=f'{{"id": "abc", "pid": 1, "bundle": "{bundle}"}}',
        env={"GPULEASE_SIMULATED_GPUS": str(declared)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr
