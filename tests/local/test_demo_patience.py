"""The demo asks again where the service's function was cut off, and nothing is done twice for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from local.client import ApiError
from local.demo.patience import TRIES, PatientClient


class Session(requests.Session):
    """Answers with these statuses, and keeps what it was asked."""

    def __init__(self, *statuses: int) -> None:
        super().__init__()
        self._statuses: Iterator[int] = iter(statuses)
        self.keys: list[str | None] = []

    def request(self, *arguments: Any, **named: Any) -> requests.Response:
        self.keys.append(named["headers"].get("Idempotency-Key"))
        answer = requests.Response()
        answer.status_code = next(self._statuses)
        answer._content = b'{"error": {"code": "x", "message": "y"}}' if answer.status_code >= 400 else b'{"id": 1}'
        return answer


def test_what_was_cut_off_is_asked_again_under_the_same_key() -> None:
    session = Session(502, 504, 201)
    assert PatientClient("http://x", "key", session).post("/v1/contracts", {}) == {"id": 1}
    assert len(session.keys) == 3
    assert len({*session.keys}) == 1
    assert session.keys[0] is not None


@pytest.mark.parametrize(("statuses", "asked"), [((409,), 1), ((500,), 1), ((502,) * TRIES, TRIES)])
def test_a_refusal_or_a_fault_is_told_and_patience_has_an_end(statuses: tuple[int, ...], asked: int) -> None:
    session = Session(*statuses)
    with pytest.raises(ApiError):
        PatientClient("http://x", "key", session).get("/v1/offers")
    assert len(session.keys) == asked
    assert set(session.keys) == {None}
