"""What the service needs of the world, as protocols. Adapters keep these promises; so do their in-memory twins."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from rental.domain.access import Account, ApiKey
from rental.domain.allocation import Manifest
from rental.domain.book import Bell, Book, TimelineEntry
from rental.domain.calls import Call, CallId
from rental.domain.certificates import Vouched
from rental.domain.contract import Contract, Sealed
from rental.domain.host import Host, MachineKey
from rental.domain.ids import ContractId, HostId, OfferId
from rental.domain.key_ring import KeyRing
from rental.domain.liveness import Presence
from rental.domain.tunnel import TunnelKeyPlace

T = TypeVar("T")


class GuardFailedError(Exception):
    """Something that was read has changed since, or a transaction was in the way: read again and retry."""


class TakenError(Exception):
    """An id that was to be new exists already: draw another."""


@dataclass(frozen=True)
class Principal:
    """Who calls: an account in a role."""

    account: str
    role: str


@dataclass(frozen=True)
class Memo:
    """What an idempotency key led to: digests of key and request, the id of what it made or changed, kept for 24 h."""

    account: str
    key: str
    request_digest: str
    made: str
    made_at: int
    expires_at: int


@dataclass(frozen=True)
class OfferPlace:
    """Where an offer stands: a size on a host."""

    offer_id: OfferId
    host_id: HostId
    num_gpus: int


@dataclass(frozen=True)
class Page(Generic[T]):
    items: Sequence[T]
    next: str | None = None


@dataclass(frozen=True)
class Extras:
    """What is written in the same transaction as a book."""

    memo: Memo | None = None
    new_offers: tuple[OfferPlace, ...] = ()
    dropped_offers: tuple[OfferId, ...] = ()
    host: Host | None = None
    tunnel_key: TunnelKeyPlace | None = None


NO_EXTRAS = Extras()


class Memos(Protocol):
    def read_memo(self, account: str, key: str, now: int) -> Memo | None: ...


class Store(Memos, Protocol):
    """The one table. Reads are consistent unless they list; every write is guarded by what was read."""

    def read_contract(self, contract_id: ContractId) -> Contract | None: ...

    def read_contracts(self, contract_ids: Iterable[ContractId]) -> Sequence[Contract]: ...

    def read_manifests(self, host_ids: Iterable[HostId]) -> Sequence[Manifest]: ...

    def read_manifest(self, host_id: HostId) -> Manifest | None: ...

    def read_host(self, host_id: HostId) -> Host | None: ...

    def read_offer_place(self, offer_id: OfferId) -> OfferPlace | None: ...

    def read_proxy_ports(self, ports: Sequence[int]) -> frozenset[int]:
        """Those of the proxy's numbers that a contract holds."""
        ...

    def read_tunnel_host(self, fingerprint: str) -> HostId | None:
        """Whose tunnel key this is, or was."""
        ...

    def read_principal(self, api_key_sha256: str) -> Principal | None: ...

    def read_key_ring(self, account: str) -> KeyRing:
        """An empty one where nothing was ever put."""
        ...

    def put_key_ring(self, ring: KeyRing, memo: Memo | None = None) -> None:
        """Write it over the revision that was read. Raises TakenError, GuardFailedError when others were faster."""
        ...

    def commit(self, before: Book, after: Book, extras: Extras = NO_EXTRAS) -> Book:
        """Write what makes `after` of `before` in one transaction; answers `after` with the new revisions.

        Raises GuardFailedError when anything in it changed since it was read, TakenError when a new id exists.
        """
        ...

    def create_host(self, host: Host, memo: Memo | None = None) -> None:
        """Raises TakenError, GuardFailedError."""
        ...

    def list_contracts(self, account: str, cursor: str | None, limit: int) -> Page[Contract]: ...

    def list_hosts(self, owner: str, cursor: str | None, limit: int) -> Page[Host]: ...

    def list_listed(self, cursor: str | None, limit: int) -> Page[Manifest]: ...

    def list_retiring(self, cursor: str | None, limit: int) -> Page[Manifest]:
        """The manifests of retired hosts that still carry contracts."""
        ...

    def list_timeline(self, contract_id: ContractId, cursor: str | None, limit: int) -> Page[TimelineEntry]: ...

    def list_due(self, before: int) -> Sequence[ContractId]: ...


