"""Where tunnels end: real sshd lets hosts in by the service's word, and lets them do one thing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable

import pytest

from local.ports import free_port
from proxy.warden import end_process
from tests.proxy.echo import Echo, Visitor, name_at
from tests.proxy.rig import ProxyRig, TunnelKey, accepts, wait_for
from tests.proxy.service import ServiceDouble

Keys = Callable[[str], TunnelKey]
Processes = list[subprocess.Popen[str]]


def forward(proxy: ProxyRig, port: int, target: int) -> tuple[str, str]:
    return "-R", f"{proxy.address}:{port}:127.0.0.1:{target}"


def test_a_host_is_reached_at_the_port_of_its_contract(
    proxy: ProxyRig, service: ServiceDouble, keys: Keys, echo: Echo, port: int, ended: Processes
) -> None:
    host = keys("host")
    service.permit(host.public, 7, (70, "ssh", port))
    ended.append(host.connect(proxy, *forward(proxy, port, echo.port)))
    wait_for(lambda: name_at(proxy.address, port) == "container", proxy.said)


def test_a_host_cannot_listen_on_the_port_of_anothers_contract(
    proxy: ProxyRig, service: ServiceDouble, keys: Keys, echo: Echo, port: int
) -> None:
    mine, theirs, other = keys("mine"), keys("theirs"), free_port()
    service.permit(mine.public, 7, (70, "ssh", port))
    service.permit(theirs.public, 8, (80, "ssh", other))
    for asked in (other, 0, free_port()):
        refused = mine.try_to(proxy, "-N", *forward(proxy, asked, echo.port))
        assert refused.returncode == 255
        assert "remote port forwarding failed" in refused.stderr
    assert not accepts(proxy.address, other)


def test_a_port_for_jupyter_is_permitted_on_loopback_only(
    make_proxy: Callable[..., ProxyRig], service: ServiceDouble, keys: Keys, echo: Echo, port: int
) -> None:
    proxy, host = make_proxy(), keys("host")
    service.permit(host.public, 7, (70, "jupyter", port))
    for address in ("0.0.0.0", "127.0.0.3"):
        refused = host.try_to(proxy, "-N", "-R", f"{address}:{port}:127.0.0.1:{echo.port}")
        assert "remote port forwarding failed" in refused.stderr


def test_an_unknown_key_and_a_host_with_nothing_to_forward_are_not_let_in(
    proxy: ProxyRig, service: ServiceDouble, keys: Keys, echo: Echo, port: int
) -> None:
    unknown, idle = keys("unknown"), keys("idle")
    service.permit(idle.public, 7)
    for key in (unknown, idle):
        assert "Permission denied" in key.try_to(proxy, "-N", *forward(proxy, port, echo.port)).stderr


def test_nobody_is_let_in_while_the_service_does_not_say_so(
    proxy: ProxyRig, service: ServiceDouble, keys: Keys, echo: Echo, port: int, ended: Processes
) -> None:
    host = keys("host")
    service.permit(host.public, 7, (70, "ssh", port))
    service.is_away = True
    assert "Permission denied" in host.try_to(proxy, "-N", *forward(proxy, port, echo.port)).stderr
    service.is_away = False
    ended.append(host.connect(proxy, *forward(proxy, port, echo.port)))
    wait_for(lambda: name_at(proxy.address, port) == "container", proxy.said)


def test_a_host_does_not_take_another_proxy_for_this_one(
    proxy: ProxyRig, service: ServiceDouble, keys: Keys, echo: Echo, port: int
) -> None:
    host, impostor = keys("host"), keys("impostor")
    service.permit(host.public, 7, (70, "ssh", port))
    refused = host.try_to(proxy, "-N", *forward(proxy, port, echo.port), host_key=impostor.public)
    assert "Host key verification failed" in refused.stderr
    assert service.asked == []


@pytest.mark.parametrize(
    "deed",
    [("true",), ("-s", "sftp"), ("-tt", "sh"), ("-W", "127.0.0.1:22"), ("-N", "-w", "0:0")],
    ids=["command", "subsystem", "terminal", "to a port behind the proxy", "network tunnel"],
)
def test_a_host_can_do_nothing_else_on_the_proxy(
    proxy: ProxyRig, service: ServiceDouble, keys: Keys, port: int, deed: tuple[str, ...]
) -> None:
    host = keys("host")
    service.permit(host.public, 7, (70, "ssh", port))
    options, rest = (deed, ()) if deed[0].startswith("-") else ((), deed)
    if deed[0] in ("-s", "-tt"):
        options, rest = deed[:1], deed[1:]
    command = [*host.command(proxy, "-v", *options), *rest]
    tried = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False)
    assert "Authenticated to" in tried.stderr  # else nothing could be done for another reason
    assert tried.returncode == 255
    assert tried.stdout == ""


def test_a_host_cannot_be_reached_through_by_the_proxy_s_own_ports(
    proxy: ProxyRig, service: ServiceDouble, keys: Keys, echo: Echo, port: int, ended: Processes
) -> None:
    """A local forward would make the proxy connect on the host's behalf, to its own loopback for one."""
    host, local = keys("host"), free_port()
    service.permit(host.public, 7, (70, "ssh", port))
    ended.append(host.connect(proxy, "-L", f"127.0.0.1:{local}:127.0.0.1:{echo.port}"))
    wait_for(lambda: accepts("127.0.0.1", local), lambda: "ssh does not listen")
    assert name_at("127.0.0.1", local) is None
    visitor_unix = host.try_to(proxy, "-N", "-R", f"{proxy.folder}/socket:127.0.0.1:{echo.port}")
    assert "remote port forwarding failed" in visitor_unix.stderr


