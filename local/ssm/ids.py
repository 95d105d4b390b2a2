"""Where new names come from; a test gives its own."""

import secrets
import string
import uuid
from typing import Protocol


class Ids(Protocol):
    """A source of names."""

    def uuid(self) -> str:
        """Name a command, a cancellation or an activation."""
        ...

    def activation_code(self) -> str:
        """Make the secret of an activation: 20 characters."""
        ...

    def instance_id(self) -> str:
        """Name a machine: mi- and 17 hex digits."""
        ...


class RandomIds:
    """Names no one can guess."""

    def uuid(self) -> str:
        return str(uuid.uuid4())

    def activation_code(self) -> str:
        alphabet = string.ascii_letters + string.digits
        return "".join(secrets.choice(alphabet) for _ in range(20))

    def instance_id(self) -> str:
        return f"mi-{secrets.token_hex(9)[:17]}"
