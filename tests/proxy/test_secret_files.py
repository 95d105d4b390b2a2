"""A proxy whose files come from one secret: what is right takes their place, and nothing else does."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from proxy.secret_files import write_secret
from proxy.settings import Settings, SettingsError
from proxy.supervisor import make_host_key

DAY = timedelta(days=1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    state = tmp_path / "state"
    state.mkdir()
    return Settings(
        api_url="https://api.example",
        api_key_file=str(state / "api_key"),
        state=str(state),
        zone="jupyter.example",
        user="gpulease-proxy",
        tls_certificate=str(state / "tls.crt"),
        tls_key=str(state / "tls.key"),
    )


def ssh_key(folder: Path, name: str) -> tuple[str, str]:
    """Both halves."""
    path = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "x@y", "-f", path], check=True)
    return path.read_text(), " ".join(path.with_name(f"{name}.pub").read_text().split()[:2])


def certificate() -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "*.jupyter.example")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + 90 * DAY)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode(), private.decode()


@pytest.fixture
def secret(tmp_path: Path) -> dict[str, Any]:
    host_key, _ = ssh_key(tmp_path, "host")
    tls_certificate, tls_key = certificate()
    parts = {"api_key": "k-1", "host_key": host_key, "tls_certificate": tls_certificate, "tls_key": tls_key}
    return dict(parts)


@pytest.fixture
def public(tmp_path: Path, secret: dict[str, Any]) -> str:
    return " ".join((tmp_path / "host.pub").read_text().split()[:2])


def files(settings: Settings) -> dict[str, str]:
    return {path.name: path.read_text() for path in settings.folder.iterdir()}


def test_every_part_has_its_file_that_nobody_else_may_read(
    settings: Settings, secret: dict[str, Any], public: str
) -> None:
    assert write_secret(settings, json.dumps(secret), public) == list(secret)
    assert files(settings) == {
        "api_key": "k-1\n",
        "host_key": secret["host_key"],
        "host_key.pub": f"{public}\n",
        "tls.crt": secret["tls_certificate"],
        "tls.key": secret["tls_key"],
    }
    private = [path for path in settings.folder.iterdir() if path.suffix != ".pub"]
    assert {path.stat().st_mode & 0o777 for path in private} == {0o600}


def test_the_proxy_is_known_by_the_key_of_the_secret(settings: Settings, secret: dict[str, Any], public: str) -> None:
    write_secret(settings, json.dumps(secret), public)
    assert make_host_key(settings) == public


def test_a_renewed_certificate_takes_its_place_and_the_rest_is_not_touched(
    settings: Settings, secret: dict[str, Any], public: str
) -> None:
    write_secret(settings, json.dumps(secret), public)
    before = settings.host_key.stat()
    assert write_secret(settings, json.dumps(secret), public) == []
    secret["tls_certificate"], secret["tls_key"] = certificate()
    assert write_secret(settings, json.dumps(secret), public) == ["tls_certificate", "tls_key"]
    assert settings.host_key.stat().st_ino == before.st_ino
    assert files(settings)["tls.crt"] == secret["tls_certificate"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"api_key": ...}, "has api_key, host_key"),
        ({"more": "x"}, "nothing else"),
        ({"api_key": 7}, "each a text"),
        ({"api_key": "KEEP\nKEEP-OUT"}, "api_key"),
        ({"host_key": "KEEP-OUT"}, "no private key of OpenSSH"),
        ({"tls_key": certificate()[1]}, "belongs together"),
        ({"tls_certificate": "KEEP-OUT"}, "belongs together"),
    ],
)
def test_what_cannot_be_right_changes_nothing_and_is_not_repeated(
    settings: Settings, secret: dict[str, Any], public: str, changes: dict[str, Any], sentence: str
) -> None:
    write_secret(settings, json.dumps(secret), public)
    before = files(settings)
    wrong = {name: value for name, value in ({**secret, "api_key": "k-2"} | changes).items() if value is not ...}
    with pytest.raises(SettingsError, match=sentence) as raised:
        write_secret(settings, json.dumps(wrong), public)
    assert files(settings) == before
    assert "KEEP-OUT" not in str(raised.value)


def test_another_host_key_than_hosts_are_told_is_refused(
    tmp_path: Path, settings: Settings, secret: dict[str, Any], public: str
) -> None:
    secret["host_key"], _ = ssh_key(tmp_path, "other")
    with pytest.raises(SettingsError, match="not the one that hosts are told"):
        write_secret(settings, json.dumps(secret), public)
    assert files(settings) == {}


@pytest.mark.parametrize("text", ["", "None", "{"])
def test_a_secret_that_nobody_has_filled_yet_is_said(settings: Settings, text: str) -> None:
    with pytest.raises(SettingsError, match="not there yet"):
        write_secret(settings, text, "ssh-ed25519 AAAA")
