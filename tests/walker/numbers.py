"""Each number has one holder: a host's ports in its manifest, the proxy's in items. None outlives its contract."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rental.domain.contract import Contract
from tests.walker.snapshot import Snapshot


def host_ports_that_differ(seen: Snapshot) -> Iterator[str]:
    """A claim has the ports of its contract, and no other claim has one of them."""
    for host_id, manifest in seen.tables.manifests.items():
        holders: Counter[tuple[str, int]] = Counter()
        for contract_id, claim in manifest.claims.items():
            claimed = {("tcp", port) for port in claim.tcp_ports} | {("udp", port) for port in claim.udp_ports}
            holders.update(claimed)
            contract = seen.tables.contracts.get(contract_id)
            if contract is not None and claimed != _published(contract):
                yield f"contract {contract_id} has {sorted(_published(contract))} published, claimed {sorted(claimed)}"
        for (protocol, port), holding in holders.items():
            if holding > 1:
                yield f"port {port}/{protocol} of host {host_id} is held by {holding} contracts"


def proxy_numbers_that_differ(seen: Snapshot) -> Iterator[str]:
    """An item says who has a number; every instance that is not over has its own."""
    said = {
        int(item["pk"].removeprefix("P#")): int(item["instance_id"]) for item in seen.tables.items if item["sk"] == "P"
    }
    wanted: Counter[tuple[int, int]] = Counter()
    for contract, instance in seen.tables.instances():
        if not contract.is_released:
            wanted.update((port, instance.id) for port in instance.proxy_ports)
    for port, instance_id in said.items() - wanted.keys():
        yield f"number {port} of the proxy is held by instance {instance_id}, which does not have it"
    for port, instance_id in wanted.keys() - said.items():
        yield f"instance {instance_id} has number {port} of the proxy, which it does not hold"


def _published(contract: Contract) -> set[tuple[str, int]]:
    return {(port.protocol, port.host) for each in contract.instances for port in each.ports}
