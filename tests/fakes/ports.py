"""Stand-ins for the world that the service asks through its ports. They record what was asked of them."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from rental.domain.book import Bell
from rental.domain.calls import CallId
from rental.domain.contract import Sealed
from rental.domain.host import MachineKey
from rental.domain.ids import ContractId, HostId
from rental.domain.liveness import Presence
from rental.ports import Activation

NOW = 1_800_000_000


@dataclass
class FakeClock:
    """Time that passes only when told."""

    at: int = NOW
    slept_s: float = 0.0
    while_sleeping: Callable[[], object] = lambda: None
    """What the world does meanwhile."""

    def now(self) -> int:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds
        self.while_sleeping()

    def advance(self, seconds: int) -> None:
        self.at += seconds


@dataclass
class FakeEntropy:
    """Counts up, so that draws never clash unless `repeat` makes each number come more than once."""

    repeat: int = 1
    drawn: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def below(self, limit: int) -> int:
        with self.lock:
            self.drawn += 1
            return self.drawn // self.repeat % limit

    def token(self) -> str:
        return f"secret{self.below(1 << 30)}"


@dataclass
class FakeBells:
    rung: list[Bell] = field(default_factory=list)

    def ring(self, bells: Sequence[Bell]) -> None:
        self.rung += bells


@dataclass
class FakeWorkflows:
    """`running` is what Step Functions would show; `deaf` loses every start."""

    started: list[tuple[int, int]] = field(default_factory=list)
    stopped: list[tuple[int, int]] = field(default_factory=list)
    running: set[tuple[int, int]] = field(default_factory=set)
    deaf: bool = False

    def start(self, contract_id: ContractId, run: int) -> None:
        if not self.deaf and (contract_id, run) not in self.started:
            self.started.append((contract_id, run))
            self.running.add((contract_id, run))

    def stop(self, contract_id: ContractId, run: int) -> None:
        self.stopped.append((contract_id, run))
        self.running.discard((contract_id, run))

    def is_running(self, contract_id: ContractId, run: int) -> bool:
        return (contract_id, run) in self.running


@dataclass
class FakeTasks:
    answered: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)

    def succeed(self, token: str, output: str) -> None:
        self.answered.append((token, output))

    def fail(self, token: str, error: str, cause: str) -> None:
        self.failed.append((token, error))


@dataclass
class FakeCommands:
    sent: list[tuple[str, str]] = field(default_factory=list)

    def send(self, node_id: str, order: str) -> None:
        self.sent.append((node_id, order))


@dataclass
class FakeNodes:
    """A node appears once `joined` names its activation."""

    joined: dict[str, str] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)

    def create_activation(self, host_id: HostId, expires_at: int) -> Activation:
        self.made.append(f"activation-{host_id}")
        return Activation(self.made[-1], "code")

    def node_of(self, activation_id: str) -> str | None:
        return self.joined.get(activation_id)


@dataclass
class MemoryLiveness:
    """The liveness table in memory."""

    known: dict[HostId, Presence] = field(default_factory=dict)

    def read(self, host_id: HostId) -> Presence | None:
        return self.known.get(host_id)

    def swap(self, before: Presence | None, after: Presence) -> Presence | None:
        current, read = self.known.get(after.host_id), before.rev if before is not None else 0
        if (current.rev if current is not None else 0) != read:
            return None
        self.known[after.host_id] = replace(after, rev=read + 1)
        return self.known[after.host_id]

    def list_all(self) -> list[Presence]:
        return list(self.known.values())


@dataclass
class PlainEnvelope:
    """Opens what was sealed to it for this call."""

    public_key: str

    def open(self, sealed: str, call_id: CallId) -> bytes:
        return sealed.removeprefix(f"to {self.public_key} for {call_id}: ").encode()


@dataclass
class PlainEnvelopes:
    made: int = 0

    def make(self) -> PlainEnvelope:
        self.made += 1
        return PlainEnvelope(f"reply-key-{self.made}")


class PlainSealer:
    """Shows what would be sealed, so that a test can look for it."""

    def seal(self, key: MachineKey, contract_id: ContractId, plaintext: bytes) -> Sealed:
        return Sealed(key.key_id, f"sealed-{contract_id}-{len(plaintext)}")
