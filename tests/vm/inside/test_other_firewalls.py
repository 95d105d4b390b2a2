"""firewalld, ufw and nftables.service beside Docker: what they reload opens nothing, and ports stay published.

They take the whole machine, so a guest runs this: `GPULEASE_WHOLE_MACHINE=1`, with firewalld, ufw and nftables there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpulease_host.docker_engine import firewall_checks
from gpulease_host.docker_engine.iptables import run_program as run_and_read
from gpulease_host.engine import Order, Port
from tests.host.docker_engine.bench import Bench, run_program, wait_until
from tests.host.docker_engine.conftest import *  # noqa: F403
from tests.host.docker_engine.knocking import answering, serving
from tests.host.docker_engine.surroundings import METADATA, PORT, Outside, addresses_of_host, network_of

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(
        os.environ.get("GPULEASE_WHOLE_MACHINE") != "1", reason="it changes the machine's firewall: for a guest"
    ),
]
INSIDE, OUTSIDE, HOSTS_OWN = 8080, 40123, 8097
WATCH_S = 1.0
NOTICED_S = 5.0
RULESET = "flush ruleset\n"


def needs(*programs: str) -> None:
    for program in programs:
        if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            pytest.skip(f"there is no {program} on this machine")


@pytest.fixture
def firewalld() -> Iterator[None]:
    """Started after Docker. It goes with all its rules."""
    needs("firewall-cmd")
    systemctl("start", "firewalld")
    wait_until(is_firewalld_up, 120)
    yield
    systemctl("stop", "firewalld")
    systemctl("restart", "docker")


def is_firewalld_up() -> bool:
    return subprocess.run(["firewall-cmd", "--state", "-q"], check=False).returncode == 0


def systemctl(what: str, unit: str) -> None:
    run_program("systemctl", what, unit)


def reload_firewalld() -> None:
    run_program("firewall-cmd", "--reload")


def restart_firewalld() -> None:
    systemctl("restart", "firewalld")
    wait_until(is_firewalld_up, 120)


def restart_docker(bench: Bench) -> None:
    """Without live-restore its containers end."""
    systemctl("restart", "docker")
    wait_until(lambda: bench.engine.containers() is not None, 60)
    bench.clear()


@pytest.fixture
def tenant(public_bench: Bench) -> Order:
    return run_tenant(public_bench)


def run_tenant(bench: Bench) -> Order:
    return bench.run("sleep", "600", ports=(Port(INSIDE, "tcp", OUTSIDE),))


@contextmanager
def watched(bench: Bench) -> Iterator[None]:
    """As the daemon does, each second."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(WATCH_S):
            bench.engine.hold({})

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def knocking_at_what_is_closed(bench: Bench, tenant: Order) -> Iterator[list[float]]:
    """All the while; gives the times at which a tenant reached this host or a private address."""
    over, reached = threading.Event(), list[float]()
    closed = {("tcp", address, HOSTS_OWN) for address in addresses_of_host()} | {("tcp", METADATA, PORT)}

    def knock() -> None:
        while not over.wait(0.05):
            if answering(network_of(bench, tenant), closed):
                reached.append(time.monotonic())

    thread = threading.Thread(target=knock)
    with serving((), HOSTS_OWN, HOSTS_OWN):
        thread.start()
        try:
            yield reached
        finally:
            over.set()
            thread.join()


def is_published(bench: Bench, tenant: Order, outside: Outside) -> bool:
    with serving(network_of(bench, tenant), INSIDE, INSIDE):
        return bool(answering(outside.into, {("tcp", outside.here, OUTSIDE)}))


def reaches_the_internet(bench: Bench, tenant: Order) -> bool:
    return bench.sh(tenant, f"nc -w 2 203.0.113.9 {PORT} < /dev/null")[0] == 0


@pytest.mark.usefixtures("firewalld")
def test_firewalld_reloads_and_restarts_open_nothing_and_close_no_port(public_bench: Bench, outside: Outside) -> None:
    restart_docker(public_bench)
    tenant = run_tenant(public_bench)
    for disturb in (reload_firewalld, restart_firewalld):
        assert_nothing_opens_or_closes(public_bench, tenant, outside, disturb)


def assert_nothing_opens_or_closes(
    public_bench: Bench, tenant: Order, outside: Outside, disturb: Callable[[], None]
) -> None:
    with watched(public_bench), knocking_at_what_is_closed(public_bench, tenant) as reached:
        disturb()
        time.sleep(NOTICED_S)
    assert not reached
    assert firewall_checks.why_firewalld_bars(run_and_read) is None
    assert firewall_checks.why_docker_sets_no_rules(run_and_read, {}) is None
    wait_until(lambda: is_published(public_bench, tenant, outside), 20)
    wait_until(lambda: reaches_the_internet(public_bench, tenant), 20)


def test_firewalld_started_after_docker_is_said_until_docker_restarts(
    public_bench: Bench, outside: Outside, request: pytest.FixtureRequest
) -> None:
    assert firewall_checks.why_firewalld_bars(run_and_read) is None
    tenant = run_tenant(public_bench)
    request.getfixturevalue("firewalld")
    assert "restart docker" in str(firewall_checks.why_firewalld_bars(run_and_read))
    assert not reaches_the_internet(public_bench, tenant)
    restart_docker(public_bench)
    tenant = run_tenant(public_bench)
    assert firewall_checks.why_firewalld_bars(run_and_read) is None
    wait_until(lambda: is_published(public_bench, tenant, outside), 20)
    wait_until(lambda: reaches_the_internet(public_bench, tenant), 20)


def test_ufw_that_denies_everything_reloads_and_opens_nothing_but_published_ports(
    public_bench: Bench, tenant: Order, outside: Outside
) -> None:
    needs("ufw")
    try:
        with watched(public_bench), knocking_at_what_is_closed(public_bench, tenant) as reached:
            run_program("ufw", "allow", "22/tcp")
            run_program("ufw", "--force", "enable")
            time.sleep(NOTICED_S)
            run_program("ufw", "reload")
            time.sleep(NOTICED_S)
        assert not reached
        wait_until(lambda: is_published(public_bench, tenant, outside), 20)
        wait_until(lambda: reaches_the_internet(public_bench, tenant), 20)
    finally:
        run_program("ufw", "--force", "disable")


def test_a_flushed_ruleset_is_open_for_a_moment_only_and_said_until_docker_restarts(
    public_bench: Bench, tenant: Order, outside: Outside, tmp_path: Path
) -> None:
    needs("nft")
    file = tmp_path / "nftables.conf"
    file.write_text(RULESET)
    with watched(public_bench), knocking_at_what_is_closed(public_bench, tenant) as reached:
        flushed_at = time.monotonic()
        run_program("nft", "-f", str(file))
        time.sleep(NOTICED_S)
    assert all(at < flushed_at + NOTICED_S / 2 for at in reached)
    assert "are gone" in str(firewall_checks.why_docker_sets_no_rules(run_and_read, {}))
    restart_docker(public_bench)
    tenant = run_tenant(public_bench)
    assert firewall_checks.why_docker_sets_no_rules(run_and_read, {}) is None
    wait_until(lambda: is_published(public_bench, tenant, outside), 20)
    wait_until(lambda: reaches_the_internet(public_bench, tenant), 20)
