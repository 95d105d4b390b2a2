"""What machines ask while a container waits to start, read without pydantic: loading it would make a cold start longer.

`machine_schemas.py` has the same requests as models, for the API's description; tests hold the two together.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class FetchRequest:
    """schemas/fetch.v1.json"""

    v: Literal[1]
    contract_id: int
    instance_id: int
    generation: int
    token: int


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


@dataclass(frozen=True)
class ManifestRequest:
    """schemas/manifest.v1.json"""

    v: Literal[1]
