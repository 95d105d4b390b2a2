"""A client of the service's HTTP API, as thin as a curl command: for the demo, the benchmark and the tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests

TIMEOUT_S = 30


class ApiError(Exception):
    """The service refused, in its own words."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code


class WaitedTooLongError(Exception):
    """Something did not come about in time; the last answer is in the message, or why if that is known."""

    def __init__(self, what: str, timeout_s: float, seen: Any, why: str = "") -> None:
        super().__init__(f"{what} did not come about in {timeout_s:.0f} s. {why or f'Last seen: {seen}'}")
        self.what = what
        self.timeout_s = timeout_s
        self.seen = seen
        self.why = why


@dataclass(frozen=True)
class Client:
    """Calls with one API key; keeps its connection."""

    url: str
    key: str = field(repr=False)
    session: requests.Session = field(default_factory=requests.Session, repr=False)

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.call("POST", path, body, **headers)

    def put(self, path: str, body: Any) -> Any:
        return self.call("PUT", path, body)

    def delete(self, path: str) -> Any:
        return self.call("DELETE", path)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The answer's JSON; raises ApiError for any status from 400."""
        headers = {"Authorization": f"Bearer {self.key}", **headers}
        answer = self.session.request(method, f"{self.url}{path}", json=body, headers=headers, timeout=TIMEOUT_S)
        if answer.status_code >= 400:
            raise _error(answer)
        return answer.json()


def wait_until(read: Callable[[], Any], is_true: Callable[[Any], bool], what: str, timeout_s: float = 30.0) -> Any:
    """Read every 50 ms until it is as wished; answers the last reading. Raises WaitedTooLongError."""
    deadline = time.monotonic() + timeout_s
    while True:
        seen = read()
        if is_true(seen):
            return seen
        if time.monotonic() > deadline:
            raise WaitedTooLongError(what, timeout_s, seen)
        time.sleep(0.05)


def _error(answer: requests.Response) -> ApiError:
    try:
        error = answer.json()["error"]
        return ApiError(answer.status_code, error["code"], error["message"])
    except (ValueError, KeyError, TypeError):
        return ApiError(answer.status_code, "unknown", answer.text[:300])
