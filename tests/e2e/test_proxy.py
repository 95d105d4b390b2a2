"""The whole way in over a proxy: a site with one, a client who has nothing but what the API answers, and JupyterLab.

The site is one of its own, so that every other test sees a service that has no proxy.
"""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import pytest

from local import proxies, supervise, toolkits
from local.client import wait_until
from local.images import BUSYBOX
from local.leftovers import remove_containers
from local.ports import free_port
from local.site import LOCAL, Running, Site, release_docker
from tests.e2e.conftest import GRACE_S, end_all, wait_for_empty_host
from tests.e2e.renting import rent
from tests.e2e.watching import Watch
from tests.host.launch import rootfs
from tests.host.launch.notebook import Notebook
from tests.host.launch.visitor import Visitor, answers

TIMEOUT_S = 20
UNKNOWN_S = 30
"""The host hears of its proxies when it starts, and comes to them within seconds."""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    toolkits.ensure()
    proxies.ensure_packages()
    state, tunnel_port, https_port = LOCAL / "test-proxy", free_port(), free_port()
    made = Site(state, free_port(), GRACE_S, heartbeat_s=5, proxies=1, tunnel_port=tunnel_port, https_port=https_port)
    made.stop()
    for folder in (made.state, made.local_proxies.state):
        shutil.rmtree(folder, ignore_errors=True)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def running(site: Site, watch: Watch) -> Iterator[Running]:
    started = site.start()
    yield started
    end_all(started)
    watch.look(started, site.state)
    site.stop()
    remove_containers(site.state, started.docker_host)
    release_docker()


@dataclass(frozen=True)
class Browser:
    """Trusts the zone's certificate, and goes by name to wherever the URL says."""

    url: str
    trusted: Path

    def status(self, path: str, token: str) -> int:
        """Of the answer. Raises OSError where there is none, also for a certificate of another name."""
        name, port = urlsplit(self.url).hostname or "", urlsplit(self.url).port or 443
        plain = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        trust = ssl.create_default_context(cafile=self.trusted)
        with trust.wrap_socket(plain, server_hostname=name) as connection:
            lines = [f"GET {path} HTTP/1.1", f"Host: {name}:{port}", f"Authorization: token {token}"]
            connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode())
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            answer.read()
            return answer.status


@dataclass(frozen=True)
class Rented:
    """A contract of mode jupyter, and what its client was told."""

    contract: dict[str, Any]
    visitor: Visitor
    browser: Browser
    token: str

    @property
    def told_host_key(self) -> str:
        return str(self.contract["instances"][0]["access"]["ssh"]["host_key"])


def rent_notebook(running: Running, site: Site, folder: Path, image: str = BUSYBOX) -> Rented:
    key = Visitor.new(folder, 0).public
    contract = rent(running, mode="jupyter", args=None, ssh_keys=[key], image=image)
    access = contract["instances"][0]["access"]
    told = running.client.get(f"/v1/contracts/{contract['id']}/jupyter")
    assert (told["via"], told["url"]) == ("proxy", access["jupyter"]["url"])
    visitor = Visitor.new(folder, access["ssh"]["proxy"]["port"])
    assert access["ssh"]["proxy"]["address"] == "127.0.0.1"
    browser = Browser(told["url"], site.local_proxies.zone_authority)
    return Rented(contract, visitor, browser, told["token"])


def know(visitor: Visitor, host_key: str) -> None:
    """From now on the visitor believes this key at the instance's port and no other."""
    visitor.known_hosts.write_text(f"[127.0.0.1]:{visitor.port} {host_key}\n")


def another_key(folder: Path) -> str:
    return " ".join(Visitor.new(folder, 0, "impostor").public.split()[:2])


