"""Where people get into an instance, told from the numbers that it holds: what clients are shown."""

from dataclasses import dataclass

from rental.domain.contract import Contract, Instance
from rental.domain.ways_in import JUPYTER, SSH, ContainerPort, JupyterVia, Proxy


@dataclass(frozen=True)
class SshWay:
    address: str
    port: int
    user: str = "root"

    @property
    def command(self) -> str:
        return f"ssh -p {self.port} {self.user}@{self.address}"


@dataclass(frozen=True)
class JupyterWay:
    via: JupyterVia
    url: str


def direct_ssh_way(contract: Contract, instance: Instance) -> SshWay | None:
    port = _published(instance, SSH) if contract.launch.mode != "args" else None
    return SshWay(contract.address, port) if contract.address is not None and port is not None else None


def proxy_ssh_way(instance: Instance, proxy: Proxy | None) -> SshWay | None:
    """On the first proxy; the others take the same number."""
    if proxy is None or instance.proxy_ssh_port is None or instance.is_removed:
        return None
    return SshWay(proxy.addresses[0], instance.proxy_ssh_port)


def jupyter_way(contract: Contract, instance: Instance, proxy: Proxy | None) -> JupyterWay | None:
    """Over the proxy by name, at one port for all: the proxy tells by the name where it leads."""
    match contract.launch.jupyter_via:
        case "direct":
            port = _published(instance, JUPYTER)
            if contract.address is None or port is None:
                return None
            return JupyterWay("direct", f"https://{_in_url(contract.address)}:{port}/")
        case "proxy":
            if proxy is None or instance.proxy_jupyter_port is None or instance.is_removed:
                return None
            return JupyterWay("proxy", proxy.jupyter_url(instance.id))
        case None:
            return None


def _published(instance: Instance, wanted: ContainerPort) -> int | None:
    """Its number on the host, while it is not gone."""
    found = (each.host for each in instance.ports if (each.container, each.protocol) == (wanted.container, "tcp"))
    return None if instance.is_removed else next(found, None)


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
