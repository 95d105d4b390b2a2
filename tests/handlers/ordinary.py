"""One ordinary request or event of every entry point: what must be there first, and then the thing itself."""

import hashlib
import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import boto3
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from gpulease_host.machine_key import seal_reply
from handlers import api_certificates, api_install, authorizer, dispatch, on_heartbeat, on_instance_changed, step, sweep
from infra.host_package import build_host_package
from infra.routes import ROUTES
from rental.adapters import wiring
from rental.adapters.call_store import ItemCallStore
from rental.adapters.dynamodb.table import DynamoTable
from rental.adapters.system import SystemClock, new_commit_id
from rental.domain.access import ApiKey, Role
from rental.domain.calls import Call, CallId, CallKind
from rental.domain.contract import Sealed
from rental.domain.ids import ContractId, InstanceId
from rental.domain.key_ring import NamedKey
from rental.domain.tunnel import fingerprint_of
from rental.ports import Principal
from rental.service.tunneling import Tunneling
from tests.fakes.authority import make_csr
from tests.fakes.http import make_event
from tests.fakes.machine import Machine, base64url, tunnel_key_of
from tests.fakes.ssh import make_line
from tests.handlers.conftest import Site, reported
from tests.handlers.test_async import record, ring
from tests.handlers.test_machine_api import admit, register_body, rotation

FUNCTIONS = {f"{route.method} {route.path}": route.function for route in ROUTES}
ADMIN = Principal("admin", "admin")
GRACE_S = 172_800
RUNG = "before-parameter-build.sqs.SendMessage"
SAID: Mapping[CallKind, Any] = {
    CallKind.EXEC: {"exit_code": 0, "stdout": "", "stderr": "", "truncated": False},
    CallKind.LOGS: {"items": [], "next": None},
}

Details = Mapping[str, Any]
Ask = Callable[[], Any]


def running(site: Site) -> Details:
    """A contract whose container runs, as its client sees it."""
    contract_id = site.rented()
    on_instance_changed.handler(site.event([reported(contract_id)]), None)
    return {"caller": site.client, "contract_id": contract_id}


def with_jupyter(site: Site) -> Details:
    return {"caller": site.client, "contract_id": site.rented(mode="jupyter", args=None)}


def opening(site: Site) -> Details:
    body = {"address": "203.0.113.5", "first_port": 20_000, "last_port": 20_999}
    return {"caller": site.owner, "host_id": site.host_id, "body": body}


def stopped(site: Site) -> Details:
    details = running(site)
    contract_id = details["contract_id"]
    site.on_contract("POST", contract_id, "/stop")
    on_instance_changed.handler(site.event([reported(contract_id, "stopped", generation=2, token=None)]), None)
    return details


def to_extend(site: Site) -> Details:
    return {**running(site), "caller": site.owner, "body": {"end_at": site.now + 86_400}}


def listing(site: Site) -> Details:
    body = {"gpu_price_microusd_h": 3_000_000, "end_at": site.now + 7200}
    return {"caller": site.owner, "host_id": site.host_id, "body": body}


def issued_key(site: Site) -> Details:
    key = ApiKey(hashlib.sha256(b"key").hexdigest(), site.client.account, Role.CLIENT, "", site.now)
    wiring.access_store().create_key(key, None)
    return {"caller": site.client, "key_id": key.id}


def kept_ssh_key(site: Site, number: int = 1) -> Details:
    """A key of the client's account."""
    key = NamedKey("laptop", make_line(number, "me@laptop"), site.now)
    ring = wiring.store().read_key_ring(site.client.account)
    wiring.store().put_key_ring(ring.with_key(key))
    return {"caller": site.client, "ssh_key_id": key.id}


