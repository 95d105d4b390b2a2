"""A whole service in memory: one listed host, every use case, and a host that obeys."""

import base64
import itertools
import json
from dataclasses import dataclass, field, replace
from typing import Any

from rental.adapters.access_store import ItemAccessStore
from rental.adapters.call_store import ItemCallStore
from rental.adapters.memory.table import MemoryTable
from rental.adapters.memory.tokens import MemoryTokens
from rental.adapters.store import ItemStore
from rental.domain.book import Book
from rental.domain.contract import Contract
from rental.domain.host import Host, HostStatus, MachineKey
from rental.domain.ids import ContractId, OfferId
from rental.domain.liveness import Sighting
from rental.domain.observation import ReportedGpu, ReportedInstance, ReportedStatus
from rental.domain.readiness import Readiness
from rental.domain.renting import RentalRequest
from rental.domain.ways_in import Direct, Proxy
from rental.ports import NO_EXTRAS, Extras, OfferPlace, Principal
from rental.service.access import Access
from rental.service.calls import Answering, Calls
from rental.service.certificates import Certificates
from rental.service.contracts import Contracts
from rental.service.dispatching import Dispatching
from rental.service.hosts import Hosts
from rental.service.jupyter import Jupyter
from rental.service.ledger import Ledger
from rental.service.life import Life
from rental.service.machines import Machines
from rental.service.observing import Observing
from rental.service.offers import Offers
from rental.service.opening import Opening
from rental.service.proxying import Proxying
from rental.service.renting import Renting
from rental.service.repeating import Repeatable
from rental.service.retiring import Clearing, Retiring
from rental.service.silence import Silence
from rental.service.ssh_keys import SshKeys
from rental.service.sweeping import Sweeping
from tests.fakes.authority import ZONE, make_authority
from tests.fakes.builders import CLIENT, HOST, OWNER, TERMS, make_manifest, make_report, make_request, reported
from tests.fakes.machine import Machine
from tests.fakes.ports import (
    FakeBells,
    FakeClock,
    FakeCommands,
    FakeEntropy,
    FakeNodes,
    FakeTasks,
    FakeWorkflows,
    MemoryLiveness,
    PlainEnvelopes,
    PlainSealer,
)

client = Principal(CLIENT, "client")
owner = Principal(OWNER, "host")
stranger = Principal("stranger", "client")
admin = Principal("admin", "admin")
TOKENS = MemoryTokens(b"key")
SECRETS = {"env": {"PASSWORD": "hunter2"}, "entrypoint": None, "args": None, "onstart": None, "login": None}


