"""/v1/contracts: rent, look, start, stop, reboot, extend, end, get in.

Whoever only looks needs neither the models of bodies nor the means to seal: they are loaded by the routes that do.
"""

from functools import cache
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response

from handlers.gateway import (
    answer,
    caller,
    entry_point,
    make_app,
    paging,
    parse_body,
    path_id,
    query_number,
    repeatable,
)
from rental.adapters import wiring
from rental.adapters.settings import TermsSettings, from_env
from rental.api.limits import MAX_ID
from rental.api.present import present_contract, present_timeline_entry
from rental.domain.contract import Contract, Launch
from rental.domain.ids import ContractId, InstanceId, OfferId
from rental.domain.renting import RentalRequest, RentalTerms
from rental.domain.ways_in import ContainerPort
from rental.service.contracts import Contracts
from rental.service.jupyter import Jupyter
from rental.service.renting import Renting

app = make_app()
handler = entry_point(app)


@cache
def renting() -> Renting:
    from rental.adapters.sealing import HpkeSealer

    settings = from_env(TermsSettings)
    terms = RentalTerms(settings.grace_s, settings.provision_timeout_s, wiring.proxy())
    return Renting(wiring.ledger(), HpkeSealer(), wiring.tokens(), wiring.workflows(), terms, settings.cell)


@cache
def contracts() -> Contracts:
    return Contracts(wiring.ledger(), wiring.workflows())


@app.post("/v1/contracts")
def open_contract() -> Response[str]:
    from rental.api.schemas import OpenContract, check_login

    principal = caller(app, "client")
    body = parse_body(app, OpenContract)
    check_login(body)
    ports = tuple(ContainerPort(each.container, each.protocol) for each in body.ports)
    request = RentalRequest(
        account=principal.account,
        offer_id=OfferId(body.offer_id),
        num_gpus=0,
        label=body.label,
        launch=Launch(
            image=body.image,
            mode=body.mode,
            ports=ports,
            jupyter_via=body.jupyter_via,
            env_keys=tuple(sorted(body.env)),
            stop_grace_s=body.stop_grace_s,
            init=body.init,
            pull=body.pull,
        ),
        disk_gib=body.disk_gib,
        duration_s=body.duration_s,
        instances=body.instances,
        ssh_keys=tuple(body.ssh_keys) if body.ssh_keys is not None else None,
    )
    secrets = body.model_dump(include={"env", "entrypoint", "args", "onstart", "login"})
    return _present(renting().open_contract(request, secrets, repeatable(app)), HTTPStatus.CREATED)


@app.get("/v1/contracts")
def list_contracts() -> Response[str]:
    page = contracts().list_contracts(caller(app, "client"), *paging(app))
    items = [_presented(each) for each in page.items]
    return answer(HTTPStatus.OK, {"items": items, "next": page.next})


@app.get("/v1/contracts/<contract_id>")
def show_contract(**_: str) -> Response[str]:
    return _present(contracts().show_contract(_contract_id(), caller(app, "client", "host")))


@app.delete("/v1/contracts/<contract_id>")
def end_contract(**_: str) -> Response[str]:
    return _present(contracts().end_contract(_contract_id(), caller(app, "client")))


@app.post("/v1/contracts/<contract_id>/start")
def start_contract(**_: str) -> Response[str]:
    principal = caller(app, "client")
    return _present(contracts().start_contract(_contract_id(), principal, _instance_id(), repeatable(app)))


@app.post("/v1/contracts/<contract_id>/stop")
def stop_contract(**_: str) -> Response[str]:
    principal = caller(app, "client")
    return _present(contracts().stop_contract(_contract_id(), principal, _instance_id(), repeatable(app)))


@app.post("/v1/contracts/<contract_id>/reboot")
def reboot_contract(**_: str) -> Response[str]:
    principal = caller(app, "client")
    return _present(contracts().reboot_contract(_contract_id(), principal, _instance_id(), repeatable(app)))


@app.post("/v1/contracts/<contract_id>/extend")
def extend_contract(**_: str) -> Response[str]:
    from rental.api.schemas import ExtendContract

    principal = caller(app, "host")
    body = parse_body(app, ExtendContract)
    return _present(contracts().extend_contract(_contract_id(), principal, body.end_at, repeatable(app)))


@app.put("/v1/contracts/<contract_id>/ssh-keys")
def replace_ssh_keys(**_: str) -> Response[str]:
    from rental.api.ssh_key_schemas import ReplaceSshKeys

    principal = caller(app, "client")
    body = parse_body(app, ReplaceSshKeys)
    return _present(contracts().replace_ssh_keys(_contract_id(), principal, body.ssh_keys))


@app.get("/v1/contracts/<contract_id>/events")
def list_timeline(**_: str) -> Response[str]:
    page = contracts().list_timeline(_contract_id(), caller(app, "client", "host"), *paging(app))
    return answer(HTTPStatus.OK, {"items": [present_timeline_entry(each) for each in page.items], "next": page.next})


@app.get("/v1/contracts/<contract_id>/jupyter")
def show_jupyter(**_: str) -> Response[str]:
    principal, contract_id = caller(app, "client"), _contract_id()
    chosen = query_number(app, "instance_id", 1, MAX_ID)
    jupyter = Jupyter(wiring.store(), wiring.tokens(), wiring.proxy())
    key = jupyter.show_key(contract_id, principal, InstanceId(chosen) if chosen is not None else None)
    return answer(HTTPStatus.OK, {"url": key.url, "via": key.via, "token": key.token})


def _contract_id() -> ContractId:
    return ContractId(path_id(app, "contract_id"))


def _instance_id() -> InstanceId | None:
    from rental.api.schemas import ChangeInstances

    chosen = parse_body(app, ChangeInstances).instance_id
    return InstanceId(chosen) if chosen is not None else None


def _present(contract: Contract, status: HTTPStatus = HTTPStatus.OK) -> Response[str]:
    return answer(status, _presented(contract))


def _presented(contract: Contract) -> dict[str, Any]:
    return present_contract(contract, wiring.ledger().clock.now(), wiring.proxy())
