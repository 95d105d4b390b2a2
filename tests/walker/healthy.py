"""A snapshot in which nothing is wrong, and ways to spoil it: what the walker's checks are tried on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gpulease_host.docker_engine.networks import network_name
from gpulease_host.engine import Order
from gpulease_host.memory import Memory
from gpulease_host.records import Fence, Record
from gpulease_host.wire import parse_order
from rental.domain.contract import Contract, Instance
from rental.domain.ids import ContractId
from rental.service.orders import order_of
from tests.fakes.builders import DIRECT, HOST, PROXY, make_request
from tests.fakes.world import World, client
from tests.walker.snapshot import Machine, SeenContainer, Snapshot, tables_of

RULE = "-A POSTROUTING -s 10.213.0.0/28 ! -o {bridge} -j MASQUERADE"


def healthy() -> Snapshot:
    """Three contracts on one host: one runs, one is stopped, one has been deleted. All can be got into."""
    world = World(proxy=PROXY).add_host(direct=DIRECT)
    launch = replace(make_request().launch, mode="jupyter")
    running, stopped, over = (world.rent_active(launch=launch) for _ in range(3))
    world.contracts.stop_contract(stopped.id, client, None)
    world.hear(stopped.id, "stopped")
    world.contracts.end_contract(over.id, client)
    world.hear(over.id, "absent")
    contracts = [world.read(each.id) for each in (running, stopped, over)]
    lives = [f"c{each.id}-{each.run}" for each in contracts[:2]]
    tables = tables_of(world.table.items(), world.liveness.list_all(), lives)
    return Snapshot(world.clock.now(), tables, _machine(contracts))


def _machine(contracts: list[Contract]) -> Machine:
    running, stopped, over = contracts
    containers = (_container(running, is_running=True), _container(stopped, is_running=False))
    networks = {network_name(each.id): int(each.id) for each in (running, stopped)}
    records = (_record(running, "running"), _record(stopped, "stopped"), _record(over, "absent"))
    journal = Memory({each.order.instance_id: each for each in records}, {running.gpus[0].uuid: Fence(1, running.id)})
    return Machine(
        containers=containers,
        networks=networks,
        bridges=frozenset(networks),
        groups=frozenset({containers[0].id}),
        layers=frozenset(each.id for each in containers),
        firewall=tuple(RULE.format(bridge=each) for each in networks),
        journal=journal,
        texts={"journal": "env_keys"},
        disk_bytes=1 << 40,
    )


def _container(contract: Contract, *, is_running: bool) -> SeenContainer:
    uuids = tuple(gpu.uuid for gpu in contract.gpus)
    started_at = float(contract.created_at)
    return SeenContainer(f"container-{contract.id}", contract.id, contract.id, is_running, uuids, started_at)


def _record(contract: Contract, status: Any) -> Record:
    order: Order = parse_order(order_of(contract, contract.instances[0]))
    return Record(order, status, applied=order.generation)


def first(seen: Snapshot) -> Contract:
    """The contract that runs."""
    return _contract(seen, 0)


def second(seen: Snapshot) -> Contract:
    """The one that is stopped."""
    return _contract(seen, 1)


def third(seen: Snapshot) -> Contract:
    """The one that is over."""
    return _contract(seen, 2)


def _contract(seen: Snapshot, place: int) -> Contract:
    return seen.tables.contracts[sorted(seen.tables.contracts)[place]]


def with_contract(seen: Snapshot, contract: Contract, **changes: Any) -> Snapshot:
    changed: Mapping[ContractId, Contract] = {**seen.tables.contracts, contract.id: replace(contract, **changes)}
    return with_tables(seen, contracts=changed)


def with_instance(seen: Snapshot, contract: Contract, **changes: Any) -> Snapshot:
    instance: Instance = replace(contract.instances[0], **changes)
    return with_contract(seen, contract, instances=(instance,))


def with_manifest(seen: Snapshot, **changes: Any) -> Snapshot:
    changed = replace(seen.tables.manifests[HOST], **changes)
    return with_tables(seen, manifests={HOST: changed})


def with_tables(seen: Snapshot, **changes: Any) -> Snapshot:
    return replace(seen, tables=replace(seen.tables, **changes))


def with_machine(seen: Snapshot, **changes: Any) -> Snapshot:
    return replace(seen, machine=replace(seen.machine, **changes))


def with_container(seen: Snapshot, place: int, **changes: Any) -> Snapshot:
    containers = list(seen.machine.containers)
    containers[place] = replace(containers[place], **changes)
    return with_machine(seen, containers=tuple(containers))


def with_line(seen: Snapshot, contract: Contract, **changes: Any) -> Snapshot:
    """One more line of the contract's timeline, the last one changed."""
    lines = seen.tables.timelines[contract.id]
    more = replace(lines[-1], seq=len(lines) + 1, **changes)
    longer = with_tables(seen, timelines={**seen.tables.timelines, contract.id: (*lines, more)})
    return with_contract(longer, contract, seq=more.seq)


def with_items(seen: Snapshot, pk: str, **changes: Any) -> Snapshot:
    """Attributes of an item as it lies in the table, without a look at what they mean."""
    changed = tuple(
        {**item, **changes} if item["pk"] == pk and item["sk"] in "CHP" else item for item in seen.tables.items
    )
    return with_tables(seen, items=changed)


def with_record(seen: Snapshot, contract: Contract, **changes: Any) -> Snapshot:
    journal = seen.machine.journal
    changed = replace(journal.records[contract.id], **changes)
    return with_machine(seen, journal=replace(journal, records={**journal.records, contract.id: changed}))
