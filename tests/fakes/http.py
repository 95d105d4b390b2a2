"""Requests as API Gateway hands them to a function (payload format 2.0), and answers as a client reads them."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rental.ports import Principal
from tests.fakes.documented import check_documented

ROUTES = (
    r"/v1/offers/(?P<offer_id>[^/]*)",
    r"/v1/contracts/(?P<contract_id>[^/]*)(/[\w-]+)?",
    r"/v1/hosts/(?P<host_id>[^/]*)(/\w+)?",
    r"/v1/keys/(?P<key_id>[^/]*)",
    r"/v1/ssh-keys/(?P<ssh_key_id>[^/]*)",
    r"/v1/proxy/hosts/(?P<fingerprint>[^/]*)",
)
REQUEST_ID = "request-1"
Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    text: str

    @property
    def code(self) -> str:
        """The code of a refusal, whose shape is checked on the way."""
        assert set(self.body) == {"error"}, self.text
        assert set(self.body["error"]) == {"code", "message", "request_id"}
        assert self.body["error"]["request_id"] == REQUEST_ID
        assert self.body["error"]["message"]
        return str(self.body["error"]["code"])


def make_event(
    method: str,
    path: str,
    body: Any = None,
    caller: Principal | None = None,
    headers: dict[str, str] | None = None,
    query: dict[str, str] | None = None,
) -> dict[str, Any]:
    """`body` is sent as it is when it is text, else as JSON."""
    text = body if isinstance(body, str) or body is None else json.dumps(body)
    context: dict[str, Any] = {
        "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "test"},
        "requestId": REQUEST_ID,
        "stage": "$default",
    }
    if caller is not None:
        context["authorizer"] = {"lambda": {"account": caller.account, "role": caller.role}}
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": f"{method} {path}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers or {},
        "requestContext": context,
        "pathParameters": _path_parameters(path),
        "isBase64Encoded": False,
    }
    if query is not None:
        event["queryStringParameters"] = query
    if text is not None:
        event["body"] = text
    return event


def call(handler: Handler, method: str, path: str, body: Any = None, **details: Any) -> Answer:
    """What a client gets; fails the test when it is not JSON as the API's description has it."""
    result = handler(make_event(method, path, body, **details), object())
    assert result["headers"]["Content-Type"] == "application/json"
    found = Answer(result["statusCode"], json.loads(result["body"]), result["body"])
    check_documented(method, path, found.status, found.body)
    return found


def _path_parameters(path: str) -> dict[str, str]:
    matches = (re.fullmatch(route, path) for route in ROUTES)
    return next((match.groupdict() for match in matches if match is not None), {})
