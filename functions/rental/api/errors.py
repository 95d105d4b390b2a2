"""The one table from error to HTTP status, the one shape of an error, and what each code means."""

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from rental.domain import errors
from rental.domain.errors import (
    ConflictError,
    ForbiddenError,
    IdempotencyMismatchError,
    InvalidRequestError,
    MethodNotAllowedError,
    NotFoundError,
    RentalError,
    UnauthenticatedError,
)

STATUS: dict[type[RentalError], HTTPStatus] = {
    InvalidRequestError: HTTPStatus.BAD_REQUEST,
    UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    NotFoundError: HTTPStatus.NOT_FOUND,
    MethodNotAllowedError: HTTPStatus.METHOD_NOT_ALLOWED,
    ConflictError: HTTPStatus.CONFLICT,
    IdempotencyMismatchError: HTTPStatus.UNPROCESSABLE_ENTITY,
}

FAULT = "a fault of ours; the same request may be sent again"
DRAWN = re.compile(r"(\w+Error) +\w+ {2,}(.+)")
"""A line of the drawing of all errors: the error, its code, its meaning."""


def status_of(error: RentalError) -> HTTPStatus:
    """The status of the error or of its nearest relative; 500 for what is a fault of ours."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def error_body(code: str, message: str, request_id: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "request_id": request_id}}


def every_error(kind: type[RentalError] = RentalError) -> Iterator[type[RentalError]]:
    """The tree of errors from `kind` down, in the order of its drawing."""
    yield kind
    for each in kind.__subclasses__():
        yield from every_error(each)


def meaning_of(kind: type[RentalError]) -> str:
    """What the code of this error means, in the words of the drawing."""
    if kind.code == RentalError.code:
        return FAULT
    meanings: dict[str, str] = dict(DRAWN.findall(errors.__doc__ or ""))
    return meanings[kind.__name__]
