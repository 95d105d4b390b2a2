"""What has no key: health, the API's description as a document and as a page, wrong routes."""

import json

import pytest

from handlers import api_root
from rental.api.document import build_document
from tests.fakes.http import call, make_event


def test_the_document_is_served() -> None:
    answer = call(api_root.handler, "GET", "/v1/openapi.json")
    assert (answer.status, answer.body) == (200, json.loads(json.dumps(build_document())))


def test_the_page_is_served_as_html_that_may_load_nothing() -> None:
    result = api_root.handler(make_event("GET", "/docs"), object())
    headers = result["headers"]
    assert result["statusCode"] == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Security-Policy"].startswith("default-src 'none';")
    assert result["body"].startswith("<!doctype html>")


def test_health_is_served() -> None:
    assert call(api_root.handler, "GET", "/v1/health").body == {"status": "ok"}


def test_a_wrong_route_is_404_in_our_shape() -> None:
    for method, path in (("GET", "/"), ("GET", "/wp-login.php"), ("GET", "/v1/nothing"), ("POST", "/docs/x")):
        answer = call(api_root.handler, method, path)
        assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/docs", "GET"), ("/v1/contracts", "GET, POST"), ("/v1/contracts/5", "DELETE, GET"), ("/v1/host/fetch", "POST")],
)
def test_a_method_that_a_path_does_not_take_is_405_and_told_which_it_takes(path: str, methods: str) -> None:
    result = api_root.handler(make_event("PATCH", path), object())
    assert (result["statusCode"], result["headers"]["Allow"]) == (405, methods)
    assert call(api_root.handler, "PATCH", path).code == "method_not_allowed"