class AccessStore(Memos, Protocol):
    """Accounts and API keys. Creating raises TakenError for what exists, GuardFailedError when others were faster."""

    def read_account(self, name: str) -> Account | None: ...

    def create_account(self, account: Account, memo: Memo | None) -> None: ...

    def list_accounts(self, cursor: str | None, limit: int) -> Page[Account]: ...

    def read_key(self, key_id: str) -> ApiKey | None: ...

    def create_key(self, key: ApiKey, memo: Memo | None) -> None: ...

    def delete_key(self, key_id: str) -> None: ...

    def list_keys(self, account: str, cursor: str | None, limit: int) -> Page[ApiKey]: ...


class CallStore(Memos, Protocol):
    """Calls of clients to their instances, each for a minute."""

    def create_call(self, call: Call, memo: Memo | None) -> None: ...

    def read_call(self, call_id: CallId) -> Call | None: ...

    def put_reply(self, call: Call, reply: str) -> None:
        """Raises GuardFailedError when it has a reply already."""
        ...


class Liveness(Protocol):
    """When each host was last heard, in its own small table. Every write is guarded by what was read."""

    def read(self, host_id: HostId) -> Presence | None: ...

    def swap(self, before: Presence | None, after: Presence) -> Presence | None:
        """Write `after` if `before` is still what is known; answers it with its new revision, None if it is not."""
        ...

    def list_all(self) -> Iterable[Presence]: ...


class Bells(Protocol):
    def ring(self, bells: Sequence[Bell]) -> None:
        """Put the bells in their queues; a bell that is lost is rung again by a later report."""
        ...


class Workflows(Protocol):
    """The executions of the contract machine. Starting twice starts one; stopping what is gone does nothing."""

    def start(self, contract_id: ContractId, run: int) -> None: ...

    def stop(self, contract_id: ContractId, run: int) -> None: ...

    def is_running(self, contract_id: ContractId, run: int) -> bool: ...


class Tasks(Protocol):
    """Answers to waiting tasks. Answering one that no longer waits does nothing."""

    def succeed(self, token: str, output: str) -> None: ...

    def fail(self, token: str, error: str, cause: str) -> None:
        """Fail it now instead of letting it time out."""
        ...


class HostCommands(Protocol):
    def send(self, node_id: str, order: str) -> None: ...


@dataclass(frozen=True)
class Activation:
    """What a new machine needs to become a managed node, once."""

    activation_id: str
    activation_code: str


class Activations(Protocol):
    def create_activation(self, host_id: HostId, expires_at: int) -> Activation: ...


class Nodes(Protocol):
    def node_of(self, activation_id: str) -> str | None:
        """The managed node that used this activation, by SSM's word."""
        ...


class Sealer(Protocol):
    def seal(self, key: MachineKey, contract_id: ContractId, plaintext: bytes) -> Sealed: ...


class TokenMaker(Protocol):
    """Makes the same token of the same contract each time, so that none has to be kept."""

    def jupyter_token(self, contract_id: ContractId) -> str:
        """What lets into JupyterLab in all instances of the contract: 43 letters, digits, - and _."""
        ...


class Envelope(Protocol):
    """A key made for one reply."""

    @property
    def public_key(self) -> str: ...

    def open(self, sealed: str, call_id: CallId) -> bytes: ...


class Envelopes(Protocol):
    def make(self) -> Envelope: ...


@dataclass(frozen=True)
class AuthorityRecord:
    """The certificate of the authority, PEM: one for each key that signs and each zone that it vouches for."""

    key_id: str
    zone: str
    certificate: str


class AuthorityStore(Protocol):
    """Made once: whoever installed it would have to install another."""

    def read_authority(self, key_id: str, zone: str) -> AuthorityRecord | None: ...

    def create_authority(self, record: AuthorityRecord) -> None:
        """Raises TakenError when others were faster, GuardFailedError."""
        ...


class Authority(Protocol):
    """Signs certificates. All texts are PEM. Both raise BusyError while its own certificate is being made."""

    def certificate(self) -> str: ...

    def sign(self, csr: str, vouched: Vouched) -> str:
        """The certificate and then the authority's own. Raises InvalidRequestError for what is no sound request."""
        ...


class Clock(Protocol):
    def now(self) -> int:
        """Epoch seconds."""
        ...

    def sleep(self, seconds: float) -> None: ...


class Entropy(Protocol):
    def below(self, limit: int) -> int:
        """A random integer in [0, limit)."""
        ...

    def token(self) -> str:
        """An unguessable string of 256 bits."""
        ...