def test_who_rents_gets_in_over_the_proxy_by_ssh_and_by_name_and_nobody_does_when_it_is_over(
    running: Running, site: Site, watch: Watch, tmp_path: Path
) -> None:
    rented = rent_notebook(running, site, tmp_path)
    visitor, browser = rented.visitor, rented.browser
    watch.known["JupyterLab's token"] = rented.token.encode()
    wait_until(lambda: answers(visitor.port), bool, "The number for ssh", UNKNOWN_S)

    know(visitor, rented.told_host_key)
    assert visitor.said("cat /proc/1/comm; id -u").splitlines()[-1] == "0"
    assert visitor.known_hosts.read_text().split(" ", 1)[1].strip() == rented.told_host_key
    know(visitor, another_key(tmp_path))
    assert "Host key verification failed" in visitor.ssh("true").stderr
    stranger = Visitor.new(tmp_path, visitor.port, "stranger")
    know(stranger, rented.told_host_key)
    assert "Permission denied" in stranger.ssh("true").stderr

    assert rented.browser.url == f"https://j-{rented.contract['id']}.{proxies.ZONE}:{site.https_port}/"
    wait_until(lambda: browser.status("/api/status", rented.token), lambda seen: seen == 200, "JupyterLab", UNKNOWN_S)
    assert browser.status("/api/status", "x" * len(rented.token)) == 403
    assert browser.status("/api/status", "") == 403
    nobody = Browser(browser.url.replace(str(rented.contract["id"]), "1"), browser.trusted)
    assert nobody.status("/api/status", rented.token) == 404

    assert rented.token not in supervise.log_tail(site.local_proxies.state / "proxy-1.log")

    running.client.delete(f"/v1/contracts/{rented.contract['id']}")
    wait_for_empty_host(running)
    wait_until(lambda: answers(visitor.port), lambda seen: not seen, "The end of the number for ssh", UNKNOWN_S)
    wait_until(
        lambda: browser.status("/api/status", rented.token), lambda seen: seen in (404, 502), "The end", UNKNOWN_S
    )


PATH = "ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
IMAGES: dict[str, tuple[Callable[[], bytes], list[str]]] = {
    "gpulease/test-bare:1": (lambda: rootfs.bare().content(), [PATH]),
    "gpulease/test-no-shell:1": (lambda: rootfs.no_shell().content(), [PATH]),
    "gpulease/test-musl:1": (
        lambda: rootfs.musl().content(),
        [PATH, "ENV LD_LIBRARY_PATH=/lib", "ENV PYTHONHOME=/nowhere"],
    ),
    "gpulease/test-debian-user:1": (rootfs.debian, [PATH, "USER nobody", 'ENTRYPOINT ["/bin/false"]']),
}
"""By name: busybox alone, not even a shell, musl, and a Debian with its own Python, sshd and user."""


def hold_to_ssh(running: Running, contract: dict[str, Any], folder: Path) -> None:
    """A command, and a file there and back, by each of the two ways."""
    ssh = contract["instances"][0]["access"]["ssh"]
    for way in ("direct", "proxy"):
        visitor = Visitor.new(folder, ssh[way]["port"])
        wait_until(partial(answers, visitor.port), bool, f"The {way} way", UNKNOWN_S)
        know(visitor, ssh["host_key"])
        assert visitor.said("echo hello") == "hello"
        (folder / "sent").write_bytes(b"\0\1" * 50_000)
        assert visitor.scp(str(folder / "sent"), "root@127.0.0.1:/root/got").returncode == 0
        assert visitor.scp("root@127.0.0.1:/root/got", str(folder / way)).returncode == 0
        assert (folder / way).read_bytes() == (folder / "sent").read_bytes()
        assert "100000" in visitor.sftp("ls -l /root/got\n").stdout


@pytest.mark.slow
@pytest.mark.parametrize("image", IMAGES)
def test_into_any_image_in_every_mode_and_by_every_way(
    running: Running, site: Site, tmp_path: Path, image: str
) -> None:
    make, changes = IMAGES[image]
    rootfs.ensure(docker.APIClient(base_url=running.docker_host), image, make, changes)
    key = Visitor.new(tmp_path, 0).public
    plain = rent(running, mode="ssh", args=None, ssh_keys=[key], image=image)
    hold_to_ssh(running, plain, tmp_path)

    direct = rent(running, mode="jupyter", jupyter_via="direct", args=None, ssh_keys=[key], image=image)
    hold_to_ssh(running, direct, tmp_path)
    told = running.client.get(f"/v1/contracts/{direct['id']}/jupyter")
    authority = running.client.session.get(f"{running.cloud.front_url}/v1/ca.crt", timeout=10).text
    notebook = Notebook(urlsplit(told["url"]).port or 443, told["token"], authority)
    assert notebook.get("/api/status", token="not-the-token")[0] == 403
    with notebook.kernel() as kernel:
        assert kernel.run("print(6 * 7)").stdout == "42\n"

    proxied = rent_notebook(running, site, tmp_path, image)
    hold_to_ssh(running, proxied.contract, tmp_path)
    wait_until(lambda: proxied.browser.status("/lab", proxied.token), lambda seen: seen == 200, "JupyterLab", UNKNOWN_S)
    assert proxied.browser.status("/api/status", "not-the-token") == 403