def open_to_ssh(contract_id: int) -> None:
    """Make it a contract that lets a key in, whatever its host can do for that."""
    contract = wiring.store().read_contract(ContractId(contract_id))
    assert contract is not None
    before = wiring.ledger().open_book(contract.host_id, [contract.id])
    launch = replace(contract.launch, mode="ssh", ssh_keys=(make_line(1, "me@laptop"),))
    wiring.store().commit(before, before.with_contract(replace(contract, launch=launch)))


def to_let_in(site: Site) -> Details:
    details = running(site)
    open_to_ssh(details["contract_id"])
    return {**details, "body": {"ssh_keys": [make_line(2)]}}


def to_register(site: Site) -> Details:
    _, token = admit(site.owner)
    return {"body": register_body(site.machine, token)}


def to_install(_: Site) -> Details:
    """In a fresh function: the package is kept."""
    client = boto3.client("s3")
    client.create_bucket(Bucket="assets")
    client.put_object(Bucket="assets", Key="package.whl", Body=build_host_package().body)
    api_install.package.cache_clear()
    return {}


def to_lose(site: Site) -> Details:
    """A host that has fallen silent."""
    before = wiring.ledger().open_book(site.host_id)
    wiring.store().commit(before, before.with_manifest(replace(before.manifest, offline_since=site.now - 300)))
    return {"caller": site.owner, "host_id": site.host_id}


def to_rotate(site: Site) -> Details:
    return {"body": rotation(site.machine, Machine(site.host_id)), "signer": site}


def to_fetch(site: Site) -> Details:
    contract_id = site.rented()
    body = {"v": 1, "contract_id": contract_id, "instance_id": contract_id, "generation": 1, "token": 1}
    return {"body": body, "signer": site}


def certificate_body(contract_id: int, csr: str | None = None) -> dict[str, Any]:
    names = {"contract_id": contract_id, "instance_id": contract_id, "generation": 1}
    return {"v": 1, **names, "csr": csr or make_csr()}


def to_trust(_: Site) -> Details:
    """In a fresh function, of an authority that has its certificate: it is kept."""
    api_certificates.certificates.cache_clear()
    api_certificates.certificates().authority.certificate()
    api_certificates.certificates.cache_clear()
    return {}


def to_certify(site: Site) -> Details:
    to_trust(site)
    contract_id = site.rented(mode="jupyter", args=None)
    return {"body": certificate_body(contract_id), "signer": site}


def to_tunnel(site: Site) -> Details:
    return {"body": {"v": 1, "public_key": tunnel_key_of(site.number)}, "signer": site}


def to_lead(site: Site) -> Details:
    """As one of the proxies, which a host has just reached."""
    running(site)
    key = tunnel_key_of(site.number)
    Tunneling(wiring.store(), SystemClock()).introduce(site.host_id, key)
    return {"caller": Principal("proxy", "proxy"), "fingerprint": fingerprint_of(key)}


def to_resume(site: Site) -> Details:
    site.rented()
    return {"body": {"v": 1}, "signer": site}


def let_host_reply() -> None:
    """From now on whatever a host is rung for is replied to at that very moment, over a connection of its own."""

    def reply(params: Mapping[str, Any], **_: Any) -> None:
        call_id = json.loads(params["MessageBody"])["call_id"]
        if call_id is not None:
            calls = ItemCallStore(DynamoTable(boto3.client("dynamodb"), "table"), new_commit_id)
            call = calls.read_call(call_id)
            assert call is not None
            calls.put_reply(call, seal_reply(call.reply_key, call_id, json.dumps(SAID[call.kind]).encode()))

    events = wiring.client("sqs").meta.events
    events.unregister(RUNG, unique_id="host")
    events.register(RUNG, reply, unique_id="host")


def to_ask(site: Site) -> Details:
    let_host_reply()
    return running(site)


def call_of(contract_id: int) -> CallId:
    return CallId(f"{contract_id:043d}")


