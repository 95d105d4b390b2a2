"""Tokens are read as the library that signs them reads them, and never more of them."""

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from rental.adapters.jws import BadTokenError, read_token
from tests.fakes.machine import base64url

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
CLAIMS: dict[str, Any] = {"host_id": 7, "state": {"gpus": []}}
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists) | st.dictionaries(
    st.text(), st.integers()
)
UNCHECKED: Any = {
    f"verify_{name}": False for name in ("exp", "iat", "nbf", "aud", "iss", "sub", "jti")
}  # our own checks come after


def sign(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, KEY, algorithm="EdDSA", headers={"kid": "1"})


def sign_raw(header: object, payload: bytes = b"{}") -> str:
    signed = f"{base64url(json.dumps(header).encode())}.{base64url(payload)}"
    return f"{signed}.{base64url(KEY.sign(signed.encode()))}"


def read(text: object) -> dict[str, Any] | None:
    try:
        return read_token(text).verified(PUBLIC)
    except BadTokenError:
        return None


def read_by_library(text: str) -> dict[str, Any] | None:
    try:
        claims: dict[str, Any] = jwt.decode(text, KEY.public_key(), algorithms=["EdDSA"], options=UNCHECKED)
    except jwt.InvalidTokenError:
        return None
    return claims


@given(st.dictionaries(st.text().map(lambda name: f"x{name}"), JSON))
def test_what_the_library_signs_is_read_as_it_was(claims: dict[str, Any]) -> None:
    token = read_token(sign(claims))
    assert token.verified(PUBLIC) == token.unverified() == claims
    assert token.key_id == "1"


@given(st.data())
def test_what_is_read_of_a_damaged_token_the_library_reads_too(data: st.DataObject) -> None:
    text = sign(CLAIMS)
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:at] + data.draw(st.text(max_size=2)) + text[at + data.draw(st.integers(0, 2)) :]
    claims = read(damaged)
    assert claims in (None, CLAIMS)
    assert claims is None or read_by_library(damaged) == claims


@pytest.mark.parametrize("other", [b"o" * 32, bytes(32)])
def test_another_key_has_signed_nothing(other: bytes) -> None:
    public = Ed25519PrivateKey.from_private_bytes(other).public_key().public_bytes_raw()
    with pytest.raises(BadTokenError, match="signature"):
        read_token(sign(CLAIMS)).verified(public)


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "eddsa"},
        {"alg": ["EdDSA"]},
        {"alg": "EdDSA", "crit": ["b64"], "b64": False},
        {"alg": "EdDSA", "crit": []},
        [],
        "EdDSA",
        None,
    ],
)
def test_another_kind_of_token_is_refused_whoever_signed_it(header: object) -> None:
    assert read(sign_raw({"alg": "EdDSA"})) == {}
    assert read(sign_raw(header)) is None


@pytest.mark.parametrize("payload", [b"", b"[]", b"1", b"null", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000])
def test_claims_are_an_object(payload: bytes) -> None:
    assert read(sign_raw({"alg": "EdDSA"}, payload)) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: f"{text}=",
        lambda text: f"{text}\n",
        lambda text: f" {text}",
        lambda text: f"{text}.",
        lambda text: f"{text}.{text}",
        lambda text: text.replace(".", ".="),
        lambda text: text.rpartition(".")[0],
        lambda text: text.rpartition(".")[0] + ".",
        lambda text: text.rpartition(".")[0] + ".A",
        lambda text: text.encode(),
        lambda text: None,
        lambda text: [text],
    ],
)
def test_what_is_not_exactly_three_parts_in_base64url_is_refused(spoil: Any) -> None:
    assert read(sign(CLAIMS)) == CLAIMS
    assert read(spoil(sign(CLAIMS))) is None
