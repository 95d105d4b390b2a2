"""A cloud that is killed at any moment comes back with every write that it had acknowledged."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from local import supervise
from local.cloud.settings import CloudInfo
from local.ports import free_port

pytestmark = pytest.mark.cloud

WRITERS = 8
WRITING_S = 2.0


class Writer(threading.Thread):
    """Writes as fast as it can, by every kind of mutation, and remembers what was acknowledged."""

    def __init__(self, info: CloudInfo, number: int) -> None:
        super().__init__(daemon=True)
        self._client = info.client("dynamodb", attempts=1)
        self._table = info.outputs["TableName"]
        self._number = number
        self.acknowledged: dict[str, int] = {}
        self.removed: set[str] = set()

    def run(self) -> None:
        try:
            for count in range(1_000_000):
                self._write(count)
        except (BotoCoreError, ClientError):
            return

    def _write(self, count: int) -> None:
        name = f"w{self._number}-{count}"
        kinds = (self._put, self._update, self._transact, self._batch)
        kinds[count % len(kinds)](name, count)
        self.acknowledged[name] = count
        if count % 10 == 9:
            # From here to the answer it may be there or not.
            del self.acknowledged[name]
            self._client.delete_item(TableName=self._table, Key=key(name))
            self.removed.add(name)

    def _put(self, name: str, count: int) -> None:
        self._client.put_item(TableName=self._table, Item=item(name, count))

    def _update(self, name: str, count: int) -> None:
        self._client.update_item(
            TableName=self._table,
            Key=key(name),
            UpdateExpression="ADD n :n",
            ExpressionAttributeValues={":n": {"N": str(count)}},
        )

    def _transact(self, name: str, count: int) -> None:
        put = {"TableName": self._table, "Item": item(name, count)}
        other = {
            "TableName": self._table,
            "Key": key(f"total-{self._number}"),
            "UpdateExpression": "ADD n :n",
            "ExpressionAttributeValues": {":n": {"N": "1"}},
        }
        self._client.transact_write_items(TransactItems=[{"Put": put}, {"Update": other}])

    def _batch(self, name: str, count: int) -> None:
        self._client.batch_write_item(RequestItems={self._table: [{"PutRequest": {"Item": item(name, count)}}]})


def key(name: str) -> dict[str, Any]:
    return {"pk": {"S": name}, "sk": {"S": "A"}}


def item(name: str, count: int) -> dict[str, Any]:
    return {**key(name), "n": {"N": str(count)}}


def scan(info: CloudInfo) -> dict[str, dict[str, Any]]:
    pages = info.client("dynamodb").get_paginator("scan").paginate(TableName=info.outputs["TableName"])
    return {one["pk"]["S"]: one for page in pages for one in page["Items"]}


def test_kill_9_under_eight_writers_loses_no_acknowledged_write(tmp_path: Path, tiny_assembly: Path) -> None:
    port = free_port()
    first = supervise.start_cloud(tmp_path, port, tiny_assembly)
    writers = [Writer(first, number) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    time.sleep(WRITING_S)
    os.kill(first.pid, signal.SIGKILL)
    for writer in writers:
        writer.join()

    second = supervise.start_cloud(tmp_path, port, tiny_assembly)
    try:
        found = scan(second)
        assert sum(len(writer.acknowledged) for writer in writers) > WRITERS
        for writer in writers:
            kept = {name: int(found[name]["n"]["N"]) for name in writer.acknowledged if name in found}
            assert kept == writer.acknowledged
            assert not writer.removed & found.keys()
        assert second.aws_endpoint == first.aws_endpoint
        assert second.pid != first.pid
    finally:
        supervise.stop_cloud(tmp_path)


def test_a_restart_gives_back_the_same_tables(tmp_path: Path, tiny_assembly: Path) -> None:
    port = free_port()
    first = supervise.start_cloud(tmp_path, port, tiny_assembly)
    table, client = first.outputs["TableName"], first.client("dynamodb")
    odd = {"b": {"B": b"\0\xff"}, "l": {"L": [{"M": {"x": {"NULL": True}}}]}, "s": {"NS": ["1", "2"]}}
    client.put_item(TableName=table, Item={**item("kept", 1), **odd})
    client.put_item(TableName=table, Item={**item("gone-by-time", 1), "ttl": {"N": str(int(time.time()) - 5)}})
    client.put_item(TableName=table, Item={**item("later", 1), "ttl": {"N": str(int(time.time()) + 500)}})
    client.put_item(TableName=table, Item=item("deleted", 1))
    client.delete_item(TableName=table, Key=key("deleted"))
    before = scan(first)
    supervise.stop_cloud(tmp_path)

    second = supervise.start_cloud(tmp_path, port, tiny_assembly)
    after = scan(second)
    supervise.stop_cloud(tmp_path)
    before.pop("gone-by-time")
    assert after == before
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) == len(before)


def test_a_restart_gives_back_the_same_keys(tmp_path: Path, tiny_assembly: Path) -> None:
    port, said = free_port(), []
    for _ in range(2):
        info = supervise.start_cloud(tmp_path, port, tiny_assembly)
        found = info.client("kms").get_public_key(KeyId=info.outputs["KeyId"])
        said.append((info.outputs["KeyId"], found["PublicKey"]))
        supervise.stop_cloud(tmp_path)
    assert said[0] == said[1]


def test_a_refused_write_leaves_no_trace(tmp_path: Path, tiny_assembly: Path) -> None:
    info = supervise.start_cloud(tmp_path, free_port(), tiny_assembly)
    client, table = info.client("dynamodb"), info.outputs["TableName"]
    try:
        client.put_item(TableName=table, Item=item("a", 1))
        lines = (tmp_path / "journal.jsonl").read_text()
        with pytest.raises(client.exceptions.ConditionalCheckFailedException):
            client.put_item(TableName=table, Item=item("a", 2), ConditionExpression="attribute_not_exists(pk)")
        with pytest.raises(ClientError, match="not journaled"):
            client.execute_statement(Statement=f"DELETE FROM \"{table}\" WHERE pk='a' AND sk='A'")
        assert (tmp_path / "journal.jsonl").read_text() == lines
    finally:
        supervise.stop_cloud(tmp_path)
