"""Runs the steps of one machine, and tells what came of each.

A step of tests has passed when every test that the plan counts on ran and passed: skipped ones are counted, because
what a driver or a kernel is looked at for here must not be left out by a fault of that very look.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from local.site import LOCAL
from tests.vm import images
from tests.vm.guest import CHECKOUT, Guest, GuestError, booted, quoted
from tests.vm.plan import GUEST_PORT, INSIDE, PLAN, Step

LOGS = LOCAL / "vm"
PYTEST = ("-u", "-m", "pytest", "-v", "-rs", "-p", "no:cacheprovider", "--durations", "10")
RESTART_DOCKER = "systemctl reset-failed docker; systemctl restart docker"
DOCKER_RUNS = "systemctl is-active docker"
"""Where none runs, tests would start one of their own, with other data."""
PREPARED_S = 300
VERSIONS = (
    ". /etc/os-release; echo $PRETTY_NAME, kernel $(uname -r); systemctl --version | head -n 1; dockerd --version; "
    "runc --version | head -n 1; ssh -V 2>&1; python3 -V; stat -f -c 'cgroups: %T' /sys/fs/cgroup; "
    "iptables --version; aa-enabled || true"
)
COUNTED = re.compile(r"(\d+) (passed|failed|skipped|errors?)\b")


@dataclass(frozen=True)
class Result:
    machine: str
    step: str
    said: str
    seconds: int
    passed: bool

    def line(self) -> str:
        return (
            f"{'passed' if self.passed else 'FAILED'}  {self.machine:17} {self.step:35} {self.seconds:5} s  {self.said}"
        )


def run_machine(name: str, image: images.Image) -> list[Result]:
    """Its guest, from the first step to the last; one that fails leaves the others to be tried."""
    results: list[Result] = []
    try:
        with booted(image, memory_mib=PLAN[name].memory_mib) as guest:
            guest.login.copy_checkout()
            (LOGS / f"{name}-versions.log").write_text(guest.login.output(VERSIONS) + "\n")
            for number, step in enumerate(PLAN[name].steps):
                guest.check_alive()
                print(f"        {name:17} {step.name} …", flush=True)
                results.append(_told(run_step(guest, name, number, step)))
    except (GuestError, subprocess.SubprocessError, OSError) as error:
        results.append(_told(Result(name, "the guest", str(error), 0, False)))
    return results


def run_step(guest: Guest, name: str, number: int, step: Step) -> Result:
    path, begun = LOGS / f"{name}-{number}.log", time.monotonic()
    try:
        with path.open("wb") as log:
            if step.reboot:
                guest.login.reboot()
            for command in _preparations(step):
                guest.login.run(command, stdout=log, timeout_s=PREPARED_S)
            status = _run_outside(guest, step, log) if step.outside else _run_inside(guest, step, log)
        passed, said = _verdict(status, path, step)
    except subprocess.TimeoutExpired:
        passed, said = False, f"not done after {step.minutes} minutes"
    except (GuestError, subprocess.CalledProcessError) as error:
        passed, said = False, str(error)
    return Result(name, step.name, said, round(time.monotonic() - begun), passed)


def _verdict(status: int, log: Path, step: Step) -> tuple[bool, str]:
    lines = [line.strip("= ") for line in log.read_text(errors="replace").splitlines() if line.strip()]
    said = lines[-1] if lines else "said nothing"
    if step.command:
        return status == 0, said
    counted = {what: int(number) for number, what in COUNTED.findall(said)}
    if counted.get("skipped", 0) > step.skips:
        return False, f"{said}; at most {step.skips} may be skipped"
    return status == 0 and counted.get("passed", 0) > 0, said


def _preparations(step: Step) -> list[str]:
    commands = [step.prepare] if step.prepare else []
    if step.docker is not None:
        settings = json.dumps(dict(step.docker), indent=2)
        commands.append(f"mkdir -p /etc/docker && printf %s {quoted([settings])} >/etc/docker/daemon.json")
        commands.append(RESTART_DOCKER)
    return [*commands, DOCKER_RUNS]


def _run_inside(guest: Guest, step: Step, log: IO[bytes]) -> int:
    """What is not done in time is ended there, not only here."""
    limit_s = step.minutes * 60
    command = f"cd {CHECKOUT} && timeout -k 10 {limit_s} {_command(step)}"
    status = guest.login.run(command, stdout=log, check=False, timeout_s=limit_s + 120)
    if status in (124, 137):
        raise subprocess.TimeoutExpired(command, limit_s)
    return status


def _command(step: Step) -> str:
    if step.command:
        return f"sh -c {quoted([step.command])}"
    environment = {"PYTHONPATH": "functions:host:.", INSIDE: "1", **step.environment}
    variables = [f"{name}={value}" for name, value in environment.items()]
    return f"env {quoted([*variables, '.venv/bin/python', *PYTEST, *step.tests])}"


def _run_outside(guest: Guest, step: Step, log: IO[bytes]) -> int:
    """Tests of this machine, which find the guest by its port. Interrupted, they end what they started."""
    environment = {**os.environ, "PYTHONPATH": "functions:host:.", GUEST_PORT: str(guest.login.port)}
    command = [sys.executable, *PYTEST, *step.outside]
    with subprocess.Popen(command, cwd=images.ROOT, env=environment, stdout=log, stderr=log) as tests:
        try:
            return tests.wait(step.minutes * 60)
        except subprocess.TimeoutExpired:
            tests.send_signal(signal.SIGINT)
            try:
                tests.wait(60)
            except subprocess.TimeoutExpired:
                tests.kill()
            raise


def _told(result: Result) -> Result:
    print(result.line(), flush=True)
    return result
