"""Certificates over HTTP: for whom and for which address, and the authority that everybody may trust."""

from __future__ import annotations

import json
import logging
import re
import ssl
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from handlers import api_certificates, refusals
from rental.domain.refusal import Why
from tests.fakes.authority import make_csr, make_key, shake_hands
from tests.fakes.http import Answer, call, make_event
from tests.handlers.conftest import API_URL, Site
from tests.handlers.ordinary import certificate_body
from tests.handlers.scene import everything_kept
from tests.handlers.test_machine_api import validate

PATH = "/v1/host/certificates"


@pytest.fixture(autouse=True)
def fresh(site: Site) -> None:
    """Each test has a table of its own, and so an authority of its own."""
    api_certificates.certificates.cache_clear()


@pytest.fixture
def notebook(site: Site) -> int:
    """A contract of mode jupyter."""
    return site.rented(mode="jupyter", args=None)


def issue(site: Site, body: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
    text = json.dumps(body)
    token = site.machine.sign_request(PATH, text.encode(), site.now)
    sent = {"authorization": f"Machine {token}", **(headers or {})}
    return call(api_certificates.handler, "POST", PATH, text, headers=sent)


def get(path: str) -> Any:
    result = api_certificates.handler(make_event("GET", path), object())
    assert result["statusCode"] == 200, result
    return result


def test_a_host_gets_a_certificate_that_whoever_trusts_the_authority_believes(site: Site, notebook: int) -> None:
    key = make_key()
    body = certificate_body(notebook, make_csr(key))
    validate("certificate.v1.json", {"request": body})
    answer = issue(site, body)
    assert answer.status == 200, answer.text
    validate("certificate.v1.json", {"response": answer.body})
    trusted = get("/v1/ca.crt")["body"]
    for name in ("127.0.0.1", f"j-{notebook}.localhost"):
        shake_hands(answer.body["certificate"], key, trusted, name)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(answer.body["certificate"], key, trusted, "evil.example.com")


def test_the_address_is_the_one_that_api_gateway_saw_whatever_headers_say(site: Site, notebook: int) -> None:
    spoofed = {"x-forwarded-for": "8.8.8.8", "forwarded": "for=8.8.8.8"}
    answer = issue(site, certificate_body(notebook), spoofed)
    leaf = x509.load_pem_x509_certificates(answer.body["certificate"].encode())[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("changes", "status", "why"),
    [
        ({"csr": "x"}, 400, Why.MALFORMED),
        ({"csr": "x" * 5000}, 400, Why.MALFORMED),
        ({"csr": 5}, 400, Why.MALFORMED),
        ({"generation": 2}, 409, Why.NOT_CURRENT),
        ({"instance_id": 1}, 409, Why.NOT_CURRENT),
        ({"contract_id": 1}, 409, Why.FOREIGN),
    ],
)
def test_what_is_refused_is_counted_and_changes_nothing(
    site: Site, notebook: int, lines: list[logging.LogRecord], changes: dict[str, Any], status: int, why: Why
) -> None:
    before = everything_kept()
    assert issue(site, certificate_body(notebook) | changes).status == status
    (line,) = [each for each in lines if each.getMessage() == refusals.LINE]
    assert (line.__dict__["why"], line.__dict__["host_id"], line.__dict__["path"]) == (why, site.host_id, PATH)
    assert everything_kept() == before


def test_an_instance_of_another_mode_gets_none(site: Site) -> None:
    answer = issue(site, certificate_body(site.rented()))
    assert (answer.status, answer.code) == (409, "not_current")


def test_a_line_says_for_what_a_certificate_was_issued(
    site: Site, notebook: int, lines: list[logging.LogRecord]
) -> None:
    issue(site, certificate_body(notebook))
    (line,) = [each for each in lines if each.getMessage() == "certificate issued"]
    assert (line.__dict__["host_id"], line.__dict__["instance_id"]) == (site.host_id, notebook)


def test_the_authoritys_certificate_is_the_same_for_every_process(site: Site) -> None:
    first = get("/v1/ca.crt")
    assert first["headers"]["Content-Type"] == "application/x-x509-ca-cert"
    api_certificates.certificates.cache_clear()
    assert get("/v1/ca.crt")["body"] == first["body"]
    (own,) = x509.load_pem_x509_certificates(first["body"].encode())
    own.verify_directly_issued_by(own)


def test_the_page_shows_the_fingerprint_that_openssl_shows_and_where_to_get_it(site: Site) -> None:
    page = get("/ca")
    assert page["headers"]["Content-Type"] == "text/html; charset=utf-8"
    assert page["headers"]["Content-Security-Policy"].startswith("default-src 'none';")
    (own,) = x509.load_pem_x509_certificates(get("/v1/ca.crt")["body"].encode())
    shown = re.search(r'id="fingerprint">([0-9A-F:]+)<', page["body"])
    assert shown is not None
    assert bytes.fromhex(shown.group(1).replace(":", "")) == own.fingerprint(hashes.SHA256())
    assert f"curl -fsS {API_URL}/v1/ca.crt" in page["body"]