def test_a_connection_that_listens_nowhere_ends_with_the_process_that_asked_for_it(
    proxy: ProxyRig, service: ServiceDouble, keys: Keys, port: int, ended: Processes
) -> None:
    """The proxy knows no other of such a connection."""
    host = keys("host")
    service.permit(host.public, 7, (70, "ssh", port))
    ended.append(host.connect(proxy, "-v"))
    assert ended[0].stderr is not None
    assert any("Authenticated to" in line for line in ended[0].stderr)
    end_process(int(re.findall(r'"host may come in".*"pid": (\d+)', proxy.said())[-1]))
    assert ended[0].wait(10) == 255


def test_a_tunnel_and_its_sessions_outlive_the_sshd_that_let_it_in(
    proxy: ProxyRig, service: ServiceDouble, keys: Keys, echo: Echo, port: int, ended: Processes
) -> None:
    host = keys("host")
    service.permit(host.public, 7, (70, "ssh", port))
    ended.append(host.connect(proxy, *forward(proxy, port, echo.port)))
    wait_for(lambda: name_at(proxy.address, port) == "container", proxy.said)
    visitor = Visitor(proxy.address, port)
    os.kill(int(re.findall(r'"program": "sshd", "pid": (\d+)', proxy.said())[0]), signal.SIGKILL)
    wait_for(lambda: proxy.said().count('"program started"') == 2, proxy.said)
    assert visitor.says_back("still here")
    assert name_at(proxy.address, port) == "container"
    visitor.close()


def test_what_a_host_gains_comes_over_a_new_connection_beside_the_old_one(
    proxy: ProxyRig, service: ServiceDouble, keys: Keys, echo: Echo, port: int, ended: Processes
) -> None:
    host, second = keys("host"), free_port()
    service.permit(host.public, 7, (70, "ssh", port))
    ended.append(host.connect(proxy, *forward(proxy, port, echo.port)))
    wait_for(lambda: name_at(proxy.address, port) == "container", proxy.said)
    visitor = Visitor(proxy.address, port)
    service.permit(host.public, 7, (70, "ssh", port), (71, "ssh", second))
    ended.append(host.connect(proxy, *forward(proxy, second, echo.port)))
    wait_for(lambda: name_at(proxy.address, second) == "container", proxy.said)
    assert visitor.says_back("still here")
    visitor.close()
