"""Only a plain public key becomes a line of authorized_keys."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from gpulease_host.launch.ssh_keys import LONGEST_LINE, MOST_KEYS, SshKeyError, checked
from gpulease_host.wire import WireError, parse_secrets, parse_ssh_keys

PUBLIC = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
ED25519 = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(*PUBLIC).decode()
RSA = rsa.generate_private_key(65537, 2048).public_key().public_bytes(*PUBLIC).decode()
ECDSA = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(*PUBLIC).decode()


@pytest.mark.parametrize("key", [ED25519, RSA, ECDSA, f"{ED25519} Ada's laptop, at home", f"  {ED25519}\n"])
def test_keys_of_every_usual_kind_are_taken(key: str) -> None:
    assert checked([key]) == (key.strip(),)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "# nobody",
        f'command="sh" {ED25519}',
        f"no-pty {ED25519}",
        f"{ED25519} one\n{RSA} two",
        f"{ED25519}\r x",
        f"{ED25519} bell\x07",
        f"cert-authority {ED25519}",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 !!!!",
        ED25519.replace("ssh-ed25519", "ssh-rsa"),
        ED25519.replace("ssh-ed25519", "ssh-dss"),
        f"{ED25519} {'x' * LONGEST_LINE}",
    ],
)
def test_whatever_is_more_or_less_than_a_key_is_refused_without_being_quoted(line: str) -> None:
    with pytest.raises(SshKeyError) as refused:
        checked([ED25519, line])
    assert "key 2" in str(refused.value)
    assert "AAAA" not in str(refused.value)


def test_there_are_only_so_many() -> None:
    assert len(checked([ED25519] * MOST_KEYS)) == MOST_KEYS
    with pytest.raises(SshKeyError):
        checked([ED25519] * (MOST_KEYS + 1))


def test_the_keys_come_beside_the_secrets_and_an_older_service_sends_none() -> None:
    assert parse_ssh_keys({"v": 1, "ssh_keys": [ED25519, f" {RSA}"]}) == (ED25519, RSA)
    assert parse_ssh_keys({"v": 1}) == ()
    for bad in (["x"], [1], ED25519):
        with pytest.raises(WireError):
            parse_ssh_keys({"v": 1, "ssh_keys": bad})


def test_secrets_carry_a_token_and_an_older_service_sends_none() -> None:
    assert parse_secrets(b'{"env": {}}').jupyter_token is None
    read = parse_secrets(b'{"env": {}, "jupyter_token": "abcdefgh12345678"}')
    assert read.jupyter_token == "abcdefgh12345678"
    assert "abcdefgh" not in repr(read) + read.hide("said abcdefgh12345678")
    for bad in ('"jupyter_token": "short"', '"jupyter_token": "new\\nline-0123456789"'):
        with pytest.raises(WireError):
            parse_secrets(f'{{"env": {{}}, {bad}}}'.encode())


def test_a_blob_that_is_of_another_kind_is_noticed() -> None:
    other = base64.b64encode(b"\0\0\0\x07ssh-rsa" + bytes(40)).decode()
    with pytest.raises(SshKeyError, match="kind that it says"):
        checked([f"ssh-ed25519 {other}"])
