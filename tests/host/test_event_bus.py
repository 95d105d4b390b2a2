"""The bus client: what it sends, and that it takes up renewed credentials."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, cast

import boto3
import pytest
from botocore.stub import Stubber

from gpulease_host.event_bus import EventBus, open_client
from gpulease_host.sender import SendError
from gpulease_host.settings import credentials_path

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

ENTRY = {"Source": "gpulease.host", "DetailType": "Heartbeat", "Detail": '{"v": 1}', "EventBusName": "bus"}


class Clients:
    """Makes stubbed clients, and counts them."""

    def __init__(self) -> None:
        self.made: list[Stubber] = []
        self.prepared: list[Stubber] = []

    def prepare(self) -> Stubber:
        client = boto3.client("events", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
        stub = Stubber(client)
        stub.activate()
        self.prepared.append(stub)
        return stub

    def open(self) -> EventBridgeClient:
        self.made.append(self.prepared.pop(0))
        return cast("EventBridgeClient", self.made[-1].client)


@pytest.fixture
def clients() -> Iterator[Clients]:
    made = Clients()
    yield made
    for stub in made.made:
        stub.assert_no_pending_responses()


def test_an_event_is_put_as_the_rules_expect_it(clients: Clients, tmp_path: Path) -> None:
    bus = EventBus("bus", tmp_path / "credentials", clients.open)
    clients.prepare().add_response("put_events", {"FailedEntryCount": 0, "Entries": []}, {"Entries": [ENTRY]})
    bus.put("Heartbeat", {"v": 1})


def test_an_entry_that_was_not_taken_is_an_error(clients: Clients, tmp_path: Path) -> None:
    bus = EventBus("bus", tmp_path / "credentials", clients.open)
    answer = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException"}]}
    clients.prepare().add_response("put_events", answer, {"Entries": [ENTRY]})
    with pytest.raises(SendError, match="ThrottlingException"):
        bus.put("Heartbeat", {"v": 1})


def test_a_renewed_credentials_file_makes_a_new_client(clients: Clients, tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("old")
    bus = EventBus("bus", path, clients.open)
    first, second = clients.prepare(), clients.prepare()
    for stub in (first, first, second):
        stub.add_response("put_events", {"FailedEntryCount": 0, "Entries": []}, {"Entries": [ENTRY]})
    bus.put("Heartbeat", {"v": 1})
    bus.put("Heartbeat", {"v": 1})
    renewed = tmp_path / "renewed"
    renewed.write_text("new")
    renewed.replace(path)
    bus.put("Heartbeat", {"v": 1})
    assert clients.made == [first, second]


def test_expired_credentials_make_a_new_client_the_next_time(clients: Clients, tmp_path: Path) -> None:
    bus = EventBus("bus", tmp_path / "credentials", clients.open)
    clients.prepare().add_client_error("put_events", "ExpiredTokenException")
    clients.prepare().add_response("put_events", {"FailedEntryCount": 0, "Entries": []}, {"Entries": [ENTRY]})
    with pytest.raises(SendError, match="ExpiredTokenException"):
        bus.put("Heartbeat", {"v": 1})
    bus.put("Heartbeat", {"v": 1})


def test_it_is_signed_by_the_clock_that_is_right_and_not_by_the_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed: list[str] = []

    class Bus(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            signed.append(f"{self.headers['X-Amz-Date']} {self.headers['Authorization']}")
            answer = b'{"FailedEntryCount": 0, "Entries": []}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Bus)
    threading.Thread(target=server.handle_request, daemon=True).start()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_ENDPOINT_URL_EVENTBRIDGE", f"http://127.0.0.1:{server.server_address[1]}")
    bus = EventBus("bus", tmp_path / "credentials", lambda: open_client("us-east-1", lambda: time.time() - 86400))
    bus.put("Heartbeat", {"v": 1})
    server.server_close()
    yesterday = datetime.fromtimestamp(time.time() - 86400, UTC).strftime("%Y%m%d")
    assert signed[0].startswith(f"{yesterday}T")
    assert f"Credential=a/{yesterday}/us-east-1/events/aws4_request" in signed[0]


def test_the_agents_credentials_file_is_found() -> None:
    assert credentials_path({"AWS_SHARED_CREDENTIALS_FILE": "/x/y"}) == Path("/x/y")
    assert credentials_path({}).name == "credentials"
