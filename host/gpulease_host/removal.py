"""The end of all containers of a host that is one no more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from gpulease_host.engine import Container, EngineError


class Remover(Protocol):
    def stop(self, instance_id: int, grace_s: int = 10) -> None: ...

    def remove(self, contract_id: int, instance_id: int) -> None: ...


def remove_all(remover: Remover, containers: Iterable[Container], grace_s: int) -> None:
    """Each on its own: what fails for one is raised once the others are gone."""
    faults: list[EngineError] = []
    for each in containers:
        try:
            remover.stop(each.instance_id, grace_s)
            remover.remove(each.contract_id, each.instance_id)
        except EngineError as error:
            faults.append(error)
    if faults:
        raise faults[0]
