"""What has no key: health, the API's description, and the answer to routes that do not exist."""

from functools import cache
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response

from handlers.gateway import PAGE_HEADERS, answer, entry_point, make_app

app = make_app()
handler = entry_point(app)


@app.get("/v1/health")
def health() -> Response[str]:
    return answer(HTTPStatus.OK, {"status": "ok"})


@app.get("/v1/openapi.json")
def show_document() -> Response[str]:
    return answer(HTTPStatus.OK, document())


@app.get("/docs")
def show_page() -> Response[str]:
    return Response(HTTPStatus.OK, "text/html; charset=utf-8", page(), headers={**PAGE_HEADERS})


@cache
def document() -> dict[str, Any]:
    """Loaded on first use: health checks and wrong routes have no need of all models."""
    from rental.api.document import build_document

    return build_document()


@cache
def page() -> str:
    from rental.api.page import render_page

    return render_page(document())
