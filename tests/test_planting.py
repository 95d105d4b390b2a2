"""What is planted is found in every form, and nothing else is."""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable
from urllib.parse import quote_plus

import pytest

from tests.fakes.planting import MARK, Search, forms, plant

WRAPPINGS: dict[str, Callable[[str], bytes]] = {
    "as it is": lambda text: text.encode(),
    "JSON": lambda text: json.dumps({"a": text}).encode(),
    "JSON in JSON": lambda text: json.dumps(json.dumps({"a": text})).encode(),
    "a URL": lambda text: quote_plus(text).encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 of something longer by one": lambda text: base64.b64encode(b"x" + text.encode() + b"yy"),
    "base64 of something longer by two": lambda text: base64.b64encode(b"xx" + text.encode() + b"y"),
    "base64url": lambda text: base64.urlsafe_b64encode(b"xxx" + text.encode()),
    "base64url of JSON": lambda text: base64.urlsafe_b64encode(json.dumps({"a": text}).encode()),
    "hexadecimal": lambda text: text.encode().hex().encode(),
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("around", ["", '"\n\\', "ü&=/ %", "\x1b[0m"])
def test_what_is_planted_is_found_in_every_form(wrapping: str, around: str) -> None:
    for padding in range(4):
        hidden = WRAPPINGS[wrapping]("." * padding + plant("env", around))
        (found,) = Search().findings([("clean", b"nothing"), ("here", b"before " + hidden + b" after")])
        assert found.startswith("here: ")


def test_a_known_secret_of_bytes_is_found_in_every_form() -> None:
    key = secrets.token_bytes(32)
    search = Search({"machine key": key})
    for form in forms(key):
        assert search.findings([("log", b"<" + form + b">")])
    assert not search.findings([("log", secrets.token_bytes(4096))])


def test_a_secret_that_only_its_hash_is_known_of_is_found() -> None:
    key = f"gl_client_{secrets.token_urlsafe(32)}"
    token, code = secrets.token_urlsafe(32), "Abcdefghij0123456789"
    search = Search(hashes={hashlib.sha256(each.encode()).hexdigest() for each in (key, token, code)})
    for text in (f"Bearer {key}", f'{{"key":"{key}"}}', f"--token 7.{token} ", f"-code {code} -id x"):
        assert search.findings([("log", text.encode())]), text
    assert not search.findings([("log", f"gl_client_{secrets.token_urlsafe(32)}".encode())])


def test_marks_are_told_apart_from_other_sessions() -> None:
    assert MARK in plant("env")
    assert plant("env") != plant("env")
    assert not Search().findings([("log", b"pl4nted-000000000000")])
