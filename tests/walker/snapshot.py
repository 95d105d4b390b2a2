"""What the walker looks at: the service's tables and one host, as they were read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gpulease_host.memory import Memory
from rental.adapters import items as table_items
from rental.domain.allocation import Manifest
from rental.domain.book import TimelineEntry
from rental.domain.contract import Contract, Instance
from rental.domain.host import Host
from rental.domain.ids import ContractId, HostId, InstanceId
from rental.domain.lifecycle import ContractStatus
from rental.domain.liveness import Presence

OVER = frozenset({ContractStatus.DELETED, ContractStatus.FAILED})


@dataclass(frozen=True)
class Tables:
    """The main table, the liveness table, and the names of the executions that are open."""

    items: tuple[Mapping[str, Any], ...]
    contracts: Mapping[ContractId, Contract]
    timelines: Mapping[ContractId, tuple[TimelineEntry, ...]]
    manifests: Mapping[HostId, Manifest]
    hosts: Mapping[HostId, Host]
    presences: tuple[Presence, ...] = ()
    open_executions: frozenset[str] = frozenset()

    def is_over(self, contract_id: int) -> bool:
        """Nothing of the contract may be anywhere: it has ended, or there is none."""
        contract = self.contracts.get(ContractId(contract_id))
        return contract is None or (contract.status in OVER and contract.is_released)

    def instances(self) -> Iterator[tuple[Contract, Instance]]:
        for contract in self.contracts.values():
            for instance in contract.instances:
                yield contract, instance

    def instance(self, instance_id: int) -> tuple[Contract, Instance] | None:
        wanted = InstanceId(instance_id)
        return next((pair for pair in self.instances() if pair[1].id == wanted), None)


@dataclass(frozen=True)
class SeenContainer:
    """A container as Docker inspects it; `gpus` are the UUIDs it was started with. Times in epoch seconds."""

    id: str
    contract_id: int
    instance_id: int
    is_running: bool
    gpus: tuple[str, ...]
    started_at: float | None = None


@dataclass(frozen=True)
class Machine:
    """One host. `groups`, `layers`: ids of containers that have a control group, or files in Docker's storage.

    `networks` are Docker's, by name with the contract on their label; `bridges` the kernel's interfaces of that kind.
    """

    containers: tuple[SeenContainer, ...] = ()
    networks: Mapping[str, int] = field(default_factory=dict)
    bridges: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    layers: frozenset[str] = frozenset()
    firewall: tuple[str, ...] = ()
    journal: Memory = field(default_factory=Memory)
    texts: Mapping[str, str] = field(default_factory=dict)
    """Files in which nobody's secret may stand, by name."""
    disk_bytes: int = 0
    """What Docker's file system holds in all."""

    @property
    def running(self) -> tuple[SeenContainer, ...]:
        return tuple(each for each in self.containers if each.is_running)

    def container(self, instance_id: int) -> SeenContainer | None:
        return next((each for each in self.containers if each.instance_id == instance_id), None)


@dataclass(frozen=True)
class Snapshot:
    """Everything at about the same moment: the machine first, then the tables. `at` is when the machine was read."""

    at: float
    tables: Tables
    machine: Machine


def tables_of(
    found: Iterable[Mapping[str, Any]],
    presences: Iterable[Presence] = (),
    open_executions: Iterable[str] = (),
) -> Tables:
    """The tables from their items. Raises TypeError or ValueError for what is not as the service writes it."""
    items = tuple(found)
    by_kind: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for item in items:
        kind = f"{item['pk'].partition('#')[0]}/{item['sk'].partition('#')[0]}"
        by_kind[kind].append(item)
    timelines: dict[ContractId, list[TimelineEntry]] = defaultdict(list)
    for entry in sorted(map(table_items.load_timeline_entry, by_kind["C/E"]), key=lambda each: each.seq):
        timelines[entry.contract_id].append(entry)
    return Tables(
        items=items,
        contracts={each.id: each for each in map(table_items.load_contract, by_kind["C/C"])},
        timelines={contract_id: tuple(lines) for contract_id, lines in timelines.items()},
        manifests={each.host_id: each for each in map(table_items.load_manifest, by_kind["H/CAP"])},
        hosts={each.id: each for each in map(table_items.load_host, by_kind["H/H"])},
        presences=tuple(presences),
        open_executions=frozenset(open_executions),
    )
