"""Public keys that let clients into their instances over ssh.

A key is kept as its owner's `.pub` file has it: one line of kind, key and comment. Options are refused, because
`command=` or `from=` would be obeyed by the sshd of the instance, and a certificate too, because nobody here signs
them. The encoding is that of RFC 4253 section 6.6 and RFC 8709; the kinds of security keys are OpenSSH's
(PROTOCOL.u2f).
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from itertools import pairwise

from rental.domain.errors import InvalidRequestError
from rental.domain.pasted_key import one_line

MAX_LINE_LENGTH = 4096
"""An RSA key of 16,384 bits, OpenSSH's largest, takes 2,772 of them."""
MAX_COMMENT_LENGTH = 256
"""A contract keeps its keys in its one item, beside up to 175 KB of sealed secrets."""
MIN_RSA_BITS = 2048
"""Half of what a small key costs to break is within reach; OpenSSH's own limit is 1024."""
MAX_RSA_BITS = 16_384
UNCOMPRESSED = b"\x04"
"""How a point of a curve begins that is written as OpenSSH does (RFC 5656 section 3.1)."""

FIELDS: dict[str, tuple[bytes | int | None, ...]] = {
    "ssh-ed25519": (32,),
    "ecdsa-sha2-nistp256": (b"nistp256", 65),
    "ecdsa-sha2-nistp384": (b"nistp384", 97),
    "ecdsa-sha2-nistp521": (b"nistp521", 133),
    "sk-ssh-ed25519@openssh.com": (32, None),
    "sk-ecdsa-sha2-nistp256@openssh.com": (b"nistp256", 65, None),
    "ssh-rsa": (None, None),
}
"""What follows the kind in the key: itself, or its length in bytes; None where it may be anything."""

LINE = re.compile(r"(?P<kind>\S+) +(?P<key>[A-Za-z0-9+/]+={0,2})(?: +(?P<comment>[^\x00-\x1f\x7f]*))?")


@dataclass(frozen=True)
class SshKey:
    """A public key; two lines that differ in the comment only are the same key, with the same `id`."""

    kind: str
    key: str
    comment: str

    @property
    def line(self) -> str:
        """As `authorized_keys` has it."""
        return " ".join(each for each in (self.kind, self.key, self.comment) if each)

    @property
    def id(self) -> str:
        """The digest that is in its fingerprint, in a form that can stand in a path."""
        return self._digest().hex()

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` prints it."""
        return "SHA256:" + base64.b64encode(self._digest()).decode().rstrip("=")

    def _digest(self) -> bytes:
        return hashlib.sha256(base64.b64decode(self.key)).digest()


def read_ssh_key(line: str) -> SshKey:
    """The key on a line that `parse_ssh_key` made: what was kept stays readable, whatever is refused by now."""
    kind, _, rest = line.partition(" ")
    key, _, comment = rest.partition(" ")
    return SshKey(kind, key, comment)


def parse_ssh_key(text: str) -> SshKey:
    """The key that is meant by `text`. Raises InvalidRequestError: what to do, and never the text itself."""
    line = text.strip() if len(text.strip()) <= MAX_LINE_LENGTH else ""
    found = LINE.fullmatch(line)
    if found is None or found["kind"] not in FIELDS:
        found = LINE.fullmatch(one_line(line))
    if found is None or found["kind"] not in FIELDS:
        raise InvalidRequestError(
            f"An SSH key is the one line of a .pub file, without options: {', '.join(FIELDS)}, then the key."
        )
    comment = (found["comment"] or "").strip()
    if len(comment) > MAX_COMMENT_LENGTH:
        raise InvalidRequestError(f"The comment of the SSH key has over {MAX_COMMENT_LENGTH} characters. Shorten it.")
    _check_key(found["kind"], found["key"])
    # the one spelling of its bits, so that no key is there twice
    key = base64.b64encode(base64.b64decode(found["key"])).decode()
    return SshKey(found["kind"], key, comment)


def _check_key(kind: str, key: str) -> None:
    damaged = InvalidRequestError("The SSH key is damaged: send the whole line of the .pub file.")
    try:
        named, *fields = _fields(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError) as error:
        raise damaged from error
    expected = FIELDS[kind]
    if named != kind.encode() or len(fields) != len(expected):
        raise damaged
    if any(wanted not in (None, each, len(each)) for each, wanted in zip(fields, expected, strict=True)):
        raise damaged
    if kind == "ssh-rsa":
        _check_rsa(fields[1])
    elif "ecdsa-" in kind and fields[1][:1] != UNCOMPRESSED:
        raise damaged


def _check_rsa(modulus: bytes) -> None:
    """As sshd takes them. Raises InvalidRequestError."""
    bits = int.from_bytes(modulus, "big").bit_length()
    if modulus[:1] >= b"\x80" or bits > MAX_RSA_BITS:
        raise InvalidRequestError(f"The RSA key is damaged, or has over {MAX_RSA_BITS} bits. Make an ed25519 key.")
    if bits < MIN_RSA_BITS:
        raise InvalidRequestError(
            f"The RSA key is too short: at least {MIN_RSA_BITS} bits. Better, make an ed25519 key."
        )


def _fields(blob: bytes) -> list[bytes]:
    """The strings in the blob, each after its length of 4 bytes. Raises ValueError where they do not fill it."""
    bounds = [0]
    while bounds[-1] < len(blob):
        start = bounds[-1] + 4
        bounds.append(start + int.from_bytes(blob[bounds[-1] : start], "big"))
    if bounds[-1] != len(blob):
        raise ValueError("the key ends in the middle")
    return [blob[start + 4 : end] for start, end in pairwise(bounds)]
