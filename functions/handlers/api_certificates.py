"""The certificate authority: certificates of instances, for machines, and its own, for everybody."""

from functools import cache
from http import HTTPStatus

from aws_lambda_powertools.event_handler import Response

from handlers.gateway import PAGE_HEADERS, answer, entry_point, parse_record, source_address
from handlers.logs import logger
from handlers.machine_gateway import make_machine_app, signer
from rental.adapters import wiring
from rental.adapters.authority import X509Authority
from rental.adapters.kms_signing import KmsSigningKey
from rental.adapters.settings import AddressSettings, AuthoritySettings, from_env
from rental.adapters.system import SystemClock
from rental.api.machine_requests import CertificateRequest
from rental.domain.ids import ContractId, InstanceId
from rental.service.certificates import Certificates

app = make_machine_app()
handler = entry_point(app)

FILE_HEADERS = {
    "Cache-Control": "public, max-age=300",
    "Content-Disposition": 'attachment; filename="gpulease-ca.crt"',
    "X-Content-Type-Options": "nosniff",
}


@cache
def certificates() -> Certificates:
    settings, clock = from_env(AuthoritySettings), SystemClock()
    key = KmsSigningKey(wiring.lazy_client("kms"), settings.authority_key_id)
    authority = X509Authority(key, settings.authority_key_id, settings.zone, wiring.authority_store(), clock)
    return Certificates(wiring.store(), authority, clock, settings.zone)


@app.post("/v1/host/certificates")
def issue_certificate() -> Response[str]:
    host = signer(app)
    body = parse_record(app, CertificateRequest)
    names = (ContractId(body.contract_id), InstanceId(body.instance_id), body.generation)
    issued = certificates().issue(host.id, names, body.csr, source_address(app))
    logger.info("certificate issued", extra={"host_id": host.id, "instance_id": body.instance_id})
    return answer(HTTPStatus.OK, {"v": 1, "certificate": issued.certificate, "not_after": issued.not_after})


@app.get("/v1/ca.crt")
def show_authority() -> Response[str]:
    text = certificates().authority.certificate()
    return Response(HTTPStatus.OK, "application/x-x509-ca-cert", text, headers={**FILE_HEADERS})


@app.get("/ca")
def show_authority_page() -> Response[str]:
    from rental.api.authority_page import render_authority_page

    zone, api_url = certificates().zone, from_env(AddressSettings).api_url
    page = render_authority_page(certificates().authority.certificate(), api_url, zone)
    return Response(HTTPStatus.OK, "text/html; charset=utf-8", page, headers={**PAGE_HEADERS})
