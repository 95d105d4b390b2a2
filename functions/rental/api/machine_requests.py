"""What machines ask while a container waits to start, read without pydantic: loading it would make a cold start longer.

`machine_schemas.py` has the same requests as models, for the API's description; tests hold the two together.
"""

import re
from dataclasses import dataclass
from typing import Literal

from rental.api.limits import CALL_ID, MAX_ID, MAX_REPLY, SEALED


@dataclass(frozen=True)
class FetchRequest:
    """schemas/fetch.v1.json"""

    v: Literal[1]
    contract_id: int
    instance_id: int
    generation: int
    token: int

    def __post_init__(self) -> None:
        _check_numbers(self.contract_id, self.instance_id, self.generation, self.token)


@dataclass(frozen=True)
class CertificateRequest:
    """schemas/certificate.v1.json"""

    v: Literal[1]
    contract_id: int
    instance_id: int
    generation: int
    csr: str

    def __post_init__(self) -> None:
        _check_numbers(self.contract_id, self.instance_id, self.generation)


@dataclass(frozen=True)
class CallRequest:
    """schemas/call.v1.json"""

    v: Literal[1]
    call_id: str

    def __post_init__(self) -> None:
        _check_call_id(self.call_id)


@dataclass(frozen=True)
class ReplyRequest:
    """schemas/call.v1.json"""

    v: Literal[1]
    call_id: str
    sealed: str

    def __post_init__(self) -> None:
        _check_call_id(self.call_id)
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


def _check_numbers(*numbers: int) -> None:
    """Some of them are keys of the table, and longer ones it does not take."""
    if not all(1 <= each <= MAX_ID for each in numbers):
        raise ValueError(f"ids, generation and token lie between 1 and {MAX_ID}")


def _check_call_id(call_id: str) -> None:
    if re.fullmatch(CALL_ID, call_id) is None:
        raise ValueError("call_id has 43 characters of base64url")
