"""The Docker Engine of the local cloud: a running one is used as it is, else one of ours is started.

Ours keeps its data on a btrfs file (so disk sizes are enforced), keeps containers running when it restarts, and
knows simulated GPUs through a double of NVIDIA's hook, unless NVIDIA's own toolkit is there.

    python -m local.dockerd start|stop|status [--state DIR]
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests

from local import dockerd_disk, dockerd_packages, dockerd_shims
from local.dockerd_files import DEFAULT_SOCKET, Dockerd, living_pid

DEFAULT_STATE = Path(".local/docker")
HOOK_PROGRAM = "nvidia-container-runtime-hook"
# The label by which a GPU host learns where to declare its simulated GPUs to the hook double.
SIMULATED_GPUS_LABEL = "gpulease.simulated-gpus"
CGROUPS = Path("/sys/fs/cgroup")
ENGINE_GROUP = "gpulease-docker"
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30


class DockerdError(Exception):
    """Docker could not be started or stopped; the message says what to do."""


@dataclass(frozen=True)
class Docker:
    """Where Docker answers, whether it is the one of this state directory, and a line for the user."""

    docker_host: str
    ours: bool
    note: str


def ensure(state_dir: Path = DEFAULT_STATE, socket: Path | None = None, *, live_restore: bool = True) -> Docker:
    """A Docker that answers. `socket` asks for one of ours there, whatever else runs.

    Without `live_restore`, one that is started ends with its containers.
    """
    daemon = Dockerd(state_dir.resolve(), socket, live_restore)
    running = _running(daemon)
    if running is not None:
        return running
    dockerd_packages.ensure()
    running = _running(daemon)  # installing it may have started it
    if running is not None:
        return running
    if os.geteuid() != 0:
        raise DockerdError("No Docker answers. As root, run:\n  dockerd &   (or: systemctl start docker)")
    return _start(daemon)


def stop(state_dir: Path = DEFAULT_STATE, *, force: bool = False) -> bool:
    """Stop the dockerd of this state directory and unmount its data; False while containers run, unless forced."""
    daemon = Dockerd(state_dir.resolve())
    pid = living_pid(daemon.pid_file, "dockerd")
    if pid is not None and not _end_containers(daemon.own_socket, force=force):
        return False
    if pid is None and any(dockerd_shims.shims_of(daemon.run_dir)):
        if not force:
            return False
        dockerd_shims.end(daemon.run_dir)
    for file, program in ((daemon.pid_file, "dockerd"), (daemon.containerd_pid_file, "containerd")):
        _terminate(file, program)
    for folder in (daemon.data_root, daemon.run_dir):  # a killed one leaves the networks of containers mounted there
        dockerd_disk.unmount(folder)
    shutil.rmtree(daemon.run_dir, ignore_errors=True)
    return True


def _running(daemon: Dockerd) -> Docker | None:
    own = daemon.own_socket if living_pid(daemon.pid_file, "dockerd") is not None else None
    if own is not None and _waits_until(lambda: _answers(own), START_TIMEOUT_S):
        return Docker(f"unix://{own}", True, f"Docker: ours, already running on {own}")
    if daemon.socket is not None:
        return None
    host = os.environ.get("DOCKER_HOST", f"unix://{DEFAULT_SOCKET}")
    info = _info(host)
    if info is None:
        return None
    if any(label.startswith(SIMULATED_GPUS_LABEL) for label in info["Labels"] or []):
        return Docker(host, False, f"Docker: one of this project, already running on {host}")
    limits = f"GPUs by environment, disk enforced only if {info['Driver']} can"
    return Docker(host, False, f"Docker: using the running one as it is ({host}): {limits}")


def _start(daemon: Dockerd) -> Docker:
    socket = daemon.socket or (DEFAULT_SOCKET if _is_free(DEFAULT_SOCKET) else daemon.run_dir / "docker.sock")
    for directory in (daemon.state_dir, daemon.programs, daemon.run_dir, daemon.simulated_gpus):
        directory.mkdir(parents=True, exist_ok=True)
    daemon.pid_file.unlink(missing_ok=True)  # dockerd refuses to start over a stale one whose number lives again
    if living_pid(daemon.containerd_pid_file, "containerd") is None:
        daemon.containerd_pid_file.unlink(missing_ok=True)  # a zombie's number looks alive to dockerd
    daemon.socket_file.write_text(str(socket))
    daemon.config.write_text("{}")
    dockerd_disk.mount(daemon.data_image, daemon.data_root)
    with daemon.log.open("ab") as log:
        process = subprocess.Popen(
            [*_enter_engine_group(), *_command(daemon, socket)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(daemon),
            start_new_session=True,
        )
    if (
        not _waits_until(lambda: process.poll() is not None or _answers(socket), START_TIMEOUT_S)
        or process.poll() is not None
    ):
        tail = "\n".join(daemon.log.read_text(errors="replace").splitlines()[-5:])
        raise DockerdError(f"dockerd did not start; the end of {daemon.log}:\n{tail}")
    return Docker(f"unix://{socket}", True, f"Docker: started ours on {socket}, data in {daemon.data_image}")


def _enter_engine_group() -> list[str]:
    """A CPU group for Docker itself, as heavy as all tenants together, where nobody (systemd) gives it one.

    Tenants weigh ten times the rest of the host. On a small machine whose CPUs they keep busy, Docker would have a
    tenth of one CPU, and a stop would take half a minute. Containers leave the group for their own.
    """
    cpu, weight_file, weight = CGROUPS / "cpu", "cpu.shares", 10 * 1024
    if not (cpu / weight_file).exists():
        return []
    group = cpu / ENGINE_GROUP
    group.mkdir(exist_ok=True)
    (group / weight_file).write_text(str(weight * (os.cpu_count() or 1)))
    return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group)]


def _command(daemon: Dockerd, socket: Path) -> list[str]:
    command = ["dockerd", "--host", f"unix://{socket}", "--storage-driver", "btrfs"]
    command += ["--live-restore"] if daemon.live_restore else []
    command += ["--data-root", str(daemon.data_root), "--exec-root", str(daemon.run_dir / "exec")]
    command += ["--pidfile", str(daemon.pid_file), "--config-file", str(daemon.config)]
    if _needs_double():
        command += ["--label", f"{SIMULATED_GPUS_LABEL}={daemon.simulated_gpus}"]
    return command


def _environment(daemon: Dockerd) -> dict[str, str]:
    path = dockerd_packages.ROOT_PATH
    if _needs_double():
        _write_double(daemon)
        path = f"{daemon.programs}:{path}"
    return {"PATH": path, "HOME": "/root", "GPULEASE_SIMULATED_GPUS": str(daemon.simulated_gpus)}


def _needs_double() -> bool:
    return shutil.which(HOOK_PROGRAM, path=dockerd_packages.ROOT_PATH) is None


def _write_double(daemon: Dockerd) -> None:
    """Copied, not linked: containers must start when the checkout has moved on."""
    program = daemon.programs / "nvidia_hook.py"
    shutil.copyfile(Path(__file__).with_name("nvidia_hook.py"), program)
    wrapper = daemon.programs / HOOK_PROGRAM
    interpreter = Path(sys.base_prefix) / "bin" / "python3"
    wrapper.write_text(f'#!/bin/sh\nexec {interpreter} -I -S "{program}" "$@"\n')
    wrapper.chmod(0o755)


def _end_containers(socket: Path, *, force: bool) -> bool:
    """With live-restore, containers outlive dockerd and would hold the data root mounted."""
    client = docker.APIClient(base_url=f"unix://{socket}", timeout=STOP_TIMEOUT_S)
    running = [str(container["Id"]) for container in client.containers()]
    if running and not force:
        return False
    for container_id in running:
        client.kill(container_id)
    return True


def _terminate(pid_file: Path, program: str) -> None:
    pid = living_pid(pid_file, program)
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    if not _waits_until(lambda: living_pid(pid_file, program) is None, STOP_TIMEOUT_S):
        os.kill(pid, signal.SIGKILL)


def _is_free(socket: Path) -> bool:
    """Nobody listens there; a file left by a killed dockerd is no obstacle."""
    return not socket.exists() or (socket.is_socket() and not _answers(socket))


def _answers(socket: Path) -> bool:
    return _info(f"unix://{socket}") is not None


def _info(docker_host: str) -> dict[str, Any] | None:
    try:
        return dict(docker.APIClient(base_url=docker_host, timeout=5).info())
    except (docker.errors.DockerException, requests.RequestException):
        return None


def _waits_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["start", "stop", "status"])
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE)
    parser.add_argument("--socket", type=Path, help="start: one of ours on this socket, whatever else runs")
    parser.add_argument("--force", action="store_true", help="stop: end running containers first")
    options = parser.parse_args()
    try:
        return _run(options)
    except (DockerdError, dockerd_packages.MissingPackagesError) as error:
        print(error, file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    if options.command == "start":
        print(ensure(options.state, options.socket).note)
        return 0
    if options.command == "stop":
        stopped = stop(options.state, force=options.force)
        print("Docker: stopped" if stopped else "Docker: left running, containers run in it")
        return 0 if stopped else 1
    running = _running(Dockerd(options.state.resolve()))
    print(running.note if running else "Docker: not running")
    return 0 if running else 1


if __name__ == "__main__":
    sys.exit(main())
