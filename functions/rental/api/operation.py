"""What there is to say of an operation of the HTTP API; `operations.py` says it of each."""

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from pydantic import BaseModel

from rental.domain.errors import (
    ForbiddenError,
    IdempotencyMismatchError,
    InvalidRequestError,
    NotFoundError,
    RentalError,
    UnauthenticatedError,
)

Refusals = tuple[type[RentalError], ...]


class Tag(StrEnum):
    OFFERS = "Offers"
    CONTRACTS = "Contracts"
    SSH_KEYS = "SSH keys"
    HOSTS = "Hosts"
    ACCESS = "Accounts and keys"
    MACHINES = "Machines"
    PROXIES = "Proxies"
    SERVICE = "Service"


TAGS = {
    Tag.OFFERS: "What can be rented now.",
    Tag.CONTRACTS: "Rent GPUs for a time: clients open, start, stop and end contracts, owners of hosts extend them.",
    Tag.SSH_KEYS: "Whom new contracts of your account let in.",
    Tag.HOSTS: "What owners do with their machines.",
    Tag.ACCESS: "Who may come in. A key is shown once, in the answer that makes it.",
    Tag.MACHINES: "What machines ask for themselves. They sign with their machine key.",
    Tag.PROXIES: "What the deployment's proxies ask, with an API key of role proxy, which opens nothing else.",
    Tag.SERVICE: "The service itself.",
}


class Proof(StrEnum):
    """How a caller shows who it is."""

    API_KEY = "api_key"
    MACHINE_TOKEN = "machine_token"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Operation:
    """`refusals` are those that do not follow from the other fields; `all_refusals` has all."""

    name: str
    method: str
    path: str
    tag: Tag
    summary: str
    details: str = ""
    roles: tuple[str, ...] = ()
    """Of API keys that may call it, besides `admin`."""
    proof: Proof = Proof.API_KEY
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    status: HTTPStatus = HTTPStatus.OK
    media: str = "application/json"
    paged: bool = False
    """It takes `cursor` and `limit` and answers a list."""
    query: tuple[str, ...] = ()
    """Names of further parameters of the query."""
    repeatable: bool = False
    """It takes an Idempotency-Key."""
    refusals: Refusals = ()

    @property
    def all_refusals(self) -> Refusals:
        found: list[type[RentalError]] = []
        if self.body is not None or self.paged or self.repeatable:
            found.append(InvalidRequestError)
        if self.proof is Proof.API_KEY:
            found += [UnauthenticatedError, ForbiddenError]
        if self.proof is Proof.MACHINE_TOKEN:
            found.append(UnauthenticatedError)
        if "{" in self.path:
            found.append(NotFoundError)
        if self.repeatable:
            found.append(IdempotencyMismatchError)
        return tuple(dict.fromkeys((*found, *self.refusals, RentalError)))
