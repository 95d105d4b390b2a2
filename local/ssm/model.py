"""The records of the service: plain frozen values, written to the journal as JSON."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Self

JsonObject = dict[str, Any]

TERMINAL_STATUSES = frozenset({"Success", "Failed", "TimedOut", "Cancelled", "Undeliverable"})


@dataclass(frozen=True)
class Record(ABC):
    """Something durable with a key; unknown fields of a newer journal are dropped on reading."""

    KIND: ClassVar[str]

    @property
    @abstractmethod
    def key(self) -> str:
        """What names this record among its kind."""

    def to_json(self) -> JsonObject:
        """Return the fields as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read a record back from the journal."""
        known = {item.name for item in fields(cls)}
        return cls(**{name: content for name, content in value.items() if name in known})


@dataclass(frozen=True)
class Activation(Record):
    """Leave for a number of machines to register; its code is kept only as a hash."""

    KIND: ClassVar[str] = "activation"

    activation_id: str
    code_sha256: str
    role_name: str
    registration_limit: int
    created_at: float
    expires_at: float
    description: str = ""
    default_instance_name: str = ""
    registrations: int = 0
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.activation_id


@dataclass(frozen=True)
class ManagedInstance(Record):
    """A registered machine: its key, its role, its tags and what its agent says of it."""

    KIND: ClassVar[str] = "instance"

    instance_id: str
    activation_id: str
    role_name: str
    public_key: str
    fingerprint: str
    registered_at: float
    name: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    agent: dict[str, str] = field(default_factory=dict)
    last_ping_at: float | None = None

    @property
    def key(self) -> str:
        return self.instance_id


@dataclass(frozen=True)
class Document(Record):
    """A Command document; only its newest version is kept and it is the default one."""

    KIND: ClassVar[str] = "document"

    name: str
    content: JsonObject
    version: int
    created_at: float
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.name


@dataclass(frozen=True)
class Command(Record):
    """A command as sent: the document as it was then, the parameters, the machines, the deadlines."""

    KIND: ClassVar[str] = "command"

    command_id: str
    document_name: str
    document_version: int
    content: JsonObject
    parameters: dict[str, list[str]]
    instance_ids: list[str]
    requested_at: float
    timeout_s: int
    comment: str = ""

    @property
    def key(self) -> str:
        return self.command_id


@dataclass(frozen=True)
class Invocation(Record):
    """One machine's copy of a command; `steps` holds what the agent said of each step, as it said it."""

    KIND: ClassVar[str] = "invocation"

    command_id: str
    instance_id: str
    document_name: str
    requested_at: float
    deliver_before: float
    finish_before: float
    status: str = "Pending"
    status_details: str = "Pending"
    acknowledged: bool = False
    trace: str = ""
    steps: dict[str, JsonObject] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return message_id(self.command_id, self.instance_id)

    @property
    def is_over(self) -> bool:
        """Whether the status is final."""
        return self.status in TERMINAL_STATUSES


@dataclass(frozen=True)
class Cancellation(Record):
    """The message that tells a machine to end a command it has taken."""

    KIND: ClassVar[str] = "cancellation"

    cancellation_id: str
    command_id: str
    instance_id: str
    requested_at: float
    deliver_before: float

    @property
    def key(self) -> str:
        return message_id(self.cancellation_id, self.instance_id)


def message_id(command_id: str, instance_id: str) -> str:
    """Name the message of a command to a machine."""
    return f"aws.ssm.{command_id}.{instance_id}"


RECORD_TYPES: dict[str, type[Record]] = {
    kind.KIND: kind for kind in (Activation, ManagedInstance, Document, Command, Invocation, Cancellation)
}
