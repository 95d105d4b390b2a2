"""No answer without a durable effect: the order of things around one write."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from local.cloud import journal
from local.cloud.asgi import Message, Receive, Request, Scope, Send
from local.cloud.journal import Effect, Item, Journal, Key, Position
from local.cloud.journaling import TARGET_PREFIX, JournalingDynamoDb


class OneTable:
    """A table that is a dictionary, and the application that writes to it."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.inside = 0
        self.most_inside = 0

    def key_names(self, table: str) -> tuple[str, ...] | None:
        return ("pk",)

    def read_item(self, table: str, key: Key) -> Item | None:
        return self.items.get(key["pk"]["S"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        item = json.loads((await receive())["body"])["Item"]
        await asyncio.sleep(0)
        self.items[item["pk"]["S"]] = item
        self.inside -= 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


class FullDiskJournal(Journal):
    """A journal on a disk that takes nothing more."""

    async def sync(self, position: Position) -> None:
        raise OSError(28, "No space left on device")


class Client:
    """Sends writes and keeps the answers."""

    def __init__(self, table: OneTable) -> None:
        self.broken: list[OSError] = []
        self.answers: list[Message] = []
        self.dynamodb = JournalingDynamoDb(table, table, self.broken.append)

    async def put(self, name: str) -> None:
        body = json.dumps({"TableName": "T", "Item": {"pk": {"S": name}}}).encode()
        headers = [(b"x-amz-target", f"{TARGET_PREFIX}PutItem".encode())]
        request = Request("POST", "/", "/", "", headers, body)

        async def send(message: Message) -> None:
            self.answers.append(message)

        scope: dict[str, Any] = {"type": "http"}
        await self.dynamodb(scope, request, send)


def test_writes_run_one_after_another_and_all_are_kept(tmp_path: Path) -> None:
    table = OneTable()

    async def run() -> None:
        client = Client(table)
        client.dynamodb.open(Journal(tmp_path / "journal"))
        await asyncio.gather(*(client.put(f"i{number}") for number in range(20)))
        assert len(client.answers) == 40

    asyncio.run(run())
    assert table.most_inside == 1
    assert {effect.key["pk"]["S"] for effect in journal.load(tmp_path / "journal")} == table.items.keys()


def test_nothing_is_written_before_the_replay_is_done(tmp_path: Path) -> None:
    table = OneTable()

    async def run() -> None:
        client = Client(table)
        write = asyncio.create_task(client.put("early"))
        await asyncio.sleep(0.01)
        assert not table.items
        client.dynamodb.open(Journal(tmp_path / "journal"))
        await write

    asyncio.run(run())
    assert journal.load(tmp_path / "journal") == [Effect("T", {"pk": {"S": "early"}}, {"pk": {"S": "early"}})]


def test_a_disk_that_takes_no_more_ends_the_cloud_and_answers_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        client = Client(OneTable())
        client.dynamodb.open(FullDiskJournal(tmp_path / "journal"))
        with pytest.raises(OSError, match="No space"):
            await client.put("lost")
        assert client.broken and not client.answers

    asyncio.run(run())
