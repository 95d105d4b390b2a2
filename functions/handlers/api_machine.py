"""/v1/host/*: what machines ask, signed with their machine key."""

import json
from dataclasses import asdict
from functools import cache
from http import HTTPStatus

from aws_lambda_powertools.event_handler import Response

from handlers.gateway import answer, entry_point, parse_body, parse_record
from handlers.machine_gateway import make_machine_app, signer
from rental.adapters import wiring
from rental.adapters.machine_tokens import make_machine_key, verify_new_key
from rental.adapters.records import from_record
from rental.adapters.settings import EventSettings, TunnelSettings, from_env
from rental.adapters.ssm import SsmNodes
from rental.adapters.system import SystemClock, SystemEntropy
from rental.api.machine_requests import CallRequest, FetchRequest, ManifestRequest, ReplyRequest, TunnelRequest
from rental.api.readiness import read_readiness
from rental.domain.calls import CallId
from rental.domain.errors import InvalidRequestError
from rental.domain.host import Inventory, MachineKey
from rental.domain.ids import ContractId, InstanceId
from rental.domain.tunnel import TunnelEnd
from rental.service.calls import Answering
from rental.service.machines import Machines
from rental.service.tunneling import Tunneling

app = make_machine_app()
handler = entry_point(app)


@cache
def machines() -> Machines:
    return Machines(wiring.store(), SsmNodes(wiring.lazy_client("ssm")), SystemClock())


@cache
def tunneling() -> Tunneling:
    return Tunneling(wiring.store(), SystemClock())


@cache
def answering() -> Answering:
    return Answering(wiring.call_store(), SystemClock(), SystemEntropy())


@app.post("/v1/host/register")
def register() -> Response[str]:
    from rental.api.machine_schemas import RegisterBody

    body = parse_body(app, RegisterBody)
    key = _machine_key(body.signing_key, body.sealing_key)
    told = body.inventory.model_dump()
    inventory, readiness = from_record(Inventory, told), read_readiness(told)
    host = machines().register(body.registration_token, key, inventory, readiness)
    bus = from_env(EventSettings).event_bus_name
    region = wiring.client("ssm").meta.region_name
    answered = {"v": 1, "host_id": host.id, "key_id": key.key_id, "event_bus_name": bus, "region": region}
    return answer(HTTPStatus.OK, answered)


@app.post("/v1/host/key")
def rotate_key() -> Response[str]:
    from rental.api.machine_schemas import RotateKeyBody

    host = signer(app)
    body = parse_body(app, RotateKeyBody)
    key = _machine_key(body.signing_key, body.sealing_key)
    signed_with = host.machine_key.key_id if host.machine_key is not None else ""
    if signed_with != key.key_id:
        verify_new_key(body.proof, host.id, key, signed_with)
    rotated = machines().rotate_key(host.id, key, signed_with)
    return answer(HTTPStatus.OK, {"v": 1, "host_id": rotated.id, "key_id": key.key_id})


@app.post("/v1/host/tunnel")
def open_tunnel() -> Response[str]:
    host_id = signer(app).id
    body = parse_record(app, TunnelRequest)
    tunneling().introduce(host_id, body.public_key)
    ends = [from_record(TunnelEnd, each) for each in json.loads(from_env(TunnelSettings).tunnel_ends)]
    return answer(HTTPStatus.OK, {"v": 1, "host_id": host_id, "proxies": [asdict(each) for each in ends]})


@app.post("/v1/host/fetch")
def fetch() -> Response[str]:
    host_id = signer(app).id
    body = parse_record(app, FetchRequest)
    order = (body.generation, body.token)
    fetched = machines().fetch(host_id, ContractId(body.contract_id), InstanceId(body.instance_id), order)
    secrets = {"key_id": fetched.sealed.key_id, "sealed": fetched.sealed.ciphertext}
    return answer(HTTPStatus.OK, {"v": 1, **secrets, "ssh_keys": list(fetched.ssh_keys)})


@app.post("/v1/host/call")
def show_call() -> Response[str]:
    host_id = signer(app).id
    call = answering().show_call(host_id, CallId(parse_record(app, CallRequest).call_id))
    told = {"contract_id": call.contract_id, "instance_id": call.instance_id, "kind": call.kind}
    sealed = {"key_id": call.sealed.key_id, "sealed": call.sealed.ciphertext, "reply_key": call.reply_key}
    return answer(HTTPStatus.OK, {"v": 1, "call_id": call.id, **told, **sealed})


@app.post("/v1/host/reply")
def reply() -> Response[str]:
    host_id = signer(app).id
    body = parse_record(app, ReplyRequest)
    answering().reply(host_id, CallId(body.call_id), body.sealed)
    return answer(HTTPStatus.OK, {"v": 1})


@app.post("/v1/host/manifest")
def manifest() -> Response[str]:
    host_id = signer(app).id
    parse_record(app, ManifestRequest)
    return answer(HTTPStatus.OK, {"v": 1, "host_id": host_id, **asdict(machines().manifest(host_id))})


def _machine_key(signing_key: str, sealing_key: str) -> MachineKey:
    try:
        return make_machine_key(signing_key, sealing_key)
    except ValueError as error:
        raise InvalidRequestError(f"signing_key, sealing_key: {error}") from error
