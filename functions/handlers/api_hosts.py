"""/v1/hosts: what host owners do with their machines."""

from functools import cache
from http import HTTPStatus

from aws_lambda_powertools.event_handler import Response

from handlers.gateway import answer, caller, entry_point, make_app, paging, parse_body, path_id, repeatable
from rental.adapters import wiring
from rental.adapters.settings import AddressSettings, HostSettings, from_env
from rental.adapters.ssm import SsmActivations
from rental.api.present import present_admission, present_host, present_host_view
from rental.domain.host import HostStatus
from rental.domain.ids import HostId
from rental.service.hosts import Hosts, ListingTerms
from rental.service.opening import Opening
from rental.service.repeating import Repeatable
from rental.service.retiring import Retiring

app = make_app()
handler = entry_point(app)


@cache
def hosts() -> Hosts:
    settings = from_env(HostSettings)
    activations = SsmActivations(wiring.lazy_client("ssm"), settings.host_role_name, settings.stage)
    return Hosts(wiring.ledger(), wiring.liveness(), activations, settings.cell, settings.allow_simulated_gpus)


def opening() -> Opening:
    """A loopback address is for trying the service out, as simulated GPUs are."""
    return Opening(wiring.ledger(), hosts().allow_simulated_gpus)


@app.post("/v1/hosts")
def add_host() -> Response[str]:
    from rental.api.schemas import AddHost

    principal = caller(app, "host")
    admission = hosts().add_host(principal, parse_body(app, AddHost).label, repeatable(app))
    # The API's own URL, not the one that this request came by: nobody but the deployment says where hosts turn to.
    api_url, region = from_env(AddressSettings).api_url, wiring.client("ssm").meta.region_name
    return answer(HTTPStatus.CREATED, present_admission(admission, api_url, region))


@app.get("/v1/hosts")
def list_hosts() -> Response[str]:
    page = hosts().list_hosts(caller(app, "host"), *paging(app))
    return answer(
        HTTPStatus.OK, {"items": [present_host(each.host, each.reason) for each in page.items], "next": page.next}
    )


@app.get("/v1/hosts/<host_id>")
def show_host(**_: str) -> Response[str]:
    principal = caller(app, "host")
    return answer(HTTPStatus.OK, present_host_view(hosts().show_host(_host_id(), principal)))


@app.put("/v1/hosts/<host_id>/listing")
def list_for_rent(**_: str) -> Response[str]:
    from rental.api.schemas import ListHost

    principal = caller(app, "host")
    terms = ListingTerms(**parse_body(app, ListHost).model_dump())
    hosts().list_for_rent(_host_id(), principal, terms)
    return answer(HTTPStatus.OK, present_host_view(hosts().show_host(_host_id(), principal)))


@app.delete("/v1/hosts/<host_id>/listing")
def unlist(**_: str) -> Response[str]:
    principal = caller(app, "host")
    hosts().unlist(_host_id(), principal)
    return answer(HTTPStatus.OK, present_host_view(hosts().show_host(_host_id(), principal)))


@app.put("/v1/hosts/<host_id>/direct")
def declare_direct(**_: str) -> Response[str]:
    from rental.api.direct_schemas import DeclareDirect

    principal = caller(app, "host")
    body = parse_body(app, DeclareDirect)
    opening().declare_direct(_host_id(), principal, body.address, body.first_port, body.last_port)
    return answer(HTTPStatus.OK, present_host_view(hosts().show_host(_host_id(), principal)))


@app.delete("/v1/hosts/<host_id>/direct")
def withdraw_direct(**_: str) -> Response[str]:
    principal = caller(app, "host")
    opening().withdraw_direct(_host_id(), principal)
    return answer(HTTPStatus.OK, present_host_view(hosts().show_host(_host_id(), principal)))


@app.post("/v1/hosts/<host_id>/lost")
def declare_lost(**_: str) -> Response[str]:
    return _retire(HostStatus.LOST, repeatable(app))


@app.post("/v1/hosts/<host_id>/revoke")
def revoke_machine(**_: str) -> Response[str]:
    return _retire(HostStatus.REVOKED, repeatable(app))


def _retire(status: HostStatus, request: Repeatable | None) -> Response[str]:
    from rental.api.schemas import RetireHost

    principal = caller(app, "host")
    parse_body(app, RetireHost)
    Retiring(wiring.ledger()).retire_host(_host_id(), principal, status, request)
    return answer(HTTPStatus.OK, present_host_view(hosts().show_host(_host_id(), principal)))


def _host_id() -> HostId:
    return HostId(path_id(app, "host_id"))
