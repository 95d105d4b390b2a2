"""Public keys of clients, read strictly: one key a line, of a kind that OpenSSH takes today, and no options."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable

MOST_KEYS = 64
LONGEST_LINE = 8192
KINDS = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
_LINE = re.compile(r"(\S+) ([A-Za-z0-9+/]+={0,2})(?: [^\x00-\x1f\x7f]*)?")


class SshKeyError(ValueError):
    """A line is no public key; the message says which, never what it holds."""


def checked(lines: Iterable[str]) -> tuple[str, ...]:
    """The lines without space around. Raises SshKeyError."""
    keys = tuple(line.strip() for line in lines)
    if len(keys) > MOST_KEYS:
        raise SshKeyError(f"there are more than {MOST_KEYS} keys")
    for number, key in enumerate(keys, 1):
        _check(key, number)
    return keys


def _check(line: str, number: int) -> None:
    match = _LINE.fullmatch(line) if len(line) <= LONGEST_LINE else None
    if match is None or match.group(1) not in KINDS:
        raise SshKeyError(f"key {number} is not one line of kind, key and comment, without options")
    kind = match.group(1).encode()
    try:
        blob = base64.b64decode(match.group(2), validate=True)
    except binascii.Error:
        raise SshKeyError(f"key {number} is not base64") from None
    if blob[:4] != len(kind).to_bytes(4, "big") or blob[4 : 4 + len(kind)] != kind:
        raise SshKeyError(f"key {number} is not of the kind that it says")
