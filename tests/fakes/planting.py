"""Secrets that can be recognized wherever they turn up, in whatever form.

Every secret that a test makes up carries one mark, new for each session. Secrets that the service makes are looked
for one by one where they are known, and by the hashes that the service keeps of them where they are not.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

MARK = f"pl4nted-{secrets.token_hex(6)}"
KEPT_AS_HASH = re.compile(rb"gl_[a-z]+_[A-Za-z0-9_-]{43}|(?<=\.)[A-Za-z0-9_-]{43}|\b[A-Za-z0-9]{20}\b")
"""How API keys, registration tokens (after `<host id>.`) and activation codes look."""
EXCERPT = 60


def plant(purpose: str, around: str = "") -> str:
    """A new secret; `around` is what else stands in it."""
    return f"{purpose}-{MARK}-{secrets.token_hex(4)}{around}"


def forms(secret: bytes) -> set[bytes]:
    """The secret as it is, and as it looks inside of JSON, URLs, hexadecimal and both alphabets of base64.

    What base64 makes of it depends on where in a longer text it stands: there are three ways.
    """
    text = secret.decode("latin-1")
    found = {secret, quote(secret, safe="").encode(), secret.hex().encode(), secret.hex().upper().encode()}
    found |= {json.dumps(text)[1:-1].encode(), json.dumps(json.dumps(text)[1:-1])[1:-1].encode()}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            encoded = encode(bytes(shift) + secret)
            found.add(encoded[(shift * 8 + 5) // 6 : (shift + len(secret)) * 8 // 6])
    return found


@dataclass
class Search:
    """What to look for: whatever carries the mark, `known` secrets by name, and whatever has one of the `hashes`."""

    known: dict[str, bytes] = field(default_factory=dict)
    hashes: Collection[str] = ()

    def findings(self, places: Iterable[tuple[str, bytes]]) -> list[str]:
        """One line for each place with a secret in it; the secret's own home is no place."""
        wanted = {"something planted": MARK.encode(), **self.known}
        pattern = re.compile(b"|".join(re.escape(form) for each in wanted.values() for form in forms(each)))
        found = []
        for place, content in places:
            match = pattern.search(content)
            if match is not None:
                found.append(f"{place}: …{_excerpt(content, match.start())!r}…")
            found += [f"{place}: a secret whose hash is kept: {each!r}" for each in self._hashed(content)]
        return found

    def _hashed(self, content: bytes) -> Iterator[bytes]:
        for candidate in set(KEPT_AS_HASH.findall(content)):
            if hashlib.sha256(candidate).hexdigest() in self.hashes:
                yield candidate[:8]


def _excerpt(content: bytes, at: int) -> bytes:
    return content[max(0, at - EXCERPT) : at + EXCERPT]
