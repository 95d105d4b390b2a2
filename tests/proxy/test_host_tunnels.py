"""A host's own tunnels against real proxies: they come back, they follow, and sessions beside are not touched."""

from __future__ import annotations

import io
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpulease_host.backoff import Backoff
from gpulease_host.log import Log
from gpulease_host.tunnels.connection import SshConnection
from gpulease_host.tunnels.forwards import Way, forwards
from gpulease_host.tunnels.proxies import Proxy
from gpulease_host.tunnels.proxy_link import ProxyLink
from gpulease_host.tunnels.tunnel_key import TunnelKey
from local.ports import free_port
from proxy.supervisor import WARDEN_S
from tests.proxy.echo import Echo, Visitor, name_at
from tests.proxy.rig import ProxyRig, accepts, account, wait_for
from tests.proxy.service import ServiceDouble


class Host:
    """`want` is what shall be forwarded; `comes_about` looks as often as the daemon does, until something is so."""

    def __init__(self, folder: Path) -> None:
        self.key = TunnelKey.provide(folder / "tunnel.key")
        self.log = io.StringIO()
        self.links: list[tuple[Proxy, ProxyLink]] = []
        self.want: list[Way] = []

    def join(self, rig: ProxyRig, host_key: str | None = None) -> ProxyLink:
        key = host_key or rig.host_key
        proxy = Proxy(rig.address, rig.tunnel_port, account(), key, rig.address, rig.address)
        backoff = Backoff(0.2, 1.0, lambda: 0.5)
        link = ProxyLink(proxy, self.key.path, SshConnection.open, backoff, Log(self.log, time.time))
        self.links.append((proxy, link))
        return link

    def comes_about(self, what: Callable[[], object], patience_s: float = 40) -> None:
        def look() -> object:
            for proxy, link in self.links:
                link.step(forwards(proxy, self.want), time.monotonic())
            return what()

        wait_for(look, self.log.getvalue, patience_s)

    def close(self) -> None:
        for _, link in self.links:
            link.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.close()


@pytest.fixture
def other() -> Iterator[Echo]:
    server = Echo("other")
    yield server
    server.close()


def way(port: int, echo: Echo, instance_id: int = 70) -> Way:
    return Way(instance_id, port, True, "127.0.0.1", echo.port)


def test_a_proxy_that_is_killed_and_comes_back_serves_the_same_address(
    proxy: ProxyRig, service: ServiceDouble, host: Host, echo: Echo, port: int
) -> None:
    service.permit(host.key.public, 7, (70, "ssh", port))
    host.join(proxy)
    host.want = [way(port, echo)]
    host.comes_about(lambda: name_at(proxy.address, port) == "container")
    known = proxy.host_key
    proxy.kill()
    wait_for(lambda: not accepts(proxy.address, proxy.tunnel_port), proxy.said)
    proxy.start()
    assert proxy.host_key == known
    wait_for(lambda: "left by an earlier run" in proxy.said() or not accepts(proxy.address, port), proxy.said)
    host.comes_about(lambda: name_at(proxy.address, port) == "container")


@pytest.mark.slow
def test_a_program_of_the_proxy_that_dies_is_started_again(
    proxy: ProxyRig, service: ServiceDouble, host: Host, echo: Echo, port: int
) -> None:
    service.permit(host.key.public, 7, (70, "ssh", port))
    started = re.search(r'"program": "sshd", "pid": (\d+)', proxy.said())
    assert started is not None
    os.kill(int(started.group(1)), signal.SIGKILL)
    wait_for(lambda: proxy.said().count('"program started"') == 2, proxy.said)
    host.join(proxy)
    host.want = [way(port, echo)]
    host.comes_about(lambda: name_at(proxy.address, port) == "container")


@pytest.mark.slow
def test_a_stopped_proxy_leaves_nothing_behind(
    proxy: ProxyRig, service: ServiceDouble, host: Host, echo: Echo, port: int
) -> None:
    service.permit(host.key.public, 7, (70, "ssh", port))
    host.join(proxy)
    host.want = [way(port, echo)]
    host.comes_about(lambda: name_at(proxy.address, port) == "container")
    assert proxy.stop() == 0
    wait_for(lambda: not accepts(proxy.address, port), proxy.said)
    assert not accepts(proxy.address, proxy.tunnel_port)


@pytest.mark.slow
def test_a_tunnel_that_is_cut_comes_back(
    proxy: ProxyRig, service: ServiceDouble, host: Host, echo: Echo, port: int
) -> None:
    """The host's end freezes, as behind a line that is cut; clients go on trying, and the proxy notices."""
    service.permit(host.key.public, 7, (70, "ssh", port))
    host.join(proxy)
    host.want = [way(port, echo)]
    host.comes_about(lambda: name_at(proxy.address, port) == "container")
    cut = host.links[0][1]._held[0].connection
    assert isinstance(cut, SshConnection)
    os.kill(cut.process.pid, signal.SIGSTOP)
    try:
        wait_for(lambda: not accepts(proxy.address, port), proxy.said, 60)
    finally:
        os.kill(cut.process.pid, signal.SIGCONT)
    host.comes_about(lambda: name_at(proxy.address, port) == "container")