def called(site: Site, contract_id: int) -> str:
    """The name of a call that a client waits for."""
    sealed = Sealed(site.machine.key.key_id, "x")
    reply_key = base64url(X25519PrivateKey.generate().public_key().public_bytes_raw())
    names = (ContractId(contract_id), InstanceId(contract_id), CallKind.LOGS)
    call = Call(call_of(contract_id), site.host_id, *names, sealed, reply_key, site.now + 60)
    wiring.call_store().create_call(call, None)
    return call.id


def to_answer(site: Site) -> Details:
    return {"body": {"v": 1, "call_id": called(site, site.rented())}, "signer": site}


def to_reply(site: Site) -> Details:
    return {"body": {"v": 1, "call_id": called(site, site.rented()), "sealed": "x"}, "signer": site}


REQUESTS: Mapping[str, Callable[[Site], Details]] = {
    "GET /v1/health": lambda _: {},
    "GET /v1/openapi.json": lambda _: {},
    "GET /docs": lambda _: {},
    "GET /v1/ca.crt": to_trust,
    "GET /ca": to_trust,
    "GET /v1/offers": lambda site: {"caller": site.client},
    "GET /v1/offers/{offer_id}": lambda site: {"caller": site.client, "offer_id": site.wish()["offer_id"]},
    "POST /v1/contracts": lambda site: {"caller": site.client, "body": site.wish()},
    "GET /v1/contracts": lambda site: {"caller": site.client},
    "GET /v1/contracts/{contract_id}": running,
    "DELETE /v1/contracts/{contract_id}": running,
    "POST /v1/contracts/{contract_id}/start": stopped,
    "POST /v1/contracts/{contract_id}/stop": running,
    "POST /v1/contracts/{contract_id}/reboot": running,
    "POST /v1/contracts/{contract_id}/extend": to_extend,
    "PUT /v1/contracts/{contract_id}/ssh-keys": to_let_in,
    "GET /v1/contracts/{contract_id}/events": running,
    "GET /v1/contracts/{contract_id}/jupyter": with_jupyter,
    "GET /v1/contracts/{contract_id}/logs": to_ask,
    "POST /v1/contracts/{contract_id}/exec": lambda site: {**to_ask(site), "body": {"command": ["true"]}},
    "POST /v1/hosts": lambda site: {"caller": site.owner, "body": {"label": "rack 1"}},
    "GET /v1/hosts": lambda site: {"caller": site.owner},
    "GET /v1/hosts/{host_id}": lambda site: {"caller": site.owner, "host_id": site.host_id},
    "PUT /v1/hosts/{host_id}/listing": listing,
    "DELETE /v1/hosts/{host_id}/listing": lambda site: {"caller": site.owner, "host_id": site.host_id},
    "PUT /v1/hosts/{host_id}/direct": opening,
    "DELETE /v1/hosts/{host_id}/direct": lambda site: {"caller": site.owner, "host_id": site.host_id},
    "POST /v1/hosts/{host_id}/lost": to_lose,
    "POST /v1/hosts/{host_id}/revoke": lambda site: {"caller": site.owner, "host_id": site.host_id},
    "POST /v1/accounts": lambda _: {"caller": ADMIN, "body": {"name": "new"}},
    "GET /v1/accounts": lambda _: {"caller": ADMIN},
    "POST /v1/keys": lambda site: {"caller": site.client},
    "GET /v1/keys": lambda site: {"caller": site.client},
    "DELETE /v1/keys/{key_id}": issued_key,
    "POST /v1/ssh-keys": lambda site: {
        "caller": site.client,
        "body": {"name": "laptop", "public_key": make_line(1)},
    },
    "GET /v1/ssh-keys": lambda site: {"caller": site.client},
    "DELETE /v1/ssh-keys/{ssh_key_id}": kept_ssh_key,
    "GET /v1/proxy/hosts/{fingerprint}": to_lead,
    "GET /v1/host/install.sh": to_install,
    "GET /v1/host/package": to_install,
    "POST /v1/host/register": to_register,
    "POST /v1/host/key": to_rotate,
    "POST /v1/host/tunnel": to_tunnel,
    "POST /v1/host/fetch": to_fetch,
    "POST /v1/host/manifest": to_resume,
    "POST /v1/host/certificates": to_certify,
    "POST /v1/host/call": to_answer,
    "POST /v1/host/reply": to_reply,
}


