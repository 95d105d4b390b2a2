"""The guest as an owner's machine: what stands in for AWS's agent, an image, the line that is pasted, and its state."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests

from tests.host.orders import HOST_ID, order
from tests.vm.inside.service import IMAGE, URL
from tests.vm.inside.wheelhouse import build_wheelhouse

WORK = Path("/root/installing")
UNIT = "gpulease-host"
CONTAINER = f"gpulease-{order().instance_id}"
JOINING = f"--token {HOST_ID}.secret --activation-id a-1 --activation-code c-1 --region us-east-1 --simulate-gpus 2"
AGENT = """#!/bin/sh
case "$*" in
"-register -clear") rm -f /var/lib/amazon/ssm/registration ;;
-register*) mkdir -p /var/lib/amazon/ssm && echo '{"ManagedInstanceID":"mi-1"}' >/var/lib/amazon/ssm/registration ;;
*) exec sleep infinity ;;
esac
"""
AGENT_UNIT = "[Service]\nExecStart=/usr/bin/amazon-ssm-agent\n[Install]\nWantedBy=multi-user.target\n"
# Nothing listens there: reports fail at once. Nor has the toolkit's pip anything to fetch.
DROP_IN = "[Service]\nEnvironment=AWS_ENDPOINT_URL=http://127.0.0.1:9 PIP_NO_INDEX=1\n"
LINE = f"curl -fsSL {URL}/v1/host/install.sh | sh -s -- {{}}"
PIP = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(WORK / "wheels")}
FILES = ("/etc", "/opt", "/usr/bin", "/usr/sbin", "/usr/local", "/usr/lib/systemd", "/root", "/var/lib/gpulease")
UNTOLD = ("/root/installing", "/root/gpulease", "/root/venv", "/root/.cache")
COMMANDS = {
    "units": "systemctl list-unit-files --no-legend | sort",
    "running": "systemctl list-units --no-legend --plain --type=service,slice --state=active | cut -d' ' -f1 | sort",
    "packages": "dpkg-query -W -f '${db:Status-Abbrev}${Package}\\n' | grep ^ii",
    "ipv4 rules": "iptables-save | grep '^[-:]' | sed 's/ \\[.*//' | sort",
    "ipv6 rules": "ip6tables-save | grep '^[-:]' | sed 's/ \\[.*//' | sort",
    "settings of the kernel": "sysctl -a | grep -E '^(net.ipv[46].(conf|ip_forward)|vm.over|kernel.pid)'",
    "interfaces": "ls /sys/class/net",
    "control groups": "ls -d /sys/fs/cgroup/gpulease* 2>/dev/null || true",
    "in /run": "ls /run",
}


MISSING = 127
PLAIN = {"LC_ALL": "C"}
FIND = f"find {' '.join(FILES)} -xdev -printf '%p %y %m %U %G %s %l\\n'"


def run(command: str, *, check: bool = True, **environment: str) -> str:
    """What it says, all of it."""
    done = subprocess.run(
        ["sh", "-c", command],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0 or not check, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout.strip()


def prepare() -> None:
    """A stand-in for AWS's agent, an image of this Docker, and the libraries that pip finds here."""
    WORK.mkdir(exist_ok=True)
    write("/usr/bin/amazon-ssm-agent", AGENT, 0o755)
    write("/etc/systemd/system/amazon-ssm-agent.service", AGENT_UNIT)
    write(f"/etc/systemd/system/{UNIT}.service.d/trial.conf", DROP_IN)
    run("systemctl daemon-reload")
    archive = subprocess.run(["tar", "-C", "/usr/bin", "-c", "busybox"], capture_output=True, check=True).stdout
    name, _, tag = IMAGE.partition(":")
    change = 'CMD ["/busybox","sleep","100000"]'
    with talking_to_docker() as client:
        client.import_image_from_data(archive, repository=name, tag=tag, changes=[change])
    build_wheelhouse(WORK / "wheels")


def write(path: str, text: str, mode: int = 0o644) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    Path(path).chmod(mode)


def paste(options: str = "", *, check: bool = True, **environment: str) -> str:
    """What an owner does; pip takes its wheels from here."""
    return run(LINE.format(options), check=check, **PIP, **environment)


def pasting(options: str, **environment: str) -> Iterator[str]:
    """The same, line by line, while it goes on."""
    with subprocess.Popen(
        ["sh", "-c", LINE.format(options)],
        env=os.environ | PIP | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        yield from process.stdout or ()


def show(name: str, unit: str = UNIT) -> str:
    return run(f"systemctl show -p {name} --value {unit}")


@contextmanager
def talking_to_docker() -> Iterator[Any]:
    """Without Docker's command, which Debian 13 has in a package of its own."""
    client = docker.APIClient("unix:///var/run/docker.sock", version="auto")
    try:
        yield client
    finally:
        client.close()


def state_of(container: str) -> str:
    """Whether it runs, as which process, since when; or why nobody can say."""
    try:
        with talking_to_docker() as client:
            state = client.inspect_container(container)["State"]
    except (docker.errors.DockerException, requests.RequestException) as error:
        return str(error)
    return f"{state['Running']} {state['Pid']} {state['StartedAt']}".lower()


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 300) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        journal = "" if time.monotonic() < deadline else run(f"journalctl -u {UNIT} -n 30 --no-pager")
        assert time.monotonic() < deadline, f"{what} took more than {timeout_s:.0f} s:\n{journal}"
        time.sleep(1)


def snapshot() -> dict[str, set[str]]:
    """Of what an installation might leave: files, units, packages, rules, settings of the kernel, things of Docker."""
    said = {name: lines_of(command) for name, command in COMMANDS.items()}
    told = {line for line in lines_of(FIND) if not line.startswith(UNTOLD)}
    # A folder's size is its history.
    files = {" ".join(line.split(" ")[:-2]) if " d " in line else line for line in told}
    return said | things_of_docker() | {"files": files}


def lines_of(command: str) -> set[str]:
    """A command that is missing, also in the middle of a pipe, would have nothing to say before and after."""
    done = subprocess.run(["sh", "-c", command], env=os.environ | PLAIN, capture_output=True, text=True, check=False)
    assert done.returncode != MISSING and "not found" not in done.stderr, f"{command}: {done.stderr}"
    return set(done.stdout.splitlines())


def things_of_docker() -> dict[str, set[str]]:
    with talking_to_docker() as client:
        return {
            "containers": {str(each["Id"]) for each in client.containers(all=True)},
            "networks": {str(each["Name"]) for each in client.networks()},
            "images": {str(each["Id"]) for each in client.images()},
        }
