"""Callers that never pause: whether the service answers, and keeps what it acknowledged, while it is changed."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import requests

from local.client import ApiError, Client

TRIES = 3
PAUSE_S = 0.5


class Caller(threading.Thread):
    """Calls again and again; a call that fails is tried two times more, as any client would, and then given up."""

    def __init__(self, call: Callable[[int], object]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._stopping = threading.Event()
        self.answered: list[int] = []
        self.given_up: list[str] = []

    def run(self) -> None:
        for number in itertools.count():
            if self._stopping.is_set():
                return
            self._try(number)

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def _try(self, number: int) -> None:
        for tries in range(TRIES):
            try:
                self._call(number)
            except (ApiError, requests.RequestException) as error:
                if tries == TRIES - 1:
                    self.given_up.append(str(error))
                time.sleep(PAUSE_S)
            else:
                self.answered.append(number)
                return


def reader(client: Client, path: str) -> Caller:
    own = Client(client.url, client.key)
    return Caller(lambda _number: own.get(path))


def writer(client: Client) -> Caller:
    """Makes accounts: `account-<number>` of each answered number must be there afterwards."""
    own = Client(client.url, client.key)

    def call(number: int) -> Any:
        name = f"account-{number}"
        return own.post("/v1/accounts", {"name": name}, **{"Idempotency-Key": name})

    return Caller(call)


def list_all(client: Client, path: str) -> list[dict[str, Any]]:
    """Every page of a list."""
    items: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get(f"{path}?cursor={cursor}" if cursor else path)
        items += page["items"]
        cursor = page["next"]
    return items
