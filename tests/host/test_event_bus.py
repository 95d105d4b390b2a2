"""The bus client: what it sends, and that it takes up renewed credentials."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import boto3
import pytest
from botocore.stub import Stubber

from gpulease_host.event_bus import EventBus
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


def test_the_agents_credentials_file_is_found() -> None:
    assert credentials_path({"AWS_SHARED_CREDENTIALS_FILE": "/x/y"}) == Path("/x/y")
    assert credentials_path({}).name == "credentials"
