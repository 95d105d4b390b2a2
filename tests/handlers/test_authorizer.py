"""The authorizer always allows and passes on who calls, or nobody."""

import logging
from typing import Any

import pytest

from handlers import authorizer
from tests.fakes.http import make_event
from tests.handlers.conftest import Site


def authorize(headers: dict[str, str]) -> dict[str, Any]:
    answer = authorizer.handler(make_event("GET", "/v1/contracts", headers=headers), None)
    assert answer["isAuthorized"] is True
    context: dict[str, Any] = answer["context"]
    return context


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_known_key_is_its_account_and_role(site: Site, api_key: str, scheme: str) -> None:
    assert authorize({"authorization": f"{scheme} {api_key}"}) == {"account": site.client.account, "role": "client"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer unknown"},
        {"authorization": "Bearer " + "x" * 10_000},
        {"authorization": "Bearer \x00"},
        {"authorization": "Bearer ключ"},
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"authorization": "Machine a.b.c"},
    ],
)
def test_anything_else_is_nobody(site: Site, headers: dict[str, str]) -> None:
    assert authorize(headers) == {}


def test_a_key_is_not_logged(site: Site, api_key: str, lines: list[logging.LogRecord]) -> None:
    authorize({"authorization": f"Bearer {api_key}"})
    assert len(lines) == 1
    assert api_key not in str(lines[0].__dict__)
