"""The lifecycle tables, over all pairs."""

from itertools import product

import pytest

from rental.domain.errors import TransitionError
from rental.domain.lifecycle import (
    CONTRACT_TRANSITIONS,
    INSTANCE_TRANSITIONS,
    ContractStatus,
    InstanceStatus,
    check_contract_transition,
    check_instance_transition,
)

CONTRACT_ARROWS = {
    ("pending", "active"),
    ("pending", "failed"),
    ("pending", "ending"),
    ("active", "expired"),
    ("active", "ending"),
    ("expired", "active"),
    ("expired", "deleting"),
    ("expired", "ending"),
    ("ending", "deleted"),
    ("deleting", "deleted"),
}
"""As drawn over the tables: no others."""


@pytest.mark.parametrize(("before", "after"), list(product(ContractStatus, ContractStatus)))
def test_a_contract_changes_only_along_the_drawn_arrows(before: ContractStatus, after: ContractStatus) -> None:
    if (before, after) in CONTRACT_ARROWS:
        check_contract_transition(before, after)
    else:
        with pytest.raises(TransitionError):
            check_contract_transition(before, after)


@pytest.mark.parametrize(("before", "after"), list(product(InstanceStatus, InstanceStatus)))
def test_an_instance_changes_only_along_its_table(before: InstanceStatus, after: InstanceStatus) -> None:
    if before is after or after in INSTANCE_TRANSITIONS[before]:
        check_instance_transition(before, after)
    else:
        with pytest.raises(TransitionError):
            check_instance_transition(before, after)


def test_the_tables_name_every_status() -> None:
    assert set(CONTRACT_TRANSITIONS) == set(ContractStatus)
    assert set(INSTANCE_TRANSITIONS) == set(InstanceStatus)


def test_what_is_over_stays_over() -> None:
    assert not CONTRACT_TRANSITIONS[ContractStatus.DELETED]
    assert not CONTRACT_TRANSITIONS[ContractStatus.FAILED]
    assert not INSTANCE_TRANSITIONS[InstanceStatus.REMOVED]


def test_any_instance_can_fall_silent_and_be_removed() -> None:
    for status in set(InstanceStatus) - {InstanceStatus.REMOVED, InstanceStatus.OFFLINE}:
        assert {InstanceStatus.OFFLINE, InstanceStatus.REMOVED} <= INSTANCE_TRANSITIONS[status]


def test_a_container_runs_only_after_it_was_asked_to() -> None:
    asked = {InstanceStatus.CREATING, InstanceStatus.LOADING, InstanceStatus.OFFLINE}
    assert {before for before, after in INSTANCE_TRANSITIONS.items() if InstanceStatus.RUNNING in after} == asked
