"""/v1/contracts/{id}/logs and /exec: what a host does while the client waits."""

import re
from dataclasses import asdict
from functools import cache
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response

from handlers.gateway import answer, caller, entry_point, make_app, parse_body, path_id, query_number, repeatable
from rental.adapters import wiring
from rental.adapters.records import from_record
from rental.adapters.system import SystemClock, SystemEntropy
from rental.api.limits import LOG_CURSOR, LOG_LINES, MAX_ID, MAX_TIME
from rental.domain.calls import CommandResult, LogPage
from rental.domain.errors import CallFailedError, InvalidRequestError
from rental.domain.ids import ContractId, InstanceId
from rental.service.calls import Calls

PATIENCE_S = 7.0
"""Beside what a command may take, below what the function may."""

app = make_app()
handler = entry_point(app)


@cache
def calls() -> Calls:
    from rental.adapters.sealing import HpkeEnvelopes, HpkeSealer

    return Calls(
        wiring.store(),
        wiring.call_store(),
        wiring.bells(),
        HpkeSealer(),
        HpkeEnvelopes(),
        SystemClock(),
        SystemEntropy(),
        PATIENCE_S,
    )


@app.get("/v1/contracts/<contract_id>/logs")
def read_logs(**_: str) -> Response[str]:
    principal, instance_id = caller(app, "client"), query_number(app, "instance_id", 1, MAX_ID)
    asked = {
        "tail": query_number(app, "tail", 1, LOG_LINES) or 100,
        "since": query_number(app, "since", 0, MAX_TIME),
        "cursor": _cursor(),
    }
    instance = InstanceId(instance_id) if instance_id is not None else None
    return _answer(LogPage, calls().read_logs(_contract_id(), principal, instance, asked))


@app.post("/v1/contracts/<contract_id>/exec")
def run_command(**_: str) -> Response[str]:
    from rental.api.schemas import RunCommand

    principal = caller(app, "client")
    body = parse_body(app, RunCommand)
    instance = InstanceId(body.instance_id) if body.instance_id is not None else None
    asked = body.model_dump(include={"command", "timeout_s"})
    return _answer(CommandResult, calls().run_command(_contract_id(), principal, instance, asked, repeatable(app)))


def _answer(kind: type[CommandResult] | type[LogPage], said: dict[str, Any]) -> Response[str]:
    """What the host says, if it has the shape that clients are promised."""
    try:
        return answer(HTTPStatus.OK, asdict(from_record(kind, said)))
    except (TypeError, ValueError) as error:
        raise CallFailedError("The host's reply cannot be read.") from error


def _contract_id() -> ContractId:
    return ContractId(path_id(app, "contract_id"))


def _cursor() -> str | None:
    cursor: str | None = (app.current_event.query_string_parameters or {}).get("cursor")
    if cursor is not None and not re.fullmatch(LOG_CURSOR, cursor):
        raise InvalidRequestError("The cursor is not one of ours. Start again without it.")
    return cursor
