"""/v1/accounts and /v1/keys: who may come in; /v1/ssh-keys: whom new contracts let in."""

import re
from functools import cache
from http import HTTPStatus

from aws_lambda_powertools.event_handler import Response

from handlers.gateway import answer, caller, entry_point, make_app, paging, parse_body, repeatable
from rental.adapters import wiring
from rental.adapters.system import SystemClock, SystemEntropy
from rental.api.present import present_account, present_api_key, present_removed_ssh_key, present_ssh_key
from rental.domain.access import Role
from rental.domain.errors import NotFoundError
from rental.service.access import Access
from rental.service.ssh_keys import SshKeys

MAX_NAME_LENGTH = 64
KEY_ID = re.compile(r"[0-9a-f]{64}")

app = make_app()
handler = entry_point(app)


@cache
def access() -> Access:
    return Access(wiring.access_store(), SystemClock(), SystemEntropy())


@cache
def ssh_keys() -> SshKeys:
    return SshKeys(wiring.store(), SystemClock(), SystemEntropy())


@app.post("/v1/accounts")
def open_account() -> Response[str]:
    from rental.api.schemas import OpenAccount

    principal = caller(app, "admin")
    body = parse_body(app, OpenAccount)
    account = access().open_account(principal, body.name, body.label, repeatable(app))
    return answer(HTTPStatus.CREATED, present_account(account))


@app.get("/v1/accounts")
def list_accounts() -> Response[str]:
    caller(app, "admin")
    page = access().list_accounts(*paging(app))
    return answer(HTTPStatus.OK, {"items": [present_account(each) for each in page.items], "next": page.next})


@app.post("/v1/keys")
def issue_key() -> Response[str]:
    from rental.api.schemas import IssueKey

    principal = caller(app, "client", "host")
    body = parse_body(app, IssueKey)
    account, role = body.account or principal.account, Role(body.role or principal.role)
    issued = access().issue_key(principal, account, role, body.label, repeatable(app))
    return answer(HTTPStatus.CREATED, present_api_key(issued.key) | {"key": issued.secret})


@app.get("/v1/keys")
def list_keys() -> Response[str]:
    principal = caller(app, "client", "host")
    page = access().list_keys(principal, _named_account(), *paging(app))
    return answer(HTTPStatus.OK, {"items": [present_api_key(each) for each in page.items], "next": page.next})


@app.delete("/v1/keys/<key_id>")
def revoke_key(**_: str) -> Response[str]:
    return answer(HTTPStatus.OK, present_api_key(access().revoke_key(caller(app, "client", "host"), _key_id("key_id"))))


@app.post("/v1/ssh-keys")
def add_ssh_key() -> Response[str]:
    from rental.api.ssh_key_schemas import AddSshKey

    principal = caller(app, "client")
    body = parse_body(app, AddSshKey)
    added = ssh_keys().add_ssh_key(principal, body.name, body.public_key, repeatable(app))
    return answer(HTTPStatus.CREATED, present_ssh_key(added))


@app.get("/v1/ssh-keys")
def list_ssh_keys() -> Response[str]:
    page = ssh_keys().list_ssh_keys(caller(app, "client"), *paging(app))
    return answer(HTTPStatus.OK, {"items": [present_ssh_key(each) for each in page.items], "next": page.next})


@app.delete("/v1/ssh-keys/<ssh_key_id>")
def remove_ssh_key(**_: str) -> Response[str]:
    removed = ssh_keys().remove_ssh_key(caller(app, "client"), _key_id("ssh_key_id"))
    return answer(HTTPStatus.OK, present_removed_ssh_key(removed))


def _named_account() -> str | None:
    name = (app.current_event.query_string_parameters or {}).get("account")
    if name is not None and len(name) > MAX_NAME_LENGTH:
        raise NotFoundError("There is no such account.")
    return name


def _key_id(parameter: str) -> str:
    """The id in the path; what cannot be an id is not found."""
    text = (app.current_event.path_parameters or {}).get(parameter, "")
    if not KEY_ID.fullmatch(text):
        raise NotFoundError("There is no such key.")
    return text
