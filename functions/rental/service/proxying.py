"""What the proxy leads to on a host: which instances, and under which of its numbers."""

from collections.abc import Iterator
from dataclasses import dataclass

from rental.domain.contract import Contract
from rental.domain.ids import HostId, InstanceId
from rental.domain.lifecycle import ContractStatus, Desired
from rental.ports import Clock, Store
from rental.service.orders import desired_now


@dataclass(frozen=True)
class Binding:
    """An instance that is wanted running, and its numbers on the proxy; None where it has no such way in."""

    instance_id: InstanceId
    proxy_ssh_port: int | None
    proxy_jupyter_port: int | None


@dataclass(frozen=True)
class Proxying:
    store: Store
    clock: Clock

    def bindings_of_host(self, host_id: HostId) -> list[Binding]:
        """Read consistently: what is stopped, expired, over or on a host that was given up is led to no more."""
        manifest = self.store.read_manifest(host_id)
        if manifest is None or manifest.retired is not None:
            return []
        wanted = [
            contract_id
            for contract_id, claim in manifest.claims.items()
            if any(each.desired is Desired.RUNNING for each in claim.instances.values())
        ]
        now = self.clock.now()
        return [binding for contract in self.store.read_contracts(wanted) for binding in _bindings(contract, now)]


def _bindings(contract: Contract, now: int) -> Iterator[Binding]:
    if not contract.is_live or contract.status is ContractStatus.EXPIRED or contract.is_past_end(now):
        return
    for each in contract.instances:
        if desired_now(each) is Desired.RUNNING and each.proxy_ports:
            yield Binding(each.id, each.proxy_ssh_port, each.proxy_jupyter_port)