def ask(route: str, site: Site) -> Ask:
    """The request of a route, ready to be sent; it fails for an answer that is a refusal."""
    details = dict(REQUESTS[route](site))
    method, template = route.split()
    names = [name for name in details if f"{{{name}}}" in template]
    parameters = {name: str(details.pop(name)) for name in names}
    path, body = template.format(**parameters), details.pop("body", None)
    headers = {"idempotency-key": "once"} if method == "POST" else {}
    if "signer" in details:
        token = details.pop("signer").machine.sign_request(path, json.dumps(body).encode(), site.now)
        headers = {"authorization": f"Machine {token}"}
    event = make_event(method, path, body, headers=headers, **details) | {"pathParameters": parameters}
    return partial(_answer, importlib.import_module(f"handlers.{FUNCTIONS[route]}").handler, event)


def _answer(handler: Callable[[Any, Any], Any], event: Any) -> None:
    answer = handler(event, None)
    assert answer["statusCode"] < 300, answer["body"]


def authorized(site: Site) -> Ask:
    issued_key(site)
    event = {"headers": {"authorization": "Bearer key"}, "requestContext": {"requestId": "request-1"}}
    return partial(authorizer.handler, event, None)


def step_event(name: str, contract_id: int) -> dict[str, Any]:
    return {"v": 1, "contract_id": contract_id, "run": 1, "step": name, "task_token": "token"}


def stepped(name: str, prepare: Callable[[Site], Details] = running) -> Callable[[Site], Ask]:
    """A step of the contract that `prepare` makes."""
    return lambda site: partial(step.handler, step_event(name, prepare(site)["contract_id"]), None)


def pending(site: Site) -> Details:
    return {"contract_id": site.rented()}


def ended(site: Site, ago_s: int = 1) -> Details:
    """A contract whose end has just passed."""
    details = running(site)
    _end(ContractId(details["contract_id"]), site.now - ago_s)
    return details


def past_grace(site: Site) -> Details:
    """A contract that is expired, stopped, and may be deleted."""
    details = ended(site)
    contract_id = ContractId(details["contract_id"])
    step.handler(step_event("expire", contract_id), None)
    on_instance_changed.handler(site.event([reported(contract_id, "stopped", generation=2, token=None)]), None)
    _end(contract_id, site.now - GRACE_S - 1)
    return details


def _end(contract_id: ContractId, end_at: int) -> None:
    contract = wiring.store().read_contract(contract_id)
    assert contract is not None
    before = wiring.ledger().open_book(contract.host_id, [contract_id])
    wiring.store().commit(before, before.with_contract(replace(contract, end_at=end_at)))


def awaited(site: Site) -> dict[str, Any]:
    """The report that a container runs, which its contract's execution waits for."""
    contract_id = site.rented()
    step.handler(step_event("provision", contract_id), None)
    return site.event([reported(contract_id)])


EVENTS: Mapping[str, Callable[[Site], Ask]] = {
    "authorizer": authorized,
    "step route": stepped("route"),
    "step provision": stepped("provision", pending),
    "step abandon": stepped("abandon", pending),
    "step expire": stepped("expire", ended),
    "step delete": stepped("delete", past_grace),
    "dispatch": lambda site: partial(dispatch.handler, {"Records": ring(site, site.rented())}, None),
    "on_instance_changed": lambda site: partial(on_instance_changed.handler, awaited(site), None),
    "on_heartbeat": lambda site: partial(on_heartbeat.handler, {"Records": [record("1", site.event([]))]}, None),
    "sweep": lambda _: partial(sweep.handler, {}, None),
}
