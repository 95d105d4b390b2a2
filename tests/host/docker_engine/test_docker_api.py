"""How Docker is asked, seen from the other end of its socket."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest

from gpulease_host.docker_engine import docker_api
from gpulease_host.docker_engine.docker_api import DockerApi
from gpulease_host.engine import EngineUnavailableError, StuckError
from tests.host.docker_engine.bench import wait_until


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), Handler)
        self.asked: list[str] = []
        self.hangs = False
        self.stuck = ""
        """On what is asked of this one only, it hangs."""
        self.released = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.hangs or f"/{self.server.stuck}/" in self.path:
            self.server.released.wait(30)
            self.close_connection = True
            return
        answers: dict[str, object] = {
            "version": {"ApiVersion": "1.44"},
            "info": {"ID": "docker-1"},
            "json": [{"Id": "abc"}],
        }
        if self.path.endswith("/_ping"):
            answers["_ping"] = "OK"
        if "/containers/c" in self.path:
            answers["json"] = {"Id": "abc"}
        body = json.dumps(answers[urlparse(self.path).path.rpartition("/")[2]]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def address_string(self) -> str:
        return "socket"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "docker.sock") as made:
        threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
        yield made
        made.released.set()
        made.shutdown()


def api_of(server: Server) -> DockerApi:
    return DockerApi(f"unix://{server.server_address!s}")


def test_docker_says_what_it_is_and_lists_what_has_a_label(server: Server) -> None:
    api = api_of(server)
    assert api.info(5) == {"ID": "docker-1"}
    assert api.list_containers("gpulease.host=7", all_states=False, timeout_s=5) == [{"Id": "abc"}]
    query = parse_qs(urlparse(server.asked[-1]).query)
    assert query == {"all": ["0"], "filters": ['{"label": ["gpulease.host=7"]}']}


def test_a_docker_that_hangs_is_waited_for_no_longer_than_was_said(server: Server) -> None:
    api = api_of(server)
    api.info()
    server.hangs = True
    for ask in (lambda: api.info(0.2), lambda: api.list_containers("gpulease.host", timeout_s=0.2)):
        with pytest.raises(EngineUnavailableError) as caught:
            ask()
        assert "timed out" in caught.value.details


def test_one_container_on_which_docker_hangs_is_told_apart_and_waited_for_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_api, "LOOK_TIMEOUT_S", 0.3)
    api, server.stuck = api_of(server), "c-1"
    with pytest.raises(StuckError, match="c-1"):
        api.inspect_container("c-1")
    asked = server.asked.count("/v1.44/containers/c-1/json")
    for call in (api.inspect_container, api.remove_container, api.container_with_size):
        with pytest.raises(StuckError):
            call("c-1")
    assert server.asked.count("/v1.44/containers/c-1/json") <= asked + 1, "somebody waits for it, and nobody else"
    assert api.inspect_container("c-2") == {"Id": "abc"}
    server.stuck = ""
    server.released.set()
    wait_until(lambda: "c-1" not in api.stuck, 10)
    assert api.inspect_container("c-1") == {"Id": "abc"}


def test_a_docker_that_hangs_as_a_whole_is_no_fault_of_a_container(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_api, "LOOK_TIMEOUT_S", 0.3)
    monkeypatch.setattr(docker_api, "LISTENING_TIMEOUT_S", 0.3)
    api = api_of(server)
    api.info()
    server.hangs = True
    with pytest.raises(EngineUnavailableError):
        api.inspect_container("c-1")
    assert "c-1" not in api.stuck
