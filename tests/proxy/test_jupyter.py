"""JupyterLab by the proxy, with real nginx: one origin each, and only the instance that has the name answers to it."""

from __future__ import annotations

import base64
import http.client
import os
import re
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.ports import free_port
from tests.proxy.authority import Authority
from tests.proxy.notebook import Notebook
from tests.proxy.rig import ZONE, ProxyRig, TunnelKey, accepts, wait_for
from tests.proxy.service import ServiceDouble

MINE, THEIRS = 70, 80


def name_of(instance_id: int) -> str:
    return f"j-{instance_id}.{ZONE}"


@dataclass
class Browser:
    """Connects to the proxy by name, and believes the zone's certificate only."""

    proxy: ProxyRig
    trust: ssl.SSLContext

    def open(self, name: str) -> ssl.SSLSocket:
        plain = socket.create_connection((self.proxy.address, self.proxy.https_port), timeout=10)
        return self.trust.wrap_socket(plain, server_hostname=name)

    def get(self, name: str, host: str | None = None) -> tuple[int, str, http.client.HTTPMessage]:
        with self.open(name) as connection:
            asked = f"GET /lab?token=secret HTTP/1.1\r\nHost: {host or name}\r\nConnection: close\r\n\r\n"
            connection.sendall(asked.encode())
            response = http.client.HTTPResponse(connection)
            response.begin()
            return response.status, response.read().decode(), response.headers


