"""One contract on one host, everybody who could ask about it, and what each of them sends as proof."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from handlers import on_instance_changed
from rental.adapters import wiring
from rental.adapters.items import Guarded, account_item, api_key_item, host_item, key_ring_item, manifest_item
from rental.adapters.system import SystemClock
from rental.domain.access import Account, ApiKey, Role, key_id_of
from rental.domain.host import Host, HostStatus
from rental.domain.ids import HostId
from rental.domain.key_ring import KeyRing, NamedKey
from rental.domain.tunnel import fingerprint_of
from rental.service.tunneling import Tunneling
from tests.fakes.dynamo import items_of
from tests.fakes.gateway import Response, answer_of
from tests.fakes.machine import Machine, tunnel_key_of
from tests.fakes.ssh import make_line
from tests.handlers.conftest import Site, reported

REGISTRATION_SECRET = "registration-secret"
NEVER_MADE = "gl_admin_" + "A" * 43
STRANGER = "stranger"

Prove = Callable[[str, bytes], str]


@dataclass(frozen=True)
class Caller:
    """Who asks. `prove` makes the Authorization header of a request; `host_id` is a machine's own.

    A machine that `is_retired` was that host.
    """

    prove: Prove | None = None
    account: str | None = None
    role: str | None = None
    host_id: int | None = None
    is_retired: bool = False

    def headers(self, path: str, body: bytes) -> dict[str, str]:
        return {"authorization": self.prove(path, body)} if self.prove is not None else {}


class Scene:
    """`site` has the host, its owner and the client; the contract is no business of the stranger's."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.people = {"client": site.client.account, "owner": site.owner.account, STRANGER: STRANGER}
        self.revoked = Machine(site.number * 1000 + 996)
        self.neighbour = Machine(site.number * 1000 + 997)
        self.quarantined = Machine(site.number * 1000 + 998)
        self.joining = HostId(site.number * 1000 + 999)
        self.rotated = Machine(site.host_id)
        self.contract_id = site.rented(mode="jupyter", args=None)
        on_instance_changed.handler(site.event([reported(self.contract_id)]), None)
        self.ssh_key = NamedKey("laptop", make_line(1), site.now)
        ring = key_ring_item(KeyRing(site.client.account, (self.ssh_key,)))
        items = [*self._accounts(), *self._keys(), *self._hosts(), ring]
        wiring.store().table.transact([Guarded((item["pk"], item["sk"]), item | {"rev": 1}) for item in items])
        Tunneling(wiring.store(), SystemClock()).introduce(site.host_id, tunnel_key_of(site.number))
        wiring.access_store().delete_key(key_id_of(self._secret("revoked", Role.ADMIN)))

    def paths(self) -> dict[str, object]:
        """What stands in a path, by the name of its parameter."""
        return {
            "contract_id": self.contract_id,
            "host_id": self.site.host_id,
            "offer_id": self.site.number * 1000 + 1,
            "ssh_key_id": self.ssh_key.id,
            "key_id": key_id_of(self._secret("client", Role.CLIENT)),
            "fingerprint": fingerprint_of(tunnel_key_of(self.site.number)),
        }

    def parties(self, parameter: str) -> dict[str, str]:
        """To whom that belongs, by the role in which it is theirs; an offer is everybody's."""
        client, owner = self.people["client"], self.people["owner"]
        belongs = {
            "contract_id": {"client": client, "host": owner},
            "host_id": {"host": owner},
            "key_id": {"client": client},
            "ssh_key_id": {"client": client},
            "offer_id": {},
            "fingerprint": {},
        }
        return belongs[parameter]

    def callers(self) -> dict[str, Caller]:
        people = {
            f"{whose} as {role}": Caller(bearer(self._secret(whose, role)), account, role)
            for whose, account in self.people.items()
            for role in Role
        }
        machine = machine_token(self.site.machine)
        return people | {
            "nobody": Caller(),
            "a revoked key": Caller(bearer(self._secret("revoked", Role.ADMIN))),
            "a key that never was": Caller(bearer(NEVER_MADE)),
            "an empty key": Caller(bearer("")),
            "a name and password": Caller(lambda *_: "Basic dXNlcjpwYXNz"),
            "the machine": Caller(machine, host_id=self.site.host_id),
            "another machine": Caller(machine_token(self.neighbour), host_id=self.neighbour.host_id),
            "a machine with a key of its own making": Caller(machine_token(Machine(self.site.host_id))),
            "a machine that never registered": Caller(machine_token(Machine(self.joining))),
            "a quarantined machine": Caller(machine_token(self.quarantined)),
            "a revoked machine": Caller(machine_token(self.revoked), host_id=self.revoked.host_id, is_retired=True),
            "the machine, with its next key": Caller(machine_token(self.rotated)),
            "the machine, an hour ago": Caller(machine_token(self.site.machine, ago_s=3600)),
            "a machine token of nothing": Caller(lambda *_: "Machine a.b.c"),
            "the machine, as a bearer": Caller(lambda *asked: machine(*asked).replace("Machine", "Bearer")),
        }

    def ask(self, method: str, target: str, caller: Caller, body: Any = None) -> Response:
        content = json.dumps(body).encode() if body is not None else b""
        headers = {"content-type": "application/json", **caller.headers(target, content)}
        return answer_of(method, target, headers, content)

    def _secret(self, whose: str, role: str) -> str:
        return f"{self.site.number}: {whose} as {role}"

    def _accounts(self) -> list[dict[str, Any]]:
        return [account_item(Account(name, "", self.site.now)) for name in self.people.values() if name != STRANGER]

    def _keys(self) -> list[dict[str, Any]]:
        people = [(whose, role, account) for whose, account in self.people.items() for role in Role]
        people.append(("revoked", Role.ADMIN, self.people["client"]))
        return [
            api_key_item(ApiKey(key_id_of(self._secret(whose, role)), account, role, "", self.site.now))
            for whose, role, account in people
        ]

    def _hosts(self) -> list[dict[str, Any]]:
        """One that waits for its machine, one that was barred, and one beside ours."""
        site, digest = self.site, hashlib.sha256(REGISTRATION_SECRET.encode()).hexdigest()
        joining = Host(
            self.joining,
            site.owner.account,
            "",
            HostStatus.REGISTERING,
            site.now,
            digest,
            site.now + 3600,
            "activation",
        )
        host = wiring.store().read_host(site.host_id)
        manifest = wiring.store().read_manifest(site.host_id)
        assert host is not None
        assert manifest is not None
        barred = replace(
            host, id=HostId(self.quarantined.host_id), machine_key=self.quarantined.key, status=HostStatus.QUARANTINED
        )
        beside = replace(host, id=HostId(self.neighbour.host_id), owner=STRANGER, machine_key=self.neighbour.key)
        empty = replace(manifest, host_id=beside.id, owner=STRANGER, leases={}, claims={}, listing=None)
        retired = replace(
            host,
            id=HostId(self.revoked.host_id),
            machine_key=self.revoked.key,
            status=HostStatus.REVOKED,
            reason="Gone.",
        )
        return [*map(host_item, (joining, barred, beside, retired)), manifest_item(empty)]


def bearer(secret: str) -> Prove:
    return lambda *_: f"Bearer {secret}"


def machine_token(machine: Machine, ago_s: int = 0) -> Prove:
    return lambda path, body: f"Machine {machine.sign_request(path, body, int(time.time()) - ago_s)}"


def everything_kept() -> Any:
    """Both tables, item for item."""
    return [items_of("table"), items_of("liveness")]