def test_two_proxies_of_one_account_at_one_address_leave_each_others_connections_alone(
    make_proxy: Callable[..., ProxyRig], service: ServiceDouble, host: Host, echo: Echo, port: int
) -> None:
    """As the proxies of two sites on one machine."""
    proxies, ports = (make_proxy(), make_proxy()), (port, free_port())
    service.permit(host.key.public, 7, (70, "ssh", ports[0]), (71, "ssh", ports[1]))
    for each in proxies:
        host.join(each)
    until = time.monotonic() + 2 * WARDEN_S

    def look() -> bool:
        for (place, link), number in zip(host.links, ports, strict=True):
            link.step(forwards(place, [way(number, echo)]), time.monotonic())
        return time.monotonic() > until

    wait_for(look, host.log.getvalue)
    assert [name_at(each.address, number) for each, number in zip(proxies, ports, strict=True)] == ["container"] * 2
    assert [each.said().count("connection ended") for each in proxies] == [0, 0]


@pytest.mark.slow
def test_two_proxies_serve_one_host_under_the_same_number(
    make_proxy: Callable[..., ProxyRig], service: ServiceDouble, host: Host, echo: Echo, port: int
) -> None:
    first, second = make_proxy("127.0.0.1"), make_proxy("127.0.0.2")
    service.permit(host.key.public, 7, (70, "ssh", port))
    for each in (first, second):
        host.join(each)
    host.want = [way(port, echo)]
    host.comes_about(lambda: all(name_at(each.address, port) == "container" for each in (first, second)))
    visitor = Visitor(second.address, port)
    first.stop()
    assert visitor.says_back("not touched")
    host.comes_about(lambda: name_at(second.address, port) == "container")
    visitor.close()


def test_a_new_contract_and_a_stopped_one_leave_the_sessions_of_others_alone(
    proxy: ProxyRig, service: ServiceDouble, host: Host, echo: Echo, other: Echo, port: int
) -> None:
    second, third = free_port(), free_port()
    service.permit(host.key.public, 7, (70, "ssh", port))
    host.join(proxy)
    host.want = [way(port, echo)]
    host.comes_about(lambda: name_at(proxy.address, port) == "container")
    visitor = Visitor(proxy.address, port)

    service.permit(host.key.public, 7, (70, "ssh", port), (71, "ssh", second))
    host.want = [way(port, echo), way(second, other, 71)]
    host.comes_about(lambda: name_at(proxy.address, second) == "other")
    assert visitor.says_back("after another contract came")

    service.permit(host.key.public, 7, (70, "ssh", port), (72, "ssh", third))
    host.want = [way(port, echo), way(third, other, 72)]
    host.comes_about(lambda: name_at(proxy.address, third) == "other" and name_at(proxy.address, second) is None)
    assert visitor.says_back("after it went and a third came")
    visitor.close()


@pytest.mark.slow
def test_a_container_at_another_address_is_followed_over_the_same_connection(
    proxy: ProxyRig, service: ServiceDouble, host: Host, echo: Echo, other: Echo, port: int
) -> None:
    service.permit(host.key.public, 7, (70, "ssh", port))
    host.join(proxy)
    host.want = [way(port, echo)]
    host.comes_about(lambda: name_at(proxy.address, port) == "container")
    host.want = [way(port, other)]
    host.comes_about(lambda: name_at(proxy.address, port) == "other")
    assert len(host.links[0][1]._held) == 1


def test_on_withdrawal_nobody_is_led_to_the_old_address_any_more(
    proxy: ProxyRig, service: ServiceDouble, host: Host, echo: Echo, port: int
) -> None:
    service.permit(host.key.public, 7, (70, "ssh", port))
    link = host.join(proxy)
    host.want = [way(port, echo)]
    host.comes_about(lambda: name_at(proxy.address, port) == "container")
    link.withdraw(70)
    assert name_at(proxy.address, port) is None


def test_a_host_does_not_connect_to_a_proxy_with_another_key(
    proxy: ProxyRig, service: ServiceDouble, host: Host, echo: Echo, tmp_path: Path, port: int
) -> None:
    service.permit(host.key.public, 7, (70, "ssh", port))
    host.join(proxy, TunnelKey.provide(tmp_path / "impostor").public)
    host.want = [way(port, echo)]
    host.comes_about(lambda: "Host key verification failed" in host.log.getvalue())
    assert service.asked == []
    assert not accepts(proxy.address, port)
