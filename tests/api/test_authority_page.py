"""The page of the authority: each system and browser, sound for browsers and screen readers, nothing from elsewhere."""

import ssl

import pytest

from rental.api.authority_page import WAYS, render_authority_page
from tests.api.test_page import Reader

PEM = ssl.DER_cert_to_PEM_cert(b"certificate")
PAGE = render_authority_page(PEM, "https://api.example.com", "gpu.example")
READER = Reader()
READER.feed(PAGE)


def test_every_tag_is_closed() -> None:
    assert READER.open == []


@pytest.mark.parametrize(
    "system", ["Debian", "Ubuntu", "Fedora", "macOS", "Windows", "Firefox", "Chrome on Linux", "curl", "requests"]
)
def test_every_system_and_browser_is_told(system: str) -> None:
    assert any(system in name for name, *_ in WAYS)
    assert system in READER.text


@pytest.mark.parametrize(
    "command",
    ["update-ca-certificates", "update-ca-trust", "add-trusted-cert", "-addstore Root", "sql:$HOME", "--cacert"],
)
def test_every_command_stands_there_as_it_is_typed(command: str) -> None:
    assert command in READER.text


def test_nothing_comes_from_elsewhere_and_nothing_runs() -> None:
    assert not {"script", "link", "img", "iframe", "form"} & {tag for tag, _ in READER.tags}
    assert set(READER.values("href")) == {"/v1/ca.crt"}
    assert "url(" not in PAGE


def test_what_it_is_told_is_text_and_never_markup() -> None:
    hostile = render_authority_page(PEM, "https://<script>", "<script>")
    assert "<script>" not in hostile
