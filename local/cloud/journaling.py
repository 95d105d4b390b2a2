"""Makes MiniStack's DynamoDB durable: a write is answered only when its effect stands in the journal.

Writes run one after another under one lock, so the journal's order is the order of effects; the wait for the
disk is outside the lock and shared. Until the replay is done, item operations wait: nobody may read or write
a table that is not yet what it was.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from local.cloud.asgi import App, Recorder, Request, Response, Send, replayed
from local.cloud.journal import Effect, Item, Journal, Key, Position

TARGET_PREFIX = "DynamoDB_20120810."

# Writes whose touched keys are not read from the request: refused, since a lost write is worse than a missing feature.
UNJOURNALED = frozenset(
    {
        "BatchExecuteStatement",
        "ExecuteStatement",
        "ExecuteTransaction",
        "ImportTable",
        "RestoreTableFromBackup",
        "RestoreTableToPointInTime",
    }
)
READS = frozenset({"BatchGetItem", "GetItem", "Query", "Scan", "TransactGetItems"})


class Tables(Protocol):
    """What the journal asks of the emulator's tables."""

    def key_names(self, table: str) -> tuple[str, ...] | None:
        """The key attributes, or None when there is no such table."""

    def read_item(self, table: str, key: Key) -> Item | None:
        """The item as it is now."""


class JournalingDynamoDb:
    """Wraps the emulator's application for requests to DynamoDB."""

    def __init__(self, app: App, tables: Tables, on_broken: Callable[[OSError], None]) -> None:
        self._app = app
        self._journal: Journal | None = None
        self._tables = tables
        self._on_broken = on_broken
        self._write_lock = asyncio.Lock()
        self._replayed = asyncio.Event()

    def open(self, journal: Journal) -> None:
        """Let item operations through: the tables are what they were, and this is where writes go."""
        self._journal = journal
        self._replayed.set()

    async def __call__(self, scope: Any, request: Request, send: Send) -> None:
        """Answer one DynamoDB request."""
        operation = request.header("x-amz-target").removeprefix(TARGET_PREFIX)
        if operation in UNJOURNALED:
            sentence = f"{operation} is not journaled by the local cloud."
            problem = {"__type": "UnsupportedOperationException", "message": sentence}
            await Response.of_json(400, problem, "application/x-amz-json-1.0").send(send)
            return
        if operation in READS:
            await self._replayed.wait()
        if operation not in _KEYS_OF:
            await self._app(scope, replayed(request), send)
            return
        await self._replayed.wait()
        await self._write(_KEYS_OF[operation], scope, request, send)

    async def _write(self, keys_of: KeysOf, scope: Any, request: Request, send: Send) -> None:
        assert self._journal is not None, "writes wait for the replay"
        answer = Recorder()
        try:
            async with self._write_lock:
                await self._app(scope, replayed(request), answer)
                position = self._record(self._journal, keys_of, request) if answer.status < 400 else None
                await self._journal.compact_if_grown()
            if position is not None:
                await self._journal.sync(position)
        except OSError as error:
            self._on_broken(error)
            raise
        await answer.release(send)

    def _record(self, journal: Journal, keys_of: KeysOf, request: Request) -> Position:
        touched = keys_of(json.loads(request.body), self._tables)
        return journal.append(Effect(table, key, self._tables.read_item(table, key)) for table, key in touched)


KeysOf = Callable[[Mapping[str, Any], Tables], Iterator[tuple[str, Key]]]


def _keyed(data: Mapping[str, Any], _tables: Tables) -> Iterator[tuple[str, Key]]:
    yield _table_name(data["TableName"]), data["Key"]


def _put(data: Mapping[str, Any], tables: Tables) -> Iterator[tuple[str, Key]]:
    table = _table_name(data["TableName"])
    yield table, _key_of(data["Item"], table, tables)


def _batch(data: Mapping[str, Any], tables: Tables) -> Iterator[tuple[str, Key]]:
    for reference, requests in data["RequestItems"].items():
        table = _table_name(reference)
        for request in requests:
            if "PutRequest" in request:
                yield table, _key_of(request["PutRequest"]["Item"], table, tables)
            else:
                yield table, request["DeleteRequest"]["Key"]


def _transaction(data: Mapping[str, Any], tables: Tables) -> Iterator[tuple[str, Key]]:
    for action in data["TransactItems"]:
        if "Put" in action:
            yield from _put(action["Put"], tables)
        for name in ("Update", "Delete"):
            if name in action:
                yield from _keyed(action[name], tables)


def _key_of(item: Item, table: str, tables: Tables) -> Key:
    return {name: item[name] for name in tables.key_names(table) or ()}


def _table_name(reference: str) -> str:
    """A table may be named by its ARN."""
    return reference.rpartition(":table/")[2] or reference


_KEYS_OF: Mapping[str, KeysOf] = {
    "PutItem": _put,
    "UpdateItem": _keyed,
    "DeleteItem": _keyed,
    "BatchWriteItem": _batch,
    "TransactWriteItems": _transaction,
}
