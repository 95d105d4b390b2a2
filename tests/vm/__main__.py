"""`make test-vm`: every step of the plan in its guest, two guests side by side, then a summary.

    python -m tests.vm [MACHINE ...]     the plan, of these machines only
    python -m tests.vm shell MACHINE     such a guest with this checkout in it, until you log out

What a step says is in `.local/vm/<machine>-<number>.log`. Ends with 1 when a step failed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from local.site import LOCAL
from tests.vm import images
from tests.vm.guest import CHECKOUT, Guest, GuestError, booted, quoted
from tests.vm.plan import GUEST_PORT, INSIDE, PLAN, Machine, Step

LOGS = LOCAL / "vm"
SIDE_BY_SIDE = 2
"""Guests; each has one busy processor most of the time."""
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations", "10")
RESTART_DOCKER = "systemctl reset-failed docker; systemctl restart docker"
VERSIONS = (
    ". /etc/os-release; echo $PRETTY_NAME, kernel $(uname -r); systemctl --version | head -n 1; dockerd --version; "
    "runc --version | head -n 1; ssh -V 2>&1; python3 -V; stat -f -c 'cgroups: %T' /sys/fs/cgroup; "
    "iptables --version; aa-enabled || true"
)


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


def main(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["shell"]:
        return shell(arguments[1])
    names = list(arguments) or list(PLAN)
    LOGS.mkdir(parents=True, exist_ok=True)
    images.clear_leftovers()
    made = [(name, image_for(PLAN[name])) for name in names]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        results = [result for of_one in pool.map(lambda each: run_machine(*each), made) for result in of_one]
    print("\n" + "\n".join(result.line() for result in results))
    failed = sum(not result.passed for result in results)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


def image_for(machine: Machine) -> images.Image:
    """One for all machines of its suite."""
    alike = [each for each in PLAN.values() if each.suite == machine.suite]
    return images.provide(machine.suite, with_browser=any(each.with_browser for each in alike))


def run_machine(name: str, image: images.Image) -> list[Result]:
    """Its guest, from the first step to the last; one that fails leaves the others to be tried."""
    try:
        with booted(image) as guest:
            guest.login.copy_checkout()
            (LOGS / f"{name}-versions.log").write_text(guest.login.output(VERSIONS) + "\n")
            return [_told(run_step(guest, name, number, step)) for number, step in enumerate(PLAN[name].steps)]
    except (GuestError, subprocess.SubprocessError, OSError) as error:
        return [_told(Result(name, "the guest", str(error), 0, False))]


def run_step(guest: Guest, name: str, number: int, step: Step) -> Result:
    path, begun = LOGS / f"{name}-{number}.log", time.monotonic()
    try:
        with path.open("wb") as log:
            if step.reboot:
                guest.login.reboot()
            for command in _preparations(step):
                guest.login.run(command, stdout=log)
            if step.outside:
                passed = _run_outside(guest, step, log) == 0
            else:
                passed = guest.login.run(_command(step), stdout=log, check=False, timeout_s=step.minutes * 60) == 0
        said = _last_line(path)
    except subprocess.TimeoutExpired:
        passed, said = False, f"not done after {step.minutes} minutes"
    except (GuestError, subprocess.CalledProcessError) as error:
        passed, said = False, str(error)
    return Result(name, step.name, said, round(time.monotonic() - begun), passed)


def _run_outside(guest: Guest, step: Step, log: IO[bytes]) -> int:
    """Tests of this machine, which find the guest by its port."""
    environment = {**os.environ, "PYTHONPATH": "functions:host:.", GUEST_PORT: str(guest.login.port)}
    command = [sys.executable, *PYTEST, *step.outside]
    return subprocess.run(
        command, cwd=images.ROOT, env=environment, stdout=log, stderr=log, timeout=step.minutes * 60
    ).returncode


def _preparations(step: Step) -> list[str]:
    commands = [step.prepare] if step.prepare else []
    if step.docker is not None:
        settings = json.dumps(dict(step.docker), indent=2)
        commands.append(f"mkdir -p /etc/docker && printf %s {quoted([settings])} >/etc/docker/daemon.json")
        commands.append(RESTART_DOCKER)
    return commands


def _command(step: Step) -> str:
    if step.command:
        return f"cd {CHECKOUT} && {step.command}"
    environment = {"PYTHONPATH": "functions:host:.", INSIDE: "1", **step.environment}
    variables = quoted([f"{name}={value}" for name, value in environment.items()])
    return f"cd {CHECKOUT} && env {variables} {quoted(['.venv/bin/python', *PYTEST, *step.tests])}"


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines()
    return next((line.strip("= ") for line in reversed(lines) if line.strip()), "")


def _told(result: Result) -> Result:
    print(result.line(), flush=True)
    return result


def shell(name: str) -> int:
    with booted(image_for(PLAN[name])) as guest:
        guest.login.copy_checkout()
        print(f"The checkout is in {CHECKOUT}. This guest goes when you log out.", flush=True)
        return subprocess.run(guest.login.ssh(f"cd {CHECKOUT}; exec bash -l", "-t")).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
