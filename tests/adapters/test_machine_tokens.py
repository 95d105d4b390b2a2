"""What a machine signs holds for that machine, that request and that moment only."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jwt
import pytest

from rental.adapters.machine_tokens import claimed_host_id, make_machine_key, verify_report, verify_request
from rental.domain.errors import UnauthenticatedError
from rental.domain.host import Host, HostStatus
from rental.domain.ids import HostId
from tests.fakes.builders import HOST
from tests.fakes.machine import Machine, base64url
from tests.fakes.ports import NOW

PATH = "/v1/host/fetch"
BODY = b'{"v":1}'
MACHINE = Machine(HOST)
STRANGER = Machine(HOST)


def host(machine: Machine | None = MACHINE) -> Host:
    key = machine.key if machine is not None else None
    return Host(HostId(HOST), "owner", "", HostStatus.ACTIVE, NOW, "0" * 64, NOW, "a", machine_key=key)


def verify(token: str, now: int = NOW, path: str = PATH, body: bytes = BODY) -> None:
    verify_request(token, host(), path, body, now)


def test_a_request_that_the_machine_signed_is_taken() -> None:
    token = MACHINE.sign_request(PATH, BODY, NOW)
    assert claimed_host_id(token) == HOST
    verify(token)


def test_nothing_that_a_quarantined_host_signs_is_taken() -> None:
    quarantined = replace(host(), status=HostStatus.QUARANTINED)
    with pytest.raises(UnauthenticatedError, match="quarantined"):
        verify_request(MACHINE.sign_request(PATH, BODY, NOW), quarantined, PATH, BODY, NOW)
    with pytest.raises(UnauthenticatedError, match="quarantined"):
        verify_report(MACHINE.sign_report({}, 1, NOW)["jws"], quarantined, NOW)


def hmac_with_the_public_key(claims: dict[str, Any]) -> str:
    """Algorithm confusion: the public key taken for a shared secret."""
    return jwt.encode(claims, MACHINE.signing_public, algorithm="HS256", headers={"kid": MACHINE.key.key_id})


def unsigned(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, "", algorithm="none", headers={"kid": MACHINE.key.key_id})


def with_another_payload(claims: dict[str, Any]) -> str:
    header, _, signature = MACHINE.sign(claims).split(".")
    return f"{header}.{base64url(json.dumps(claims | {'forged': 1}).encode())}.{signature}"


FORGERIES: list[Callable[[dict[str, Any]], str]] = [
    hmac_with_the_public_key,
    unsigned,
    with_another_payload,
    lambda claims: STRANGER.sign(claims),
    lambda claims: STRANGER.sign(claims, kid=MACHINE.key.key_id),
    lambda claims: MACHINE.sign(claims, kid=STRANGER.key.key_id),
    lambda claims: MACHINE.sign(claims)[:-4],
    lambda claims: MACHINE.sign(claims).rpartition(".")[0] + ".",
    lambda _: "",
    lambda _: "a.b.c",
    lambda _: "\u00fc.\u00fc.\u00fc",
    lambda _: MACHINE.sign_raw(b"[" * 5000),
    lambda _: MACHINE.sign_raw(b"[1]"),
    lambda _: MACHINE.sign_raw(b"\xff"),
]


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_forged_token_is_refused(forge: Callable[[dict[str, Any]], str]) -> None:
    honest = jwt.decode(MACHINE.sign_request(PATH, BODY, NOW), options={"verify_signature": False})
    verify(MACHINE.sign(honest))
    with pytest.raises(UnauthenticatedError):
        verify(forge(honest))


@pytest.mark.parametrize(
    "claims",
    [
        {"htm": "GET"},
        {"htu": "/v1/host/manifest"},
        {"bh": base64url(b"x" * 32)},
        {"bh": None},
        {"iat": None},
        {"exp": None},
        {"exp": NOW + 61},
        {"exp": "tomorrow"},
        {"iat": NOW + 121, "exp": NOW + 130},
        {"iat": NOW - 400, "exp": NOW - 340},
    ],
)
def test_a_token_for_another_request_or_time_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(UnauthenticatedError):
        verify(MACHINE.sign_request(PATH, BODY, NOW, **claims))


def test_a_token_holds_for_its_path_and_body_only() -> None:
    token = MACHINE.sign_request(PATH, BODY, NOW)
    for path, body in ((PATH + "/", BODY), (PATH, BODY + b" ")):
        with pytest.raises(UnauthenticatedError):
            verify(token, path=path, body=body)


def test_a_clock_that_is_two_minutes_wrong_is_forgiven_and_no_more() -> None:
    verify(MACHINE.sign_request(PATH, BODY, NOW + 120))
    verify(MACHINE.sign_request(PATH, BODY, NOW - 179))
    with pytest.raises(UnauthenticatedError):
        verify(MACHINE.sign_request(PATH, BODY, NOW - 180))


@pytest.mark.parametrize("unknown", [None, host(None)])
def test_a_host_without_a_key_signs_nothing(unknown: Host | None) -> None:
    with pytest.raises(UnauthenticatedError):
        verify_request(MACHINE.sign_request(PATH, BODY, NOW), unknown, PATH, BODY, NOW)
    with pytest.raises(UnauthenticatedError):
        verify_report(MACHINE.sign_report({}, 1, NOW)["jws"], unknown, NOW)


@pytest.mark.parametrize("issuer", [b'"x"', b"null", b"[]", b"1e999", b"Infinity", b"NaN", b'"' + b"9" * 5000 + b'"'])
def test_a_host_id_that_is_no_number_is_refused(issuer: bytes) -> None:
    with pytest.raises(UnauthenticatedError):
        claimed_host_id(MACHINE.sign_raw(b'{"iss":' + issuer + b"}"))


def test_a_report_is_the_hosts_own_and_fresh() -> None:
    assert verify_report(MACHINE.sign_report({"a": 1}, 5, NOW)["jws"], host(), NOW)["state"] == {"a": 1}
    for stale in (NOW - 121, NOW + 121):
        with pytest.raises(UnauthenticatedError):
            verify_report(MACHINE.sign_report({}, 5, stale)["jws"], host(), NOW)
    for claims in ({"host_id": 8}, {"sent_at": "now"}, {"sent_at": None}):
        with pytest.raises(UnauthenticatedError):
            verify_report(MACHINE.sign_report({}, 5, NOW, **claims)["jws"], host(), NOW)
    with pytest.raises(UnauthenticatedError):
        verify_report(STRANGER.sign_report({}, 5, NOW)["jws"], host(), NOW)


def test_a_key_is_named_by_the_digest_of_both_halves() -> None:
    assert len(MACHINE.key.key_id) == 16
    swapped = make_machine_key(MACHINE.key.sealing_key, MACHINE.key.signing_key)
    assert swapped.key_id != MACHINE.key.key_id


@pytest.mark.parametrize("half", ["", "AAAA", base64.urlsafe_b64encode(b"x" * 33).decode()])
def test_a_key_of_another_length_is_refused(half: str) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        make_machine_key(half, MACHINE.key.sealing_key)
