"""Leaving: everything that this host has made in Docker and in the kernel goes, and nothing of anybody else.

It is refused while instances are here, unless whoever asks says that their data may be lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from gpulease_host.engine import Container
from gpulease_host.ledger import Ledger
from gpulease_host.machine_setup.errors import MachineSetupError
from gpulease_host.removal import Remover, remove_all
from gpulease_host.settings import HostConfig, Settings, lock_folder


class HostLeftovers(Remover, Protocol):
    """Of one host."""

    def containers(self) -> list[Container]: ...

    def remove_networks(self) -> None: ...

    def remove_images(self) -> int:
        """Those that this host pulled and that nothing else uses."""
        ...

    def remove_shared(self) -> bool:
        """Firewall chains and control group, unless another host of this machine uses them."""
        ...

    def remove_mark(self) -> None:
        """Of this host in Docker's data, by which its daemon knows that Docker."""
        ...


@dataclass(frozen=True)
class Leaving:
    settings: Settings
    open_leftovers: Callable[[int], HostLeftovers]

    def leave(self, *, lose_data: bool) -> Iterator[str]:
        """What was done, as it is done. Raises MachineSetupError, SettingsError and EngineError."""
        if not self.settings.config_path.exists():
            yield "this machine is registered as no host"
            return
        host_id = HostConfig.load(self.settings.config_path).host_id
        with lock_folder(self.settings.pid_path):
            leftovers = self.open_leftovers(host_id)
            containers = leftovers.containers()
            here = self._instances(host_id, containers)
            if here and not lose_data:
                raise MachineSetupError(_refusal(here))
            remove_all(leftovers, containers, self.settings.stop_grace_s)
            leftovers.remove_networks()
            yield f"{len(containers)} containers of host {host_id} removed, and its networks"
            yield f"{leftovers.remove_images()} images removed that it had pulled"
            gone = leftovers.remove_shared()
            leftovers.remove_mark()  # last: until then the daemon can go on, if something before this fails
            yield f"firewall chains and control group {'removed' if gone else 'stay: another host here uses them'}"

    def _instances(self, host_id: int, containers: list[Container]) -> dict[int, str]:
        """Also those that have no container yet, or none any more while their contract lasts."""
        found: dict[int, str] = {}
        if self.settings.journal_path.exists():
            ledger = Ledger.open(self.settings.journal_path, host_id, time.time)
            for instance_id, record in ledger.view().records.items():
                if record.tombstone_at is None:
                    found[instance_id] = (
                        f"instance {instance_id} of contract {record.order.contract_id}: {record.status}"
                    )
            ledger.close()
        for each in containers:
            found.setdefault(
                each.instance_id, f"instance {each.instance_id} of contract {each.contract_id}: {each.status}"
            )
        return found


def _refusal(here: dict[int, str]) -> str:
    lines = "\n".join(f"  {here[instance]}" for instance in sorted(here))
    return (
        f"Contracts have instances here:\n{lines}\nWait until they have ended (GET /v1/hosts/{{id}} names them), or "
        "say --lose-data: their containers and all data in them are removed then, for good, and their clients lose "
        "what they have paid for."
    )
