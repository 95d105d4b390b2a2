"""Proxies die, lines are cut, and a host's daemon is killed: a client of a real container under all of it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest

from local import supervise
from local.client import wait_until
from local.dockerd_packages import ROOT_PATH
from local.proxies import address
from local.site import Running, Site
from tests.e2e.proxies.visiting import Rented, rent_notebook
from tests.e2e.renting import show
from tests.host.launch.visitor import answers

pytestmark = pytest.mark.slow

CUT_S = 60
BACK_S = 60
"""A host tries again after half a minute at most, and what a proxy lost is noticed after a quarter."""
SESSION = "while read line; do echo $line; done"


@pytest.fixture
def rented(running: Running, site: Site, tmp_path: Path) -> Rented:
    made = rent_notebook(running, site, tmp_path)
    for number in (1, 2):
        made.by(number).wait_to_get_in()
    return made


@pytest.fixture(autouse=True)
def _runs_on(running: Running, rented: Rented) -> Iterator[None]:
    """Whatever happens to the ways, the container is not touched."""
    before = started_at(running, rented)
    yield
    assert started_at(running, rented) == before
    assert show(running, rented.contract)["instances"][0]["status"] == "running"


@pytest.mark.parametrize("which", ["its supervisor", "all of its programs"])
def test_a_killed_proxy_serves_the_same_addresses_again_and_the_other_one_all_the_time(
    running: Running, site: Site, rented: Rented, which: str
) -> None:
    with session_over(rented, 1) as lost, session_over(rented, 2) as kept:
        pid = proxy_pid(site, 1)
        victims = [pid, *descendants(pid)] if which == "all of its programs" else [pid]
        for each in victims:
            os.kill(each, signal.SIGKILL)
        wait_until(lambda: supervise.running("proxy-1", state=site.local_proxies.state), lambda seen: not seen, "Death")
        assert rented.by(2).gets_in
        assert says_back(kept, "still here")
        if which == "all of its programs":
            assert not answers(rented.visitor.port, address(1))
            assert lost.wait(20) == 255
        site.local_proxies.start(running.cloud.front_url, running.credentials.proxy_key)
        rented.by(1).wait_to_get_in(BACK_S)
        assert says_back(kept, "not even now")


def test_a_line_that_is_cut_for_a_minute_comes_back_and_the_other_one_carries_meanwhile(
    site: Site, rented: Rented
) -> None:
    with session_over(rented, 1) as lost, session_over(rented, 2) as kept, cut(site, 1):
        began = time.monotonic()
        wait_until(lambda: answers(rented.visitor.port, address(1)), lambda seen: not seen, "The end of the number", 50)
        assert rented.by(1).browser.status_or_none("/api/status", rented.token) in (404, 502)
        assert lost.wait(20) == 255
        assert rented.by(2).gets_in
        time.sleep(max(0.0, CUT_S - (time.monotonic() - began)))
        assert says_back(kept, "all the time")
    rented.by(1).wait_to_get_in(BACK_S)


def test_when_the_hosts_daemon_is_killed_both_ways_come_back_with_it(
    running: Running, site: Site, rented: Rented
) -> None:
    daemon = supervise.running("daemon", state=site.state)
    assert daemon is not None
    os.kill(daemon.pid, signal.SIGKILL)
    for number in (1, 2):
        port, there = rented.visitor.port, address(number)
        wait_until(lambda: answers(port, there), lambda seen: not seen, "The end of the number", 50)  # noqa: B023
    site.start(lambda _: None)
    for number in (1, 2):
        rented.by(number).wait_to_get_in(BACK_S)


@contextmanager
def session_over(rented: Rented, number: int) -> Iterator[subprocess.Popen[str]]:
    """A login over this proxy that says back what it is told."""
    session = rented.by(number).visitor.open(SESSION)
    try:
        assert says_back(session, "hello")
        yield session
    finally:
        session.kill()
        session.communicate()


def says_back(session: subprocess.Popen[str], text: str) -> bool:
    assert session.stdin is not None
    assert session.stdout is not None
    session.stdin.write(f"{text}\n")
    session.stdin.flush()
    return session.stdout.readline() == f"{text}\n"


@contextmanager
def cut(site: Site, number: int) -> Iterator[None]:
    """Nothing passes between hosts and this proxy any more, and nobody is told."""
    there, port = address(number), str(site.tunnel_port)
    rules = [["-d", there, "-p", "tcp", "--dport", port], ["-s", there, "-p", "tcp", "--sport", port]]
    for rule in rules:
        iptables("-I", rule)
    try:
        yield
    finally:
        for rule in rules:
            iptables("-D", rule)


def iptables(deed: str, rule: list[str]) -> None:
    command = ["iptables", "--wait", deed, "INPUT", *rule, "-j", "DROP"]
    subprocess.run(command, check=True, env={"PATH": ROOT_PATH})


def started_at(running: Running, rented: Rented) -> str:
    engine = docker.DockerClient(base_url=running.docker_host)
    return str(engine.containers.get(f"gpulease-{rented.contract['id']}").attrs["State"]["StartedAt"])


def proxy_pid(site: Site, number: int) -> int:
    process = supervise.running(f"proxy-{number}", state=site.local_proxies.state)
    assert process is not None
    return process.pid


def descendants(pid: int) -> list[int]:
    """Of all generations."""
    children = [
        int(child) for tasks in Path(f"/proc/{pid}/task").glob("*/children") for child in tasks.read_text().split()
    ]
    return [each for child in children for each in (child, *descendants(child))]
