"""The API keys of a local service: one each for an administrator, a host's owner, a client and proxies.

The keys are made once per state folder and put into the table at every start, so they stay good over
restarts and over an emptied table. The table holds only their hashes.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from local.cloud.settings import CloudInfo, write_secret

ROLES = ("admin", "host", "client", "proxy")
KEYS_FILE = "keys.json"
KEY_BYTES = 32


@dataclass(frozen=True)
class Credentials:
    """How a person or a program gets in."""

    url: str
    admin_key: str
    host_key: str
    client_key: str
    proxy_key: str

    def write(self, path: Path) -> None:
        """Leave them where only the owner reads them."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_secret(path, json.dumps(asdict(self), indent=2))


def provide_keys(info: CloudInfo, state: Path, *, clock: Callable[[], float] = time.time) -> Credentials:
    """Make the keys good in the cloud's table and return them."""
    keys = _lasting_keys(state / KEYS_FILE)
    table = info.client("dynamodb")
    for role, key in keys.items():
        account, now = f"local-{role}", int(clock())
        for item in (account_item(account, now), key_item(key, role=role, account=account, created_at=now)):
            _put_once(table, info.outputs["TableName"], item)
    return Credentials(info.front_url, keys["admin"], keys["host"], keys["client"], keys["proxy"])


def key_item(key: str, *, role: str, account: str, created_at: int) -> dict[str, Any]:
    """The table's record of an API key, as the service itself writes one: its hash, whose it is, what it may do."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    index = {"gsi1pk": f"A#{account}", "gsi1sk": f"K#{created_at:010d}#{digest}"}
    known = {"id": digest, "account": account, "role": role, "label": "local", "created_at": created_at}
    return {"pk": f"K#{digest}", "sk": "K", "v": 1, "rev": 1, **index, **known}


def account_item(name: str, created_at: int) -> dict[str, Any]:
    """The table's record of an account."""
    index = {"gsi1pk": "ACCOUNTS", "gsi1sk": f"A#{name}"}
    known = {"name": name, "label": "", "created_at": created_at}
    return {"pk": f"A#{name}", "sk": "A", "v": 1, "rev": 1, **index, **known}


def _lasting_keys(path: Path) -> dict[str, str]:
    kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    keys = {role: kept.get(role) or f"gl_{role}_{secrets.token_urlsafe(KEY_BYTES)}" for role in ROLES}
    if keys != kept:
        write_secret(path, json.dumps(keys, indent=2))
    return keys


def _put_once(client: Any, table: str, item: dict[str, Any]) -> None:
    """Write it unless it is there: a record keeps the day it was made."""
    typed = {name: {"N": str(value)} if isinstance(value, int) else {"S": value} for name, value in item.items()}
    try:
        client.put_item(TableName=table, Item=typed, ConditionExpression="attribute_not_exists(pk)")
    except client.exceptions.ConditionalCheckFailedException:
        return
