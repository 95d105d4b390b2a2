"""What a machine asks for itself, signed with its machine key: to be registered, its secrets, its whole manifest."""

import hashlib
import hmac
from dataclasses import dataclass, replace
from typing import Any

from rental.domain.allocation import Manifest
from rental.domain.book import Book
from rental.domain.contract import Contract, Instance, Sealed
from rental.domain.errors import BusyError, InvalidRequestError, NotCurrentError, UnauthenticatedError
from rental.domain.gpu_models import why_mixed
from rental.domain.host import Host, HostStatus, Inventory, MachineKey, check_not_retired
from rental.domain.ids import ContractId, HostId, InstanceId
from rental.domain.lifecycle import Desired
from rental.domain.readiness import Readiness
from rental.domain.refusal import Why
from rental.domain.running import check_may_run
from rental.ports import Clock, Extras, GuardFailedError, Nodes, Store, TakenError
from rental.service.orders import desired_now, order_of

NO_LONGER = "This is no longer wanted running. Start nothing; a newer order follows."


@dataclass(frozen=True)
class Fetched:
    """What an instance starts with: what only its host can open, and the public keys that it lets in."""

    sealed: Sealed
    ssh_keys: tuple[str, ...]


@dataclass(frozen=True)
class WholeState:
    """`sealed_key_ids` names the machine keys to which something of the host's contracts is sealed."""

    orders: list[dict[str, Any]]
    sealed_key_ids: list[str]


@dataclass(frozen=True)
class Machines:
    store: Store
    nodes: Nodes
    clock: Clock

    def register(self, token: str, key: MachineKey, inventory: Inventory, readiness: Readiness | None = None) -> Host:
        """Take a machine in, once. The same machine may repeat it; anyone else learns nothing.

        The token is `<host id>.<secret>`. Raises UnauthenticatedError, InvalidRequestError, BusyError.
        """
        host = self._host_of(token)
        check_not_retired(host)
        if host.machine_key is not None:
            if host.machine_key != key:
                text = "This registration token has been used. Ask the owner for a new one."
                raise UnauthenticatedError(text, why=Why.USED_TOKEN)
            return host
        if self.clock.now() >= host.registration_expires_at:
            text = "This registration token has expired. Ask the owner for a new one."
            raise UnauthenticatedError(text, why=Why.EXPIRED_TOKEN)
        mixed = why_mixed(inventory.gpus)
        if mixed is not None:
            raise InvalidRequestError(f"This machine cannot be registered. {mixed}")
        node_id = self.nodes.node_of(host.activation_id)
        if node_id is None:
            raise BusyError("The machine's agent has not reported yet. Wait a few seconds and register again.")
        active = replace(host, status=HostStatus.ACTIVE, node_id=node_id, machine_key=key, inventory=inventory)
        manifest = Manifest(
            host.id,
            host.owner,
            inventory,
            disk_free_bytes=inventory.disk_bytes,
            sealing_key_id=key.key_id,
            readiness=readiness or Readiness(),
        )
        try:
            book = Book(manifest)
            self.store.commit(book, book, Extras(host=active))
        except (GuardFailedError, TakenError) as error:
            raise BusyError("Another registration is under way. Register again.") from error
        return active

    def fetch(
        self, host_id: HostId, contract_id: ContractId, instance_id: InstanceId, order: tuple[int, int]
    ) -> Fetched:
        """What an instance needs to start, or to let in others: only while exactly this is wanted running.

        `order` is (generation, token). Raises NotCurrentError, ContractExpiredError, ContractOverError.
        """
        generation, token = order
        contract = contract_on_host(self.store, host_id, contract_id, self.clock.now())
        instance = check_wanted_running(contract, instance_id, generation)
        if instance.token != token or contract.launch.sealed is None:
            raise NotCurrentError(NO_LONGER)
        return Fetched(contract.launch.sealed, contract.launch.ssh_keys)

    def rotate_key(self, host_id: HostId, key: MachineKey, replaces: str) -> Host:
        """Believe only this key of the host from now on, and seal only to it. Repeats change nothing.

        `replaces` is the id of the key that asked for it: of two who ask with one key, the second asks in vain. The
        manifest changes with the host, so that whoever is sealing to the old key at this moment has to seal again.
        Raises NotCurrentError, UnauthenticatedError, BusyError.
        """
        host, manifest = self.store.read_host(host_id), self.store.read_manifest(host_id)
        if host is None or manifest is None:
            raise NotCurrentError("This host is not registered.")
        if host.machine_key == key:
            return host
        if host.machine_key is None or host.machine_key.key_id != replaces:
            raise UnauthenticatedError("Another machine key is in force by now.")
        rotated = replace(host, machine_key=key)
        before = Book(manifest)
        after = before.with_manifest(replace(manifest, sealing_key_id=key.key_id))
        try:
            self.store.commit(before, after, Extras(host=rotated))
        except GuardFailedError as error:
            raise BusyError("The host changed meanwhile. Send the same key again.") from error
        return rotated

    def manifest(self, host_id: HostId) -> WholeState:
        """Every order that the host should have applied, and the keys it still needs. Raises NotCurrentError."""
        manifest = self.store.read_manifest(host_id)
        if manifest is None:
            raise NotCurrentError("This host is not registered.")
        contracts = self.store.read_contracts(manifest.claims)
        orders = [order_of(contract, instance) for contract in contracts for instance in contract.instances]
        sealed = {contract.launch.sealed.key_id for contract in contracts if contract.launch.sealed is not None}
        return WholeState(orders, sorted(sealed))

    def _host_of(self, token: str) -> Host:
        host_id, _, secret = token.partition(".")
        host = self.store.read_host(HostId(int(host_id))) if host_id.isdecimal() and len(host_id) <= 16 else None
        expected = host.registration_sha256 if host is not None else ""
        if host is None or not hmac.compare_digest(hashlib.sha256(secret.encode()).hexdigest(), expected):
            raise UnauthenticatedError("This registration token is not known.", why=Why.UNKNOWN_TOKEN)
        return host


def contract_on_host(store: Store, host_id: HostId, contract_id: ContractId, now: int) -> Contract:
    """The contract, if this host has it and it may run now.

    Raises NotCurrentError, ContractExpiredError, ContractOverError.
    """
    contract = store.read_contract(contract_id)
    if contract is None or contract.host_id != host_id:
        raise NotCurrentError("This host has no such contract.", why=Why.FOREIGN)
    check_may_run(contract, now)
    return contract


def check_wanted_running(contract: Contract, instance_id: InstanceId, generation: int) -> Instance:
    """The instance, if this generation of it is wanted running now; raises NotCurrentError."""
    for instance in contract.instances:
        is_current = instance.generation == generation and desired_now(instance) is Desired.RUNNING
        if instance.id == instance_id and is_current:
            return instance
    raise NotCurrentError(NO_LONGER)
