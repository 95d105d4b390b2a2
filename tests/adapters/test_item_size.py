"""A host's manifest is one item, and DynamoDB takes 400 KB: the most that a host may carry fits with room to spare."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer

from rental.adapters.items import manifest_item
from rental.api.readiness import MAX_NOT_READY, MAX_SENTENCE
from rental.domain.allocation import (
    MAX_CONTRACTS_PER_HOST,
    MAX_INSTANCES_PER_HOST,
    Claim,
    ClaimedInstance,
    Manifest,
    Waiter,
)
from rental.domain.ids import MAX_ID, ContractId, InstanceId
from rental.domain.lifecycle import Desired, InstanceStatus
from rental.domain.publishing import MAX_PORTS_PER_HOST
from rental.domain.readiness import MODES, Readiness
from rental.domain.ways_in import LAST_PORT
from tests.fakes.builders import make_manifest

ITEM_BYTES = 400 * 1024
LATER = 1 << 32
MANY = 10**6
LONGEST = "\U0001f600" * MAX_SENTENCE
"""Four bytes each."""


@pytest.mark.parametrize(("gpus", "instances"), [(64, 1), (64, 4), (64, 8), (64, 64), (8, 8)])
def test_the_fullest_manifest_fits_an_item(gpus: int, instances: int) -> None:
    contracts = min(MAX_CONTRACTS_PER_HOST, MAX_INSTANCES_PER_HOST // instances)
    manifest = crowded(gpus, contracts, instances)
    assert manifest.count_instances() == contracts * instances
    assert item_bytes(manifest_item(manifest)) < 0.95 * ITEM_BYTES


def crowded(gpus: int, contracts: int, instances: int) -> Manifest:
    """Every contract holds all GPUs, and all of its instances wait: nothing takes more room. Every port is held."""
    each = gpus // instances
    ports = tuple(range(LAST_PORT - MAX_PORTS_PER_HOST // contracts // 2, LAST_PORT))
    claims, waiters = {}, []
    for number in range(contracts):
        contract_id = ContractId(MAX_ID - number * instances)
        held = {}
        for place in range(instances):
            indexes = tuple(range(place * each, (place + 1) * each))
            instance_id = InstanceId(contract_id - place)
            held[instance_id] = ClaimedInstance(
                MANY, Desired.RUNNING, InstanceStatus.SCHEDULING, indexes, MANY, LATER, None
            )
            waiters.append(Waiter(contract_id, instance_id, indexes, LATER))
        claims[contract_id] = Claim(LATER, LATER, 1 << 50, held, ports, ports, instances)
    told = Readiness(dict.fromkeys(MODES, LONGEST), (LONGEST,) * MAX_NOT_READY)
    return replace(make_manifest(gpus), claims=claims, waiters=tuple(waiters), readiness=told)


def item_bytes(item: Mapping[str, Any]) -> int:
    """By DynamoDB's rule: names and values, half of a number's digits and one, 3 and 1 each for a document; bytes."""
    serialize = TypeSerializer().serialize
    return sum(len(name.encode()) + value_bytes(serialize(value)) for name, value in item.items())


def value_bytes(typed: Mapping[str, Any]) -> int:
    ((kind, value),) = typed.items()
    match kind:
        case "S":
            return len(value.encode())
        case "N":
            return len(value) // 2 + 2
        case "M":
            return 3 + sum(1 + len(name.encode()) + value_bytes(each) for name, each in value.items())
        case "L":
            return 3 + sum(1 + value_bytes(each) for each in value)
        case _:
            return 1
