"""I8: what was answered with a 2xx is in the table, with its effect or a later one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rental.domain.contract import Contract
from rental.domain.ids import ContractId
from rental.domain.lifecycle import ContractStatus
from tests.walker.snapshot import Snapshot

IRREVERSIBLE = frozenset({ContractStatus.ENDING, ContractStatus.DELETING, ContractStatus.DELETED})


@dataclass(frozen=True)
class Acknowledged:
    """A request that was answered with a 2xx; `answer` is the contract as it was shown."""

    request: str
    answer: Mapping[str, Any]


def lost_requests(seen: Snapshot, acknowledged: Iterable[Acknowledged]) -> Iterator[str]:
    for each in acknowledged:
        contract = seen.tables.contracts.get(ContractId(each.answer["id"]))
        if contract is None:
            yield f"{each.request} was answered, and its contract {each.answer['id']} is not there"
            continue
        for lost in _lost_effects(contract, each.answer):
            yield f"{each.request} was answered, and {lost}"


def _lost_effects(contract: Contract, answer: Mapping[str, Any]) -> Iterator[str]:
    if contract.end_at < answer["end_at"]:
        yield f"the end is {contract.end_at}, not {answer['end_at']}"
    if answer["status"] in IRREVERSIBLE and contract.status not in IRREVERSIBLE:
        yield f"contract {contract.id} is {contract.status}, no longer {answer['status']}"
    now = {instance.id: instance for instance in contract.instances}
    for shown in answer["instances"]:
        instance = now.get(shown["id"])
        if instance is None or instance.generation < shown["generation"]:
            found = "nothing" if instance is None else instance.generation
            yield f"the generation of instance {shown['id']} is {found}, not {shown['generation']}"
