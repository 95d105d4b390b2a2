"""One bridge network per contract: the lowest free /28 of a pool, and an interface name the static rules know.

Docker refuses a range it uses itself, but knows nothing of other Docker Engines and VPNs on the machine; so the
machine's routes are read too, under a lock that every daemon here takes.
"""

from __future__ import annotations

import fcntl
import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gpulease_host.docker_engine import bridges
from gpulease_host.docker_engine.container_config import CONTRACT_LABEL, HOST_LABEL
from gpulease_host.docker_engine.docker_api import DockerApi, RefusedError
from gpulease_host.docker_engine.routes import DEVICES, Route, default_mtu, networks_of, routes
from gpulease_host.engine import EngineError

PREFIX = "gl-"
CONTRACT_PREFIX_LENGTH = 28
LOCK = Path("/run/gpulease-networks.lock")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class NetworkPoolError(EngineError):
    """Every /28 of the pool is taken."""

    code = "network_pool_used_up"


def network_name(contract_id: int) -> str:
    """Also the name of the bridge: at most 14 of the 15 characters Linux allows, as ids have 53 bits."""
    digits = ""
    while contract_id:
        contract_id, digit = divmod(contract_id, 36)
        digits = _DIGITS[digit] + digits
    return PREFIX + (digits or "0")


class ContractNetworks:
    def __init__(
        self,
        api: DockerApi,
        host_id: int,
        pool: str,
        lock: Path = LOCK,
        read_routes: Callable[[], Sequence[Route]] = routes,
        devices: Path = DEVICES,
    ) -> None:
        self._api = api
        self._host_id = host_id
        self._pool = ipaddress.IPv4Network(pool)
        self._lock = lock
        self._routes = read_routes
        self._devices = devices

    def ensure(self, contract_id: int) -> None:
        with self._alone():
            found = self._routes()
            try:
                self._create(contract_id, networks_of(found), self._mtu(found))
            except NetworkPoolError:
                raise
            except RefusedError as error:
                if error.status != 409:
                    raise

    def remove_if_unused(self, contract_id: int) -> None:
        """With the contract's last container; one that is only stopped still needs its network."""
        if not self._api.list_containers(f"{CONTRACT_LABEL}={contract_id}"):
            self._remove(network_name(contract_id))

    def remove_all(self) -> None:
        """Every network of this host. Docker refuses for one that a container is still on."""
        for name in self._api.network_names(f"{HOST_LABEL}={self._host_id}"):
            self._remove(name)

    def _remove(self, name: str) -> None:
        """With its bridge, also where Docker has forgotten the one or the other."""
        was_known = True
        try:
            self._remove_from_docker(name)
        except RefusedError as error:
            if error.status != 404:
                raise
            was_known = False
        if bridges.exists(name) or not was_known:
            bridges.clear(name)

    def _remove_from_docker(self, name: str) -> None:
        """Docker may count containers on it that are gone: it was killed while it removed them."""
        try:
            self._api.remove_network(name)
        except RefusedError as error:
            if "active endpoints" not in str(error):
                raise
            for member in self._api.members(name):
                self._api.disconnect(member, name)
            self._api.remove_network(name)

    def _mtu(self, found: Sequence[Route]) -> int | None:
        """What its owner gave Docker's own network, and no more than the way out takes: Docker gives others 1500."""
        return min(filter(None, (self._api.default_mtu(), default_mtu(found, self._devices))), default=None)

    def _create(self, contract_id: int, taken: list[ipaddress.IPv4Network], mtu: int | None) -> None:
        """Docker's own ranges are asked for only when it refuses one: those of bridges are routes already."""
        subnet = lowest_free(self._pool, taken)
        try:
            self._api.create_network(self._body(contract_id, subnet, mtu))
        except RefusedError as error:
            if "overlap" not in str(error):
                raise
            known = [ipaddress.ip_network(subnet) for subnet in self._api.subnets()]
            known_v4 = [network for network in known if isinstance(network, ipaddress.IPv4Network)]
            subnet = lowest_free(self._pool, [*taken, *known_v4, subnet])
            self._api.create_network(self._body(contract_id, subnet, mtu))

    def _body(self, contract_id: int, subnet: ipaddress.IPv4Network, mtu: int | None) -> dict[str, object]:
        # Docker would choose the same gateway. But killed while it removes a network whose gateway it chose, Docker
        # 20.10 panics at each start from then on (libnetwork's reservePools).
        name, gateway = network_name(contract_id), str(subnet[1])
        options = {"com.docker.network.bridge.name": name}
        if mtu is not None:
            options["com.docker.network.driver.mtu"] = str(mtu)
        return {
            "Name": name,
            "CheckDuplicate": True,
            "Driver": "bridge",
            "EnableIPv6": False,
            "IPAM": {"Driver": "default", "Config": [{"Subnet": str(subnet), "Gateway": gateway}]},
            "Options": options,
            "Labels": {HOST_LABEL: str(self._host_id), CONTRACT_LABEL: str(contract_id)},
        }

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            file = self._lock.open("w")
        except OSError as error:
            raise EngineError(f"No network can be made for a contract: {error}") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def lowest_free(pool: ipaddress.IPv4Network, taken: Iterable[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
    """A route that spans the whole pool does not take it: the bridge's own is more specific."""
    within = [network for network in taken if network.overlaps(pool) and not network.supernet_of(pool)]
    within += [network for network in taken if network == pool]
    for subnet in pool.subnets(new_prefix=CONTRACT_PREFIX_LENGTH):
        if not any(subnet.overlaps(network) for network in within):
            return subnet
    raise NetworkPoolError(f"Every /{CONTRACT_PREFIX_LENGTH} of {pool} is taken.")
