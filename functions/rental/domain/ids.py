"""Ids: integers of 53 bits, so that every JSON reader keeps them exact.

    52              21 20    15 14             0
    ┌─────────────────┬────────┬────────────────┐
    │ seconds (32)    │ cell(6)│ random (15)    │
    └─────────────────┴────────┴────────────────┘

They sort by time, name the cell they were made in, and are never reused: a write refuses an id that exists and
the caller draws again. Instances have no item of their own: the first has its contract's id, which ends in
INSTANCE_BITS zeros, and the others count on from it. So the write that refuses a contract's id keeps all instances
apart, on whatever hosts: names, certificates and routes of JupyterLab are made of their ids.
"""

from typing import NewType

ContractId = NewType("ContractId", int)
InstanceId = NewType("InstanceId", int)
HostId = NewType("HostId", int)
OfferId = NewType("OfferId", int)

CELL_BITS = 6
RANDOM_BITS = 15
INSTANCE_BITS = 4
MAX_ID = (1 << 53) - 1


def compose_id(seconds: int, cell: int, random: int) -> int:
    """Join the three parts; raises ValueError when one is too large."""
    if not (0 <= seconds < 1 << 32 and 0 <= cell < 1 << CELL_BITS and 0 <= random < 1 << RANDOM_BITS):
        raise ValueError(f"id parts out of range: {seconds}, {cell}, {random}")
    return seconds << (CELL_BITS + RANDOM_BITS) | cell << RANDOM_BITS | random


def cell_of(identifier: int) -> int:
    """The cell that made this id."""
    return identifier >> RANDOM_BITS & ((1 << CELL_BITS) - 1)
