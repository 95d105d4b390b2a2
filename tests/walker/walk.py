"""Every check of the walker, by what must never happen; a walk answers the sentences of all that does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.walker import ends, exclusive, history, leftovers, numbers, ownership, rest
from tests.walker.snapshot import Snapshot

Check = Callable[[Snapshot], Iterator[str]]

ALWAYS: dict[str, tuple[Check, ...]] = {
    "I1": (
        exclusive.two_holders_in_the_table,
        exclusive.leases_that_differ,
        exclusive.two_containers_on_a_gpu,
        exclusive.gpus_of_others,
        numbers.host_ports_that_differ,
        numbers.proxy_numbers_that_differ,
    ),
    "I2": (
        exclusive.disk_promised_beyond_the_host,
        exclusive.claims_that_differ,
        exclusive.disk_beyond_the_machine,
    ),
    "I3": (ends.running_past_the_end,),
    "I4": (ends.data_gone_too_early, ends.deleted_before_the_promise),
    "I5": (ends.expired_and_wanted_running, ends.begun_while_expired, ends.started_after_the_end),
    "I7": (ownership.owners_that_differ, ownership.places_in_indexes_that_differ),
    "I9": (history.gaps_in_timelines, history.ways_that_are_not_drawn),
}
"""What holds at every moment. I8 and I10 need to know what was answered and what was planted: see their modules."""

AT_REST: dict[str, tuple[Check, ...]] = {
    "I6": (
        leftovers.held_in_the_table,
        leftovers.kept_by_a_contract_that_is_over,
        leftovers.executions_of_what_is_over,
        leftovers.containers_of_what_is_over,
        leftovers.networks_of_nobody,
        leftovers.groups_and_files_of_nobody,
        leftovers.rules_of_nobody,
        leftovers.journal_entries_of_what_is_over,
    ),
    "rest": (
        rest.contracts_under_way,
        rest.instances_under_way,
        rest.lives_without_an_execution,
        rest.orders_not_known_to_the_host,
    ),
}
"""What holds once everything has come to rest."""


def walk(seen: Snapshot) -> list[str]:
    """Every violation in a snapshot of what should be at rest."""
    return [
        f"{name}: {found}" for name, checks in (ALWAYS | AT_REST).items() for check in checks for found in check(seen)
    ]
