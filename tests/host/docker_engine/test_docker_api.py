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

from gpulease_host.docker_engine.docker_api import DockerApi
from gpulease_host.engine import EngineUnavailableError


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), Handler)
        self.asked: list[str] = []
        self.hangs = False
        self.released = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.hangs:
            self.server.released.wait(30)
            return
        answers = {"version": {"ApiVersion": "1.44"}, "info": {"ID": "docker-1"}, "json": [{"Id": "abc"}]}
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
