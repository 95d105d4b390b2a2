"""How ports and ways into an instance look in answers."""

from typing import Any

from rental.domain.contract import Contract, Instance
from rental.domain.ways_in import Proxy
from rental.domain.ways_into import SshWay, direct_ssh_way, jupyter_way, proxy_ssh_way


def present_ports(contract: Contract, instance: Instance) -> dict[str, Any]:
    """Nothing once it is gone: others may have the numbers by then."""
    ports = instance.ports if not instance.is_removed else ()
    return {f"{each.container}/{each.protocol}": {"address": contract.address, "port": each.host} for each in ports}


def present_access(contract: Contract, instance: Instance, proxy: Proxy | None) -> dict[str, Any]:
    jupyter = jupyter_way(contract, instance, proxy)
    return {
        "ssh": {
            "direct": _present_ssh(direct_ssh_way(contract, instance)),
            "proxy": _present_ssh(proxy_ssh_way(instance, proxy)),
            "host_key": instance.ssh_host_key,
        },
        "jupyter": {"via": jupyter.via, "url": jupyter.url} if jupyter is not None else None,
    }


def _present_ssh(way: SshWay | None) -> dict[str, Any] | None:
    if way is None:
        return None
    return {"address": way.address, "port": way.port, "user": way.user, "command": way.command}