@dataclass
class World:
    """`faults` are what befalls the next transactions: "conflict" or "lost"."""

    faults: list[str] = field(default_factory=list)
    clock: FakeClock = field(default_factory=FakeClock)
    entropy: FakeEntropy = field(default_factory=FakeEntropy)
    bells: FakeBells = field(default_factory=FakeBells)
    workflows: FakeWorkflows = field(default_factory=FakeWorkflows)
    tasks: FakeTasks = field(default_factory=FakeTasks)
    nodes: FakeNodes = field(default_factory=FakeNodes)
    commands: FakeCommands = field(default_factory=FakeCommands)
    liveness: MemoryLiveness = field(default_factory=MemoryLiveness)
    machine: Machine = field(default_factory=lambda: Machine(HOST))
    proxy: Proxy | None = None

    def __post_init__(self) -> None:
        self.table = MemoryTable(lambda: self.faults.pop() if self.faults else "")
        commits, self._seq = itertools.count(1), itertools.count(1)
        self.store = ItemStore(self.table, lambda: f"commit-{next(commits)}")
        self.ledger = Ledger(self.store, self.bells, self.clock, self.entropy)
        terms = replace(TERMS, proxy=self.proxy)
        self.renting = Renting(self.ledger, PlainSealer(), TOKENS, self.workflows, terms, cell=0)
        self.contracts = Contracts(self.ledger, self.workflows)
        self.life = Life(self.ledger, self.tasks)
        self.observing = Observing(self.ledger, self.liveness, self.tasks)
        self.sweeping = Sweeping(self.ledger, self.workflows, self.tasks)
        self.silence = Silence(self.ledger, self.liveness)
        self.retiring = Retiring(self.ledger)
        self.clearing = Clearing(self.ledger, self.tasks)
        self.dispatching = Dispatching(self.store, self.commands, self.clock)
        self.offers = Offers(self.store, self.clock, self.proxy)
        self.hosts = Hosts(self.ledger, self.liveness, self.nodes, cell=0, allow_simulated_gpus=True)
        self.opening = Opening(self.ledger, allow_loopback=False)
        self.jupyter = Jupyter(self.store, TOKENS, self.proxy)
        self.proxying = Proxying(self.store, self.clock)
        self.machines = Machines(self.store, self.nodes, self.clock)
        self.call_store = ItemCallStore(self.table, lambda: f"commit-{next(commits)}")
        self.calls = Calls(
            self.store,
            self.call_store,
            self.bells,
            PlainSealer(),
            PlainEnvelopes(),
            self.clock,
            self.entropy,
            patience_s=7.0,
        )
        self.answering = Answering(self.call_store, self.clock, self.entropy)
        self.certificates = Certificates(self.store, make_authority(self.clock, self.table), self.clock, ZONE)
        access_store = ItemAccessStore(self.table, lambda: f"commit-{next(commits)}")
        self.access = Access(access_store, self.clock, self.entropy)
        self.ssh_keys = SshKeys(self.store, self.clock, self.entropy)

    def add_host(self, gpus: int = 4, direct: Direct | None = None) -> "World":
        """A registered, listed host whose offers have ids 1000 + size."""
        manifest = replace(make_manifest(gpus), direct=direct)
        host = Host(
            HOST, OWNER, "", HostStatus.ACTIVE, 0, "0" * 64, 0, "a", "mi-7", self.machine.key, manifest.inventory
        )
        self.store.create_host(host)
        sizes = manifest.listing.offers.items() if manifest.listing is not None else ()
        places = tuple(OfferPlace(offer_id, HOST, size) for size, offer_id in sizes)
        self.store.commit(Book(manifest), Book(manifest), Extras(new_offers=places) if places else NO_EXTRAS)
        return self

    def rent(self, repeatable: Repeatable | None = None, **changes: object) -> Contract:
        request: RentalRequest = make_request(**changes)  # type: ignore[arg-type]
        return self.renting.open_contract(request, SECRETS, repeatable)

    def rent_active(self, **changes: object) -> Contract:
        contract = self.rent(**changes)  # type: ignore[arg-type]
        self.hear(contract.id, "running")
        return self.read(contract.id)

    def read(self, contract_id: ContractId) -> Contract:
        contract = self.store.read_contract(contract_id)
        assert contract is not None
        return contract

    def manifest(self) -> Any:
        manifest = self.store.read_manifest(HOST)
        assert manifest is not None
        return manifest

    def hear(self, contract_id: ContractId, status: ReportedStatus, **changes: object) -> bool:
        """The host says this of one contract's instances."""
        return self.report(reported(self.read(contract_id), status, **changes))

    def report(
        self,
        said: list[ReportedInstance],
        gpus: tuple[ReportedGpu, ...] = (),
        readiness: Readiness | None = None,
    ) -> bool:
        return self.observing.observe(make_report(said, gpus, readiness), self.sighting(next(self._seq)))

    def sighting(self, seq: int) -> Sighting:
        return Sighting(HOST, "boot-1", seq, self.clock.now(), self.clock.now())

    def replace_key(self, key: MachineKey | None = None) -> Host:
        """The machine asks for another key, signed with the one in force."""
        host = self.store.read_host(HOST)
        assert host is not None
        assert host.machine_key is not None
        return self.machines.rotate_key(HOST, key or Machine(HOST).key, host.machine_key.key_id)

    def answers(self) -> list[tuple[str, str]]:
        """Which token was told to go on where."""
        return [(token, json.loads(output)["next"]) for token, output in self.tasks.answered]


def offer(size: int = 1) -> OfferId:
    return OfferId(1000 + size)


def decode_command(order: str) -> Any:
    """What a host reads out of a command."""
    return json.loads(base64.urlsafe_b64decode(order + "=" * (-len(order) % 4)))
