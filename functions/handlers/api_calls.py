"""/v1/contracts/{id}/logs and /exec: what a host does while the client waits."""

from functools import cache
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response

from handlers.gateway import answer, caller, entry_point, make_app, parse_body, path_id, query_number, repeatable
from rental.adapters import wiring
from rental.adapters.system import SystemClock, SystemEntropy
from rental.api.limits import LOG_LINES, MAX_ID
from rental.domain.errors import InvalidRequestError
from rental.domain.ids import ContractId, InstanceId
from rental.service.calls import Calls

PATIENCE_S = 7.0
"""Beside what a command may take, below what the function may."""
CURSOR_LENGTH = 40

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
    principal, instance_id = caller(app, "client"), query_number(app, "instance_id", MAX_ID)
    asked = {
        "tail": query_number(app, "tail", LOG_LINES) or 100,
        "since": query_number(app, "since", 1 << 33),
        "cursor": _cursor(),
    }
    instance = InstanceId(instance_id) if instance_id is not None else None
    read: dict[str, Any] = calls().read_logs(_contract_id(), principal, instance, asked)
    return answer(HTTPStatus.OK, {"items": read["items"], "next": read["next"]})


@app.post("/v1/contracts/<contract_id>/exec")
def run_command(**_: str) -> Response[str]:
    from rental.api.schemas import RunCommand

    principal = caller(app, "client")
    body = parse_body(app, RunCommand)
    instance = InstanceId(body.instance_id) if body.instance_id is not None else None
    asked = body.model_dump(include={"command", "timeout_s"})
    ran = calls().run_command(_contract_id(), principal, instance, asked, repeatable(app))
    return answer(HTTPStatus.OK, {name: ran[name] for name in ("exit_code", "stdout", "stderr", "truncated")})


def _contract_id() -> ContractId:
    return ContractId(path_id(app, "contract_id"))


def _cursor() -> str | None:
    cursor: str | None = (app.current_event.query_string_parameters or {}).get("cursor")
    if cursor is not None and (len(cursor) > CURSOR_LENGTH or not cursor.replace(".", "", 1).isdecimal()):
        raise InvalidRequestError("The cursor is not one of ours. Start again without it.")
    return cursor
