"""A service with one rental, as items of its tables and as events for its functions.

Made by the service's own rules: a listed host with a registered machine, a contract whose container starts, and one
whose container runs.
"""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from gpulease_host.machine_key import MachineKey, to_b64
from rental.adapters.authority import X509Authority
from rental.adapters.authority_store import ItemAuthorityStore
from rental.adapters.items import account_item, api_key_item
from rental.adapters.machine_tokens import make_machine_key
from rental.adapters.memory.table import MemoryTable
from rental.adapters.sealing import HpkeSealer
from rental.adapters.sqs import dump_bell
from rental.adapters.store import ItemStore
from rental.adapters.system import SystemClock
from rental.domain.access import Account, ApiKey, Role, key_id_of
from rental.domain.allocation import Listing, Manifest
from rental.domain.book import Bell, Book
from rental.domain.contract import Contract, Launch
from rental.domain.host import Gpu, Host, HostStatus, Inventory
from rental.domain.ids import ContractId, HostId, InstanceId, OfferId
from rental.domain.lifecycle import ContractStatus, InstanceStatus
from rental.domain.renting import Drawn, RentalRequest, RentalTerms, open_contract
from rental.domain.shares import GIB
from rental.domain.tunnel import TunnelKeyPlace
from rental.ports import Extras, OfferPlace

HOST = HostId(7)
CONTRACT, RUNNING = ContractId(100), ContractId(200)
OFFER = OfferId(1001)
CLIENT, OWNER = "client", "owner"
AUTHORITY_KEY, ZONE = "authority-key", "localhost"
TUNNEL_KEY = "f" * 64
"""Fingerprint of the key with which the host logs in to proxies."""
API_KEY = "gl_client_of-the-bench"
TERMS = RentalTerms(grace_s=172_800, provision_timeout_s=600)
SECRETS = {"env": {"A": "b"}, "entrypoint": None, "args": ["sleep", "600"], "onstart": None, "login": None}
INVENTORY = Inventory(
    gpus=tuple(Gpu(index, f"GPU-{index}", "GPU", 80 * GIB) for index in range(4)),
    simulated=True,
    cpus=64,
    memory_bytes=256 * GIB,
    disk_bytes=100 * GIB,
    disk_enforced=True,
    unenforced=("io",),
    driver_version=None,
    docker_version="20.10.24",
    cgroup_version=1,
    hostname="machine",
)


@dataclass(frozen=True)
class Rented:
    """`items` are of the table, `presences` of the liveness table: the host was heard just now."""

    machine: MachineKey
    items: list[dict[str, Any]]
    _seq: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def presences(self) -> list[dict[str, Any]]:
        now = int(time.time())
        seen = {"boot_id": "boot", "since_seq": 0, "seq": 0, "sent_at": now, "seen_at": now, "phase": "settled"}
        return [{"host_id": HOST, "rev": 1} | seen]

    def report(self, status: str) -> dict[str, Any]:
        """The machine's word, signed now, that the rented container has this status."""
        said = {"contract_id": CONTRACT, "instance_id": CONTRACT, "generation": 1, "token": 1, "status": status}
        said |= {"reason": None, "exit_code": None, "started_at": int(time.time()), "end_at": 0}
        claims = {"v": 1, "host_id": HOST, "boot_id": "boot", "seq": next(self._seq), "sent_at": int(time.time())}
        claims["state"] = {"instances": [said], "gpus": []}
        return {"detail": {"v": 1, "host_id": HOST, "jws": self.machine.sign(claims)}}

    def signed_fetch(self) -> tuple[str, str]:
        """The machine's request for the secrets of the rented container: body and token."""
        body = json.dumps({"v": 1, "contract_id": CONTRACT, "instance_id": CONTRACT, "generation": 1, "token": 1})
        return body, self.machine.sign_request(HOST, "POST", "/v1/host/fetch", body.encode(), int(time.time()))


def make_rented() -> Rented:
    now = int(time.time())
    machine = MachineKey.generate()
    key = make_machine_key(to_b64(machine.signing_public), to_b64(machine.sealing_public))
    offers = {1: OFFER, 2: OfferId(1002), 4: OfferId(1004)}
    listing = Listing(1_250_000, 150_000, now + 86_400, 1, False, 1, offers)
    manifest = Manifest(HOST, OWNER, INVENTORY, INVENTORY.disk_bytes, listing)
    host = Host(
        HOST, OWNER, "", HostStatus.ACTIVE, now, "0" * 64, now, "activation", "mi-7", key, INVENTORY, TUNNEL_KEY
    )
    table = MemoryTable()
    store = ItemStore(table, lambda: "commit")
    store.create_host(host)
    place = OfferPlace(OFFER, HOST, 1)
    listed = store.commit(
        Book(manifest), Book(manifest), Extras(new_offers=(place,), tunnel_key=TunnelKeyPlace(TUNNEL_KEY, HOST))
    )
    sealed = HpkeSealer().seal(key, CONTRACT, json.dumps(SECRETS).encode())
    request = RentalRequest(CLIENT, OFFER, 1, "", Launch("alpine:3", env_keys=("A",), sealed=sealed), 10, 3600, 1)
    rented = open_contract(listed.manifest, request, TERMS, Drawn([CONTRACT]), now)
    waiting = rented.with_contract(replace(rented.contract(CONTRACT), task_tokens={"provision": "token"}))
    first = Book(store.commit(listed, waiting).manifest)
    second = open_contract(first.manifest, request, TERMS, Drawn([RUNNING]), now)
    store.commit(first, second.with_contract(_running(second.contract(RUNNING))))
    table.put(account_item(Account(CLIENT, "", now)) | {"rev": 1})
    table.put(api_key_item(ApiKey(key_id_of(API_KEY), CLIENT, Role.CLIENT, "", now)) | {"rev": 1})
    records = ItemAuthorityStore(table, lambda: "commit")
    X509Authority(ec.generate_private_key(ec.SECP256R1()), AUTHORITY_KEY, ZONE, records, SystemClock()).certificate()
    return Rented(machine, table.items())


def _running(contract: Contract) -> Contract:
    instances = tuple(each.become(InstanceStatus.RUNNING) for each in contract.instances)
    return replace(contract.become(ContractStatus.ACTIVE), instances=instances)


def bell_record() -> dict[str, Any]:
    bell = Bell(HOST, CONTRACT, InstanceId(CONTRACT), 1, False)
    return {"messageId": "1", "body": json.dumps(dump_bell(bell))}
