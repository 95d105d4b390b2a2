"""What every HTTP entry point shares: who calls, the body, the error shape, one log line per request."""

import base64
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError as NoRouteError
from aws_lambda_powertools.event_handler.exceptions import ServiceError

from handlers.logs import logger
from rental.adapters.records import from_record
from rental.api.errors import error_body, status_of
from rental.api.limits import MAX_BODY_BYTES, MAX_ID, MAX_IDEMPOTENCY_KEY, PAGE
from rental.domain.errors import (
    ForbiddenError,
    InvalidRequestError,
    MethodNotAllowedError,
    NotFoundError,
    RentalError,
    UnauthenticatedError,
)
from rental.domain.refusal import Why
from rental.ports import Principal
from rental.service.repeating import Repeatable

if TYPE_CHECKING:
    from pydantic import BaseModel

T = TypeVar("T")
B = TypeVar("B", bound="BaseModel")
Handler = Callable[[dict[str, Any], Any], dict[str, Any]]

MAX_ID_DIGITS = 16
PAGE_HEADERS = {
    "Cache-Control": "public, max-age=300",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
OUR_PATHS = ("/v1/", "/docs", "/ca")


def make_app(on_refusal: Callable[[RentalError], None] | None = None) -> APIGatewayHttpResolver:
    """A resolver that answers every refusal in our shape, and tells `on_refusal` of it."""
    app = APIGatewayHttpResolver()

    def refuse(error: RentalError) -> Response[str]:
        if on_refusal is not None:
            on_refusal(error)
        return answer(status_of(error), error_body(error.code, str(error), request_id(app)))

    def refuse_route(_error: ServiceError) -> Response[str]:
        methods = _methods_at(app.current_event.path)
        if not methods or app.current_event.http_method in methods:  # an id that the resolver cannot read
            return refuse(NotFoundError("There is no such route."))
        refusal = refuse(MethodNotAllowedError(f"This path takes {' and '.join(methods)} only."))
        refusal.headers["Allow"] = ", ".join(methods)
        return refusal

    def break_down(error: Exception) -> Response[str]:
        logger.error("request failed", exc_info=error)
        text = "Something went wrong on our side. Send the same request again."
        return answer(HTTPStatus.INTERNAL_SERVER_ERROR, error_body("internal", text, request_id(app)))

    app.exception_handler(RentalError)(refuse)
    app.exception_handler([NoRouteError, ServiceError])(refuse_route)
    app.exception_handler(Exception)(break_down)
    return app


def entry_point(app: APIGatewayHttpResolver) -> Handler:
    """The Lambda handler of an app."""

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        logger.append_keys(request_id=event["requestContext"]["requestId"])
        result: dict[str, Any] = app.resolve(event, context)
        logger.info("request", extra={"route": event.get("routeKey"), "status": result["statusCode"]})
        return result

    return handler


def _methods_at(path: str) -> tuple[str, ...]:
    """Loaded for paths that look like ours only: whoever tries others must not cost us all models."""
    if not path.startswith(OUR_PATHS):
        return ()
    from rental.api.operations import methods_at

    return methods_at(path)


def answer(status: HTTPStatus, body: Any) -> Response[str]:
    return Response(status, "application/json", json.dumps(body, separators=(",", ":")))


def request_id(app: APIGatewayHttpResolver) -> str:
    return str(app.current_event.request_context.request_id)


def source_address(app: APIGatewayHttpResolver) -> str:
    """Where the request comes from, as API Gateway saw it: no header says so."""
    return str(app.current_event.raw_event["requestContext"]["http"]["sourceIp"])


def caller(app: APIGatewayHttpResolver, *roles: str) -> Principal:
    """Who calls, as the authorizer found; raises UnauthenticatedError, or ForbiddenError for another role."""
    context = app.current_event.raw_event["requestContext"].get("authorizer", {}).get("lambda") or {}
    if not context.get("account"):
        raise UnauthenticatedError("Send a valid API key: Authorization: Bearer <key>.")
    principal = Principal(context["account"], context["role"])
    if principal.role not in (*roles, "admin"):
        raise ForbiddenError(f"This needs a key of role {' or '.join(roles)}; yours is of role {principal.role}.")
    return principal


def raw_body(app: APIGatewayHttpResolver) -> bytes:
    """The body as sent; raises InvalidRequestError when it is too large."""
    text = app.current_event.raw_event.get("body") or ""
    body = base64.b64decode(text) if app.current_event.raw_event.get("isBase64Encoded") else text.encode()
    if len(body) > MAX_BODY_BYTES:
        raise InvalidRequestError(f"The body has more than {MAX_BODY_BYTES} bytes.", why=Why.OVERSIZED)
    return body


def parse_body(app: APIGatewayHttpResolver, kind: type[B]) -> B:
    """The body as `kind`; raises InvalidRequestError that names the first field at fault."""
    from pydantic import ValidationError  # most requests have no body, and a cold start is long enough

    try:
        return kind.model_validate_json(raw_body(app) or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "body"
        raise InvalidRequestError(f"{field}: {first['msg'].removeprefix('Value error, ')}") from error


def parse_record(app: APIGatewayHttpResolver, kind: type[T]) -> T:
    """The body as the dataclass `kind`; fields that it does not know are let pass. Raises InvalidRequestError."""
    try:
        body = json.loads(raw_body(app), parse_float=_number)
        if not isinstance(body, dict):
            raise TypeError("an object is expected")
        return from_record(kind, body)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"body: {error}") from error


def _number(text: str) -> int | float:
    """JSON has one kind of number, in which 1.0 is 1."""
    number = float(text)
    return int(number) if number.is_integer() else number


def repeatable(app: APIGatewayHttpResolver) -> Repeatable | None:
    """The Idempotency-Key of this request, with all that it asks; raises InvalidRequestError."""
    headers: dict[str, Any] = app.current_event.headers
    key = headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY or not key.isascii() or not key.isprintable():
        raise InvalidRequestError(f"Idempotency-Key must have 1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters.")
    asked = f"{app.current_event.http_method} {app.current_event.path}\n".encode() + raw_body(app)
    return Repeatable(key, asked)


def path_id(app: APIGatewayHttpResolver, name: str) -> int:
    """An id in the path; what cannot be an id is not found."""
    text = (app.current_event.path_parameters or {}).get(name, "")
    if not text.isascii() or not text.isdigit() or len(text) > MAX_ID_DIGITS or not 0 < int(text) <= MAX_ID:
        raise NotFoundError("There is no such thing.")
    return int(text)


def query_number(app: APIGatewayHttpResolver, name: str, least: int, most: int) -> int | None:
    """A number in the query, from `least` to `most`; raises InvalidRequestError."""
    text = (app.current_event.query_string_parameters or {}).get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > MAX_ID_DIGITS or not least <= int(text) <= most:
        raise InvalidRequestError(f"{name} must be a number from {least} to {most}.")
    return int(text)


def paging(app: APIGatewayHttpResolver) -> tuple[str | None, int]:
    """`cursor` and `limit` of a list; raises InvalidRequestError."""
    query = app.current_event.query_string_parameters or {}
    text = query.get("limit", str(PAGE))
    if not text.isascii() or not text.isdigit() or len(text) > 2 or not 1 <= int(text) <= PAGE:
        raise InvalidRequestError(f"limit must be a number from 1 to {PAGE}.")
    return query.get("cursor"), int(text)
