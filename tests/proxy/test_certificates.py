"""nginx reads its certificates again when they change, also while it is being started."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.log import Log
from proxy.settings import Settings
from proxy.supervisor import Certificates
from tests.proxy.fake_service import FakeService


@dataclass
class Authority(FakeService):
    pem: bytes = b"new"

    def ca(self) -> bytes:
        self.meanwhile()
        return self.pem


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    for each in (certificate, key):
        each.write_text("zone")
    return Settings(
        api_url="https://api.example",
        api_key_file="/x",
        state=str(tmp_path),
        zone="x.example",
        user="x",
        tls_certificate=str(certificate),
        tls_key=str(key),
    )


def certificates(settings: Settings, authority: Authority) -> Certificates:
    return Certificates(settings, authority, Log(io.StringIO(), lambda: 0.0))


def test_a_ca_that_comes_after_nginx_was_started_with_the_old_one_is_a_change(settings: Settings) -> None:
    settings.ca.write_bytes(b"old")
    seen = certificates(settings, Authority())
    assert seen.are_there  # nginx is started here
    seen.step()
    assert seen.changed.is_set()
    assert settings.ca.read_bytes() == b"new"


def test_a_zone_s_certificate_that_comes_while_the_ca_is_asked_for_is_a_change(settings: Settings) -> None:
    settings.ca.write_bytes(b"new")
    renewed = Path(settings.tls_certificate or "")
    seen = certificates(settings, Authority(meanwhile=lambda: os.utime(renewed, (1, 1))))
    seen.step()
    assert seen.changed.is_set()


def test_what_has_not_changed_is_not_read_again(settings: Settings) -> None:
    settings.ca.write_bytes(b"new")
    seen = certificates(settings, Authority())
    for _ in range(3):
        seen.step()
    assert not seen.changed.is_set()
