"""Puts the journal's state back into fresh tables, and leaves a compacted journal behind."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from local.cloud import emulator, journal
from local.cloud.asgi import App, Recorder, Request, replayed
from local.cloud.journal import Effect
from local.cloud.journaling import TARGET_PREFIX

BATCH_ITEMS = 25


class ReplayError(Exception):
    """The emulator refused an item that it had accepted before."""


class Replayed(NamedTuple):
    """What a replay did: items put back, items whose table is gone (kept in the journal), items expired."""

    items: int
    orphans: int
    expired: int


async def replay(app: App, path: Path, access_key: str, now: float) -> Replayed:
    """Load the journal into the tables that exist; run it before anything else may use them."""
    effects = journal.living(journal.load(path))
    lasting = [effect for effect in effects if not _is_expired(effect, now)]
    known = [effect for effect in lasting if emulator.table_keys(effect.table) is not None]
    for batch in _batches(known):
        await _write(app, batch, access_key)
    journal.rewrite(path, lasting)
    return Replayed(len(known), len(lasting) - len(known), len(effects) - len(lasting))


def _is_expired(effect: Effect, now: float) -> bool:
    keys = emulator.table_keys(effect.table)
    if keys is None or keys.ttl_attribute is None or effect.item is None:
        return False
    ends = effect.item.get(keys.ttl_attribute, {}).get("N")
    return ends is not None and float(ends) <= now


def _batches(effects: Iterable[Effect]) -> Iterator[dict[str, list[Any]]]:
    by_table: dict[str, list[Any]] = defaultdict(list)
    for effect in effects:
        by_table[effect.table].append({"PutRequest": {"Item": effect.item}})
    for table, requests in by_table.items():
        for start in range(0, len(requests), BATCH_ITEMS):
            yield {table: requests[start : start + BATCH_ITEMS]}


async def _write(app: App, batch: dict[str, list[Any]], access_key: str) -> None:
    body = json.dumps({"RequestItems": batch}).encode()
    headers = [
        (b"host", b"dynamodb.us-east-1.localhost"),
        (b"content-type", b"application/x-amz-json-1.0"),
        (b"content-length", str(len(body)).encode()),
        (b"x-amz-target", f"{TARGET_PREFIX}BatchWriteItem".encode()),
        (b"authorization", _authorization(access_key).encode()),
    ]
    request = Request("POST", "/", "/", "", headers, body)
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 0),
    }
    answer = Recorder()
    await app(scope, replayed(request), answer)
    text = b"".join(m.get("body", b"") for m in answer.messages).decode()
    if answer.status != 200 or json.loads(text).get("UnprocessedItems"):
        raise ReplayError(f"The journal could not be replayed: {answer.status} {text[:500]}")


def _authorization(access_key: str) -> str:
    """The account's own key: the emulator takes it without checking its signature."""
    return (
        f"AWS4-HMAC-SHA256 Credential={access_key}/20000101/us-east-1/dynamodb/aws4_request, "
        "SignedHeaders=host, Signature=0"
    )
