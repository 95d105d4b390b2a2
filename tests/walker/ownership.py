"""I7: whose a contract is, is said alike everywhere; what others may see hangs on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.walker.snapshot import Snapshot


def owners_that_differ(seen: Snapshot) -> Iterator[str]:
    for contract in seen.tables.contracts.values():
        manifest = seen.tables.manifests.get(contract.host_id)
        if manifest is None or manifest.owner != contract.owner:
            said = manifest.owner if manifest is not None else None
            yield f"contract {contract.id} names {contract.owner} as its host's owner, the manifest {said}"
    for host_id, host in seen.tables.hosts.items():
        manifest = seen.tables.manifests.get(host_id)
        if manifest is not None and manifest.owner != host.owner:
            yield f"host {host_id} is {host.owner}'s, and in its manifest {manifest.owner}'s"


def places_in_indexes_that_differ(seen: Snapshot) -> Iterator[str]:
    """An index shows an item to whom its keys name, so they must name whom the item names."""
    for item in seen.tables.items:
        wanted = _wanted_keys(item)
        found = {name: item.get(name) for name in wanted}
        if found != wanted:
            yield f"{item['pk']} {item['sk']} stands in its index as {found}; it should be {wanted}"


def _wanted_keys(item: Mapping[str, Any]) -> dict[str, str]:
    kind = (item["pk"].partition("#")[0], item["sk"])
    if kind == ("C", "C"):
        number = int(item["id"])
        return {"pk": f"C#{number}", "gsi1pk": f"A#{item['account']}", "gsi1sk": f"C#{number:016d}"}
    if kind == ("H", "H"):
        number = int(item["id"])
        return {"pk": f"H#{number}", "gsi2pk": f"W#{item['owner']}", "gsi2sk": f"H#{number:016d}"}
    return {}
