"""The whole way to a host behind NAT: the service's own handlers, a real proxy, and the host's own tunnels."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gpulease_host.api import Api, MachineAuth
from gpulease_host.backoff import Backoff
from gpulease_host.log import Log
from gpulease_host.tunnels.connection import SshConnection
from gpulease_host.tunnels.forwards import Way, forwards
from gpulease_host.tunnels.proxies import parse_proxies
from gpulease_host.tunnels.proxy_link import ProxyLink
from gpulease_host.tunnels.tunnel_key import TunnelKey
from handlers import on_instance_changed
from local.ports import free_port
from rental.adapters import wiring
from rental.adapters.items import Guarded, principal_key
from rental.domain.ids import ContractId
from tests.fakes.gateway import serve
from tests.fakes.machine import Machine
from tests.handlers.conftest import Site, reported
from tests.proxy.echo import Echo, name_at
from tests.proxy.rig import ProxyRig, account, wait_for
from tests.proxy.service import KEY


@dataclass(frozen=True)
class Service:
    url: str


@dataclass(frozen=True)
class Signing:
    machine: Machine

    def sign_request(self, host_id: int, method: str, path: str, body: bytes, now: int) -> str:
        return self.machine.sign_request(path, body, now)


@pytest.fixture
def proxy(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProxyRig]:
    """With an API key of its role, and known to the service."""
    pk, sk = principal_key(hashlib.sha256(KEY.encode()).hexdigest())
    item = {"pk": pk, "sk": sk, "v": 1, "account": "proxies", "role": "proxy"}
    wiring.store().table.transact([Guarded((pk, sk), item)])
    folder = Path(tempfile.mkdtemp(prefix="gpulease-proxy-"))
    folder.chmod(0o755)
    with serve() as url:
        rig = ProxyRig(folder, "127.0.0.1", Service(url)).start()
        end = {"address": rig.address, "port": rig.tunnel_port, "user": account(), "host_key": rig.host_key}
        end |= {"public_address": rig.address, "loopback_address": rig.address}
        monkeypatch.setenv("TUNNEL_ENDS", json.dumps([end]))
        yield rig
        rig.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo("container")
    yield server
    server.close()


def rent_at(site: Site, port: int) -> ContractId:
    """A contract that runs and whose instance has this number."""
    contract_id = ContractId(site.rented())
    on_instance_changed.handler(site.event([reported(contract_id)]), None)
    contract = wiring.store().read_contract(contract_id)
    assert contract is not None
    before = wiring.ledger().open_book(contract.host_id, [contract.id])
    numbered = replace(contract.instances[0], proxy_ssh_port=port)
    wiring.store().commit(before, before.with_contract(replace(contract, instances=(numbered,))))
    return contract_id


def test_a_client_reaches_a_container_until_its_contract_is_stopped(
    site: Site, proxy: ProxyRig, echo: Echo, tmp_path: Path
) -> None:
    port = free_port()
    contract_id = rent_at(site, port)
    key = TunnelKey.provide(tmp_path / "tunnel.key")
    api = Api(proxy.service.url, MachineAuth(Signing(site.machine), site.host_id, time.time))
    (end,) = parse_proxies(api.open_tunnel(key.public))
    log = io.StringIO()

    def join() -> ProxyLink:
        return ProxyLink(end, key.path, SshConnection.open, Backoff(0.2, 1.0, lambda: 0.5), Log(log, time.time))

    wanted = forwards(end, [Way(contract_id, port, True, "127.0.0.1", echo.port)])

    def looking(link: ProxyLink, what: Callable[[], bool]) -> Callable[[], bool]:
        def look() -> bool:
            link.step(wanted, time.monotonic())
            return what()

        return look

    link = join()
    wait_for(looking(link, lambda: name_at(proxy.address, port) == "container"), proxy.said)
    link.close()

    assert site.on_contract("POST", contract_id, "/stop").status == 200
    stopped = join()
    wait_for(looking(stopped, lambda: "Permission denied" in log.getvalue()), proxy.said)
    assert name_at(proxy.address, port) is None
    stopped.close()
