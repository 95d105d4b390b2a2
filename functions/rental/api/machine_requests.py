"""What machines ask while a container waits to start, read without pydantic: loading it would make a cold start longer.

`machine_schemas.py` has the same requests as models, for the API's description; tests hold the two together.
"""

import re
from dataclasses import dataclass
from typing import Literal

from rental.api.limits import MAX_REPLY, SEALED


@dataclass(frozen=True)
class FetchRequest:
    """schemas/fetch.v1.json"""

    v: Literal[1]
    contract_id: int
    instance_id: int
    generation: int
    token: int


@dataclass(frozen=True)
class CertificateRequest:
    """schemas/certificate.v1.json"""

    v: Literal[1]
    contract_id: int
    instance_id: int
    generation: int
    csr: str


@dataclass(frozen=True)
class CallRequest:
    """schemas/call.v1.json"""

    v: Literal[1]
    call_id: str


@dataclass(frozen=True)
class ReplyRequest:
    """schemas/call.v1.json"""

    v: Literal[1]
    call_id: str
    sealed: str

    def __post_init__(self) -> None:
        if len(self.sealed) > MAX_REPLY or re.fullmatch(SEALED, self.sealed) is None:
            raise ValueError(f"sealed has at most {MAX_REPLY} characters, all of base64url")


@dataclass(frozen=True)
class TunnelRequest:
    """schemas/tunnel.v1.json"""

    v: Literal[1]
    public_key: str


@dataclass(frozen=True)
class ManifestRequest:
    """schemas/manifest.v1.json"""

    v: Literal[1]
