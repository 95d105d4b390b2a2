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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from local import dockerd_disk, dockerd_packages, dockerd_shims
from local.dockerd_answers import (
    START_TIMEOUT_S,
    SilentDockerError,
    answers,
    check_rights,
    info,
    info_once_started,
    is_listening,
    waits_until,
)
from local.dockerd_files import DEFAULT_SOCKET, Dockerd, living_pid
from local.dockerd_group import enter_engine_group

DEFAULT_STATE = Path(".local/docker")
HOOK_PROGRAM = "nvidia-container-runtime-hook"
# The label by which a GPU host learns where to declare its simulated GPUs to the hook double.
SIMULATED_GPUS_LABEL = "gpulease.simulated-gpus"
STOP_TIMEOUT_S = 30


class DockerdError(Exception):
    """Docker could not be started or stopped; the message says what to do."""


@dataclass(frozen=True)
class Docker:
    """Where Docker answers, whether it is the one of this state directory, and a line for the user."""

    docker_host: str
    ours: bool
    note: str
    is_foreign: bool = False
    """Somebody else's, which is used as it is."""


def ensure(state_dir: Path = DEFAULT_STATE, own_socket: Path | None = None, *, live_restore: bool = True) -> Docker:
    """A Docker that answers. `own_socket` asks for one of ours there, whatever else runs.

    Without `live_restore`, one that is started ends with its containers.
    """
    daemon = Dockerd(state_dir.resolve(), own_socket, live_restore)
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


def find(state_dir: Path = DEFAULT_STATE) -> Docker | None:
    """One that runs already; nothing is started. Raises DockerdError."""
    return _running(Dockerd(state_dir.resolve()))


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
    if own is not None and waits_until(lambda: answers(own), START_TIMEOUT_S):
        return Docker(f"unix://{own}", True, f"Docker: ours, already running on {own}")
    if daemon.socket is not None:
        return None
    host = os.environ.get("DOCKER_HOST", f"unix://{DEFAULT_SOCKET}")
    told = _info_of_others(host)
    if told is None:
        return None
    if any(label.startswith(SIMULATED_GPUS_LABEL) for label in told["Labels"] or []):
        return Docker(host, False, f"Docker: one of this project, already running on {host}")
    limits = f"GPUs by environment, disk sizes enforced only if {told['Driver']} can"
    return Docker(host, False, f"Docker: the running one is used as it is ({host}): {limits}", is_foreign=True)


def _start(daemon: Dockerd) -> Docker:
    listen_on = daemon.socket or (daemon.run_dir / "docker.sock" if is_listening(DEFAULT_SOCKET) else DEFAULT_SOCKET)
    for directory in (daemon.state_dir, daemon.programs, daemon.run_dir, daemon.simulated_gpus):
        directory.mkdir(parents=True, exist_ok=True)
    daemon.pid_file.unlink(missing_ok=True)  # dockerd refuses to start over a stale one whose number lives again
    if living_pid(daemon.containerd_pid_file, "containerd") is None:
        daemon.containerd_pid_file.unlink(missing_ok=True)  # a zombie's number looks alive to dockerd
    daemon.socket_file.write_text(str(listen_on))
    daemon.config.write_text("{}")
    _mount(daemon)
    with daemon.log.open("ab") as log:
        process = subprocess.Popen(
            [*enter_engine_group(), *_command(daemon, listen_on)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(daemon),
            start_new_session=True,
        )
    if (
        not waits_until(lambda: process.poll() is not None or answers(listen_on), START_TIMEOUT_S)
        or process.poll() is not None
    ):
        tail = "\n".join(daemon.log.read_text(errors="replace").splitlines()[-5:])
        raise DockerdError(f"dockerd did not start; the end of {daemon.log}:\n{tail}")
    return Docker(f"unix://{listen_on}", True, f"Docker: started ours on {listen_on}, data in {daemon.data_image}")


def _mount(daemon: Dockerd) -> None:
    try:
        dockerd_disk.mount(daemon.data_image, daemon.data_root)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        instead = "Start the machine's own Docker, which is used then: systemctl start docker"
        raise DockerdError(f"No disk for a Docker Engine of ours can be mounted ({error}). {instead}") from error


def _command(daemon: Dockerd, listen_on: Path) -> list[str]:
    command = ["dockerd", "--host", f"unix://{listen_on}", "--storage-driver", "btrfs"]
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


def _end_containers(docker_socket: Path, *, force: bool) -> bool:
    """With live-restore, containers outlive dockerd and would hold the data root mounted."""
    client = docker.APIClient(base_url=f"unix://{docker_socket}", timeout=STOP_TIMEOUT_S)
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
    if not waits_until(lambda: living_pid(pid_file, program) is None, STOP_TIMEOUT_S):
        os.kill(pid, signal.SIGKILL)


def _info_of_others(host: str) -> dict[str, Any] | None:
    try:
        if host.startswith("unix://"):
            check_rights(Path(host.removeprefix("unix://")))
        return info_once_started(DEFAULT_SOCKET) if host == f"unix://{DEFAULT_SOCKET}" else info(host)
    except SilentDockerError as error:
        raise DockerdError(str(error)) from error


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
