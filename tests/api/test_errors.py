"""One table from error to status, over every error there is."""

from http import HTTPStatus

import pytest

from rental.api.errors import error_body, every_error, meaning_of, status_of
from rental.domain import errors
from rental.domain.errors import RentalError

KINDS = sorted(set(every_error()), key=lambda kind: kind.__name__)
STATUS = {
    "InvalidRequestError": 400,
    "DurationTooLongError": 400,
    "UnauthenticatedError": 401,
    "ForbiddenError": 403,
    "NotFoundError": 404,
    "MethodNotAllowedError": 405,
    "ConflictError": 409,
    "OfferTakenError": 409,
    "ContractExpiredError": 409,
    "ContractOverError": 409,
    "NotCurrentError": 409,
    "HostFullError": 409,
    "HostNotReadyError": 409,
    "NoPortsFreeError": 409,
    "NotReachableError": 409,
    "ModeNotServedError": 409,
    "CallFailedError": 409,
    "NoAnswerError": 409,
    "HostHeardError": 409,
    "HostOfflineError": 409,
    "HostRetiredError": 409,
    "AlreadyDoneError": 409,
    "BusyError": 409,
    "IdempotencyMismatchError": 422,
    "RentalError": 500,
    "TransitionError": 500,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_its_status(kind: type[RentalError]) -> None:
    assert status_of(kind("why")) == HTTPStatus(STATUS[kind.__name__])


def test_every_error_stands_in_the_drawing_with_its_code() -> None:
    drawn = {tuple(line.replace("│", " ").replace("├──", " ").replace("└──", " ").split()[:2]) for line in lines()}
    assert {(kind.__name__, kind.code) for kind in KINDS if kind is not RentalError} <= drawn


def lines() -> list[str]:
    return [line for line in (errors.__doc__ or "").splitlines() if "Error" in line]


def test_every_error_means_what_the_drawing_says() -> None:
    assert meaning_of(errors.OfferTakenError) == "the offer's GPUs or disk are gone"
    assert all(meaning_of(kind) for kind in KINDS)


def test_codes_are_stable_and_name_one_error_each() -> None:
    codes = [kind.code for kind in KINDS if kind.code != "internal"]
    assert len(codes) == len(set(codes))


def test_an_error_has_one_shape() -> None:
    assert error_body("busy", "Wait.", "r") == {"error": {"code": "busy", "message": "Wait.", "request_id": "r"}}