@dataclass
class Scene:
    proxy: ProxyRig
    service: ServiceDouble
    browser: Browser
    authority: Authority
    folder: Path
    ended: list[subprocess.Popen[str]]
    notebooks: list[Notebook]

    def notebook(self, name: str, certified: str, authority: Authority | None = None) -> Notebook:
        made = Notebook(name, (authority or self.authority).issue(self.folder, certified))
        self.notebooks.append(made)
        return made

    def let(self, instance_id: int, notebook: Notebook) -> TunnelKey:
        """A host that forwards the instance's port to this notebook, whichever it is."""
        key, port = TunnelKey.make(self.folder / f"host-{instance_id}"), free_port()
        self.service.permit(key.public, instance_id // 10, (instance_id, "jupyter", port))
        target = f"{self.proxy.address}:{port}:127.0.0.1:{notebook.port}"
        self.ended.append(key.connect(self.proxy, "-R", target))
        wait_for(lambda: accepts(self.proxy.address, port), self.proxy.said)
        return key


@pytest.fixture
def scene(
    make_proxy: Callable[..., ProxyRig],
    service: ServiceDouble,
    tmp_path: Path,
    certificate_folder: Path,
    ended: list[subprocess.Popen[str]],
) -> Iterator[Scene]:
    instances, zone = Authority("the service"), Authority("the web")
    service.ca = instances.pem
    proxy = make_proxy(tls=zone.issue(certificate_folder, f"*.{ZONE}"))
    wait_for(lambda: accepts(proxy.address, proxy.https_port), proxy.said)
    made = Scene(proxy, service, Browser(proxy, zone.trusting()), instances, tmp_path, ended, [])
    yield made
    for each in made.notebooks:
        each.close()


def test_two_tenants_are_two_origins(scene: Scene) -> None:
    scene.let(MINE, scene.notebook("mine", name_of(MINE)))
    scene.let(THEIRS, scene.notebook("theirs", name_of(THEIRS)))
    assert scene.browser.get(name_of(MINE))[:2] == (200, "I am mine")
    assert scene.browser.get(name_of(THEIRS))[:2] == (200, "I am theirs")


def test_workers_that_an_earlier_nginx_left_make_room(scene: Scene) -> None:
    """Killed at once with their master, so that nobody told them to end."""
    assert scene.proxy.process is not None
    started = re.search(r'"program": "nginx", "pid": (\d+)', scene.proxy.said())
    assert started is not None
    found = subprocess.run(["pgrep", "-P", started.group(1)], capture_output=True, text=True, check=True)
    workers = {int(each) for each in found.stdout.split()}
    scene.proxy.process.send_signal(signal.SIGSTOP)  # or it would notice
    os.kill(int(started.group(1)), signal.SIGKILL)
    scene.proxy.kill()
    assert accepts(scene.proxy.address, scene.proxy.https_port)
    scene.proxy.start()
    wait_for(lambda: not any(Path(f"/proc/{each}").exists() for each in workers), scene.proxy.said)
    wait_for(lambda: accepts(scene.proxy.address, scene.proxy.https_port), scene.proxy.said)


def test_a_websocket_passes(scene: Scene) -> None:
    scene.let(MINE, scene.notebook("mine", name_of(MINE)))
    name, key = name_of(MINE), base64.b64encode(os.urandom(16)).decode()
    with scene.browser.open(name) as connection:
        upgrade = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nOrigin: https://{name}"
        connection.sendall(f"GET /api/kernels/x/channels HTTP/1.1\r\nHost: {name}\r\n{upgrade}\r\n\r\n".encode())
        stream = connection.makefile("rwb")
        assert stream.readline().startswith(b"HTTP/1.1 101")
        while stream.readline() != b"\r\n":
            pass
        for text in (b"\x81\x05hello", bytes(range(256)) * 40):
            stream.write(text)
            stream.flush()
            assert stream.read(len(text)) == text
    assert f"Host: {name}" in scene.notebooks[0].heads[0]  # JupyterLab holds the Origin against it


@pytest.mark.slow
def test_who_listens_at_an_instance_s_port_without_its_certificate_is_not_led_to(scene: Scene) -> None:
    imposture = scene.notebook("imposture", name_of(THEIRS))
    scene.let(MINE, imposture)
    status, text, _ = scene.browser.get(name_of(MINE))
    assert (status, imposture.heads) == (502, [])
    assert "secret" not in text


def test_a_certificate_that_the_service_did_not_sign_is_not_believed(scene: Scene) -> None:
    imposture = scene.notebook("imposture", name_of(MINE), Authority("the service"))
    scene.let(MINE, imposture)
    assert scene.browser.get(name_of(MINE))[0] == 502
    assert imposture.heads == []


@pytest.mark.slow
def test_what_is_not_connected_is_not_there(scene: Scene) -> None:
    for name in (name_of(MINE), f"j-0{MINE}.{ZONE}", f"j-.{ZONE}", f"k.{ZONE}"):
        assert scene.browser.get(name)[0] == 404
    assert all("/v1/proxy/" not in path for path in scene.service.asked)  # guessing names costs the service nothing


@pytest.mark.slow
def test_a_connection_for_one_instance_carries_no_request_for_another(scene: Scene) -> None:
    scene.let(MINE, scene.notebook("mine", name_of(MINE)))
    scene.let(THEIRS, scene.notebook("theirs", name_of(THEIRS)))
    assert scene.browser.get(name_of(MINE), host=name_of(THEIRS))[0] == 421


@pytest.mark.slow
def test_a_cookie_stays_with_the_instance_that_set_it(scene: Scene) -> None:
    scene.let(MINE, scene.notebook("mine", name_of(MINE)))
    assert f"Domain={name_of(MINE)};" in str(scene.browser.get(name_of(MINE))[2]["Set-Cookie"])


def test_a_token_in_a_link_is_not_logged(scene: Scene) -> None:
    scene.let(MINE, scene.notebook("mine", name_of(MINE)))
    scene.let(THEIRS, scene.notebook("imposture", "elsewhere.example"))
    assert scene.browser.get(name_of(MINE))[0] == 200
    assert scene.browser.get(name_of(THEIRS))[0] == 502
    wait_for(lambda: '"status": 502' in scene.proxy.said(), scene.proxy.said)
    assert "secret" not in scene.proxy.said()


@pytest.mark.slow
def test_a_zone_s_renewed_certificate_is_taken_without_a_restart(scene: Scene, certificate_folder: Path) -> None:
    renewed = Authority("the web, next year")
    renewed.issue(certificate_folder, f"*.{ZONE}")
    browser = Browser(scene.proxy, renewed.trusting())

    def is_taken() -> bool:
        try:
            return browser.get(name_of(MINE))[0] == 404
        except ssl.SSLError:
            return False

    wait_for(is_taken, scene.proxy.said)
