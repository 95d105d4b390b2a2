"""Puts events on the EventBridge bus, with the credentials that the SSM agent writes and renews."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.auth import AUTH_TYPE_MAPS, SIGV4_TIMESTAMP, SigV4Auth
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from gpulease_host.sender import Kind, SendError

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

SOURCE = "gpulease.host"
SIGNATURE = "gpulease-v4"
_CONFIG = Config(
    connect_timeout=3,
    read_timeout=10,
    retries={"mode": "standard", "total_max_attempts": 2},
    signature_version=SIGNATURE,
)
_STALE_CREDENTIALS = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId"}
)


def open_client(region: str, clock: Callable[[], float]) -> EventBridgeClient:
    """A client with the credentials as they are now, that signs by `clock`: AWS refuses what is minutes off."""

    class ClockedAuth(SigV4Auth):
        def _modify_request_before_signing(self, request: Any) -> None:
            request.context["timestamp"] = datetime.fromtimestamp(clock(), UTC).strftime(SIGV4_TIMESTAMP)
            super()._modify_request_before_signing(request)  # type: ignore[misc]

    AUTH_TYPE_MAPS[SIGNATURE] = ClockedAuth
    return boto3.Session(region_name=region).client("events", config=_CONFIG)


class EventBus:
    """One client for as long as its credentials file stays the same; boto3 reads that file only once by itself."""

    def __init__(self, bus_name: str, credentials: Path, open_client: Callable[[], EventBridgeClient]) -> None:
        self._bus_name = bus_name
        self._credentials = credentials
        self._open_client = open_client
        self._client: EventBridgeClient | None = None
        self._stamp: tuple[int, int] | None = None

    def put(self, kind: Kind, detail: dict[str, Any]) -> None:
        """Raises SendError."""
        entry: Any = {
            "Source": SOURCE,
            "DetailType": kind,
            "Detail": json.dumps(detail),
            "EventBusName": self._bus_name,
        }
        try:
            answer = self._current_client().put_events(Entries=[entry])
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "unknown")
            if code in _STALE_CREDENTIALS:
                self._client = None
            raise SendError(f"EventBridge refused it: {code}") from error
        except (BotoCoreError, OSError) as error:
            raise SendError(f"EventBridge does not answer: {type(error).__name__}") from error
        if answer["FailedEntryCount"]:
            raise SendError(f"EventBridge did not take it: {answer['Entries'][0].get('ErrorCode', 'unknown')}")

    def _current_client(self) -> EventBridgeClient:
        stamp = _stamp(self._credentials)
        if self._client is None or stamp != self._stamp:
            self._stamp = stamp
            self._client = self._open_client()
        return self._client


def _stamp(path: Path) -> tuple[int, int] | None:
    """Another when the file is rewritten or replaced."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
