"""The key by which proxies know this host.

It is not the machine key: that one signs what the service believes, and never leaves its file; this one is given to
the ssh program. The service learns it in a request that the machine key signs, as the key of this host for ever: a
machine that becomes another host makes another.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gpulease_host.files import write_durably


@dataclass(frozen=True)
class TunnelKey:
    path: Path
    public: str
    """One line, `ssh-ed25519 AAAA…`."""

    @classmethod
    def provide(cls, path: Path) -> TunnelKey:
        """Made once. Raises OSError, ValueError."""
        if not path.exists():
            made = Ed25519PrivateKey.generate()
            form = serialization.PrivateFormat.OpenSSH
            text = made.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
            write_durably(path, text, 0o600)
        key = serialization.load_ssh_private_key(path.read_bytes(), password=None)
        public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        return cls(path, public.decode())
