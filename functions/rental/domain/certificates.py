"""What the service's authority vouches for when an instance's JupyterLab asks for a certificate, and for how long.

The names are the service's word alone: nothing but the public key is taken from who asks.
"""

import ipaddress
from dataclasses import dataclass

from rental.domain.contract import Contract
from rental.domain.errors import ConflictError, NotCurrentError
from rental.domain.ids import InstanceId

DAY_S = 86_400
LIFE_S = 30 * DAY_S
AFTER_END_S = DAY_S
"""Whoever rents can read the key, and the next one on that host has the same address: not for long after the end. A
day is enough for a host that hears late of an extension."""
BACKDATED_S = 3600
"""For clocks that are behind."""


@dataclass(frozen=True)
class Vouched:
    """What a certificate says; times in epoch seconds."""

    instance_id: InstanceId
    address: str
    dns_name: str
    not_before: int
    not_after: int


def vouch(contract: Contract, instance_id: InstanceId, address: str, zone: str, now: int) -> Vouched:
    """Raises NotCurrentError for an instance that needs no certificate."""
    if contract.launch.mode != "jupyter":
        raise NotCurrentError(f"This instance is of mode {contract.launch.mode} and needs no certificate.")
    not_after = min(now + LIFE_S, contract.end_at + AFTER_END_S)
    return Vouched(instance_id, address, f"j-{instance_id}.{zone}", now - BACKDATED_S, not_after)


def address_of(source: str, declared: str | None) -> str:
    """The address that a host is reached at: the one it asks from. Raises ConflictError where another is declared."""
    seen = ipaddress.ip_address(source)
    if declared is not None and seen != ipaddress.ip_address(declared):
        raise ConflictError(f"The host asks from {seen}, and its owner declared {declared}. Declare the right address.")
    return str(seen)
