"""A client who has nothing but what the API answers, and goes in over any of the proxies, by ssh or with a browser."""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local.client import wait_until
from local.images import BUSYBOX
from local.proxies import address
from local.site import Running, Site
from tests.e2e.renting import rent
from tests.host.launch.visitor import Visitor, answers

TIMEOUT_S = 20
UNKNOWN_S = 30
"""The host hears of its proxies when it starts, and comes to them within seconds."""


@dataclass(frozen=True)
class Browser:
    """Trusts the zone's certificate, and goes by name to wherever the URL says: to one of the proxies."""

    url: str
    trusted: Path
    address: str = address(1)

    def status(self, path: str, token: str) -> int:
        """Of the answer. Raises OSError where there is none, also for a certificate of another name."""
        name, port = urlsplit(self.url).hostname or "", urlsplit(self.url).port or 443
        plain = socket.create_connection((self.address, port), TIMEOUT_S)
        trust = ssl.create_default_context(cafile=self.trusted)
        with trust.wrap_socket(plain, server_hostname=name) as connection:
            lines = [f"GET {path} HTTP/1.1", f"Host: {name}:{port}", f"Authorization: token {token}"]
            connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode())
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            answer.read()
            return answer.status

    def status_or_none(self, path: str, token: str) -> int | None:
        try:
            return self.status(path, token)
        except OSError:
            return None


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

    def by(self, proxy: int) -> Rented:
        """The same, by way of this proxy, whose host key at the instance's port is known."""
        there = replace(self.visitor, address=address(proxy))
        know(there, self.told_host_key)
        return replace(self, visitor=there, browser=replace(self.browser, address=address(proxy)))

    @property
    def gets_in(self) -> bool:
        """By ssh and to JupyterLab; never where another key or certificate is shown than the client was told."""
        is_in = self.visitor.ssh("true", options=("-o", "ConnectTimeout=3")).returncode == 0
        return is_in and self.browser.status_or_none("/api/status", self.token) == 200

    def wait_to_get_in(self, timeout_s: float = UNKNOWN_S) -> None:
        wait_until(lambda: self.gets_in, bool, f"A way in over {self.visitor.address}", timeout_s)


def rent_notebook(running: Running, site: Site, folder: Path, image: str = BUSYBOX) -> Rented:
    key = Visitor.new(folder, 0).public
    contract = rent(running, mode="jupyter", args=None, ssh_keys=[key], image=image)
    access = contract["instances"][0]["access"]
    told = running.client.get(f"/v1/contracts/{contract['id']}/jupyter")
    assert (told["via"], told["url"]) == ("proxy", access["jupyter"]["url"])
    visitor = Visitor.new(folder, access["ssh"]["proxy"]["port"])
    assert access["ssh"]["proxy"]["address"] == visitor.address
    browser = Browser(told["url"], site.local_proxies.zone_authority)
    return Rented(contract, visitor, browser, told["token"])


def know(visitor: Visitor, host_key: str) -> None:
    """From now on the visitor believes this key at the instance's port and no other."""
    visitor.known_hosts.write_text(f"[127.0.0.*]:{visitor.port} {host_key}\n")


def wait_for_port(visitor: Visitor, what: str) -> None:
    wait_until(lambda: answers(visitor.port, visitor.address), bool, what, UNKNOWN_S)
