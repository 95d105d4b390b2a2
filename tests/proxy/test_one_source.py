"""Hosts behind one NAT, and strangers beside them, have one address: nobody's failures are another's."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.settings import Settings
from proxy.sshd_config import penalizes_sources, sshd_config
from proxy.supervisor import find_program
from proxy.warden import MOST_WAITING
from tests.proxy.echo import Echo, name_at
from tests.proxy.rig import ProxyRig, TunnelKey, account, wait_for
from tests.proxy.service import ServiceDouble

FAILURES = 50
AT_ONCE = 8


def test_a_host_gets_in_after_failures_of_others_at_its_address(
    proxy: ProxyRig,
    service: ServiceDouble,
    keys: Callable[[str], TunnelKey],
    echo: Echo,
    port: int,
    ended: list[subprocess.Popen[str]],
) -> None:
    """Those who log in with a key that nobody knows, and those who say nothing."""
    host, stranger = keys("host"), keys("stranger")
    service.permit(host.public, 7, (70, "ssh", port))
    for _ in range(FAILURES):
        socket.create_connection((proxy.address, proxy.tunnel_port), 5).close()
    command = stranger.command(proxy, "-N")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        tried = list(pool.map(lambda _: said_by(command), range(FAILURES)))
    assert [said for said in tried if "Permission denied" not in said] == []
    ended.append(host.connect(proxy, "-R", f"{proxy.address}:{port}:127.0.0.1:{echo.port}"))
    wait_for(lambda: name_at(proxy.address, port) == "container", proxy.said)


def test_a_host_gets_in_while_strangers_hold_every_slot(
    proxy: ProxyRig,
    service: ServiceDouble,
    keys: Callable[[str], TunnelKey],
    echo: Echo,
    port: int,
    ended: list[subprocess.Popen[str]],
) -> None:
    """As many as sshd takes, and they say nothing."""
    host = keys("host")
    service.permit(host.public, 7, (70, "ssh", port))
    config = (Path(proxy.folder) / "state" / "sshd_config").read_text()
    (most,) = re.findall(r"^MaxStartups (\d+)$", config, re.MULTILINE)
    assert int(most) >= MOST_WAITING + 50
    with ExitStack() as held:
        for _ in range(int(most) + 20):
            held.enter_context(socket.create_connection((proxy.address, proxy.tunnel_port), 10))
        wait_for(lambda: "many others waited" in proxy.said(), proxy.said)
        ended.append(host.connect(proxy, "-R", f"{proxy.address}:{port}:127.0.0.1:{echo.port}"))
        wait_for(lambda: name_at(proxy.address, port) == "container", proxy.said)


def said_by(command: list[str]) -> str:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=60, check=False
    )
    return done.stderr


def told(folder: Path, options: str) -> str:
    """An sshd that has these options, and what it is told."""
    program = folder / "sshd"
    program.write_text(f"#!/bin/sh\n{options}\n")
    program.chmod(0o755)
    settings = Settings(api_url="https://x.example", api_key_file="/x", state="/x", zone="x.example", user="x")
    return sshd_config(settings, Path("/python"), Path("/asking"), penalizes_sources(str(program)))


@pytest.mark.parametrize("name", ["persourcepenalties", "PerSourcePenalties"])
def test_penalties_are_off_where_sshd_has_them(tmp_path: Path, name: str) -> None:
    assert "\nPerSourcePenalties no\n" in told(tmp_path, f"echo port 22; echo '{name} crash:90 authfail:5'")


@pytest.mark.parametrize("options", ["echo port 22; echo persourcemaxstartups none", "echo unknown option >&2; exit 1"])
def test_an_sshd_without_penalties_is_told_of_none(tmp_path: Path, options: str) -> None:
    assert "PerSourcePenalties" not in told(tmp_path, options)


def test_sshd_of_this_machine_takes_what_it_is_told(proxy: ProxyRig) -> None:
    config = str(proxy.folder / "state" / "sshd_config")
    as_it_runs = ["setpriv", f"--reuid={account()}", "--clear-groups"] if os.geteuid() == 0 else []
    command = [*as_it_runs, find_program("sshd"), "-t", "-f", config]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
