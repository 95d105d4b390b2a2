"""The walker finds nothing in a healthy snapshot, and in each spoiled one exactly what was spoiled."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import pytest

from gpulease_host.memory import Memory
from rental.domain.allocation import Lease, Waiter
from rental.domain.contract import Sealed
from rental.domain.lifecycle import ContractStatus, Desired, InstanceStatus
from tests.fakes.builders import HOST
from tests.walker import ends, exclusive, leftovers, numbers, ownership, rest
from tests.walker.acknowledged import Acknowledged, lost_requests
from tests.walker.healthy import (
    RULE,
    first,
    healthy,
    second,
    third,
    with_container,
    with_contract,
    with_instance,
    with_items,
    with_line,
    with_machine,
    with_manifest,
    with_record,
    with_tables,
)
from tests.walker.history import gaps_in_timelines, ways_that_are_not_drawn, what_has_fallen, what_has_vanished
from tests.walker.secrecy import secrets_in_the_open
from tests.walker.snapshot import Snapshot
from tests.walker.walk import ALWAYS, AT_REST, Check, walk


class Spoiled(NamedTuple):
    check: Check
    spoil: Callable[[Snapshot], Snapshot]
    said: str


def late(seen: Snapshot, seconds: int = 100) -> Snapshot:
    """That long after the end of all contracts."""
    return replace(seen, at=first(seen).end_at + seconds)


def expired(seen: Snapshot, **changes: object) -> Snapshot:
    """The one that is stopped has expired."""
    return with_contract(
        with_line(seen, second(seen), status="expired", instance_id=None),
        replace(second(seen), seq=second(seen).seq + 1, status=ContractStatus.EXPIRED),
        **changes,
    )


def lease_of_the_over(seen: Snapshot) -> Snapshot:
    gone = third(seen).id
    leases = {**seen.tables.manifests[HOST].leases, 3: Lease(gone, third(seen).instances[0].id, 9)}
    return with_manifest(seen, leases=leases)


def waiter_of(seen: Snapshot, contract_id: int) -> Snapshot:
    contract = seen.tables.contracts[contract_id]  # type: ignore[index]
    return with_manifest(seen, waiters=(Waiter(contract.id, contract.instances[0].id, (1,), 0),))


def claim_of_the_over(seen: Snapshot) -> Snapshot:
    manifest = seen.tables.manifests[HOST]
    claims = {**manifest.claims, third(seen).id: manifest.claims[first(seen).id]}
    free = manifest.disk_free_bytes - manifest.claims[first(seen).id].disk_bytes
    return with_manifest(seen, claims=claims, disk_free_bytes=free)


def same_ports(seen: Snapshot) -> Snapshot:
    manifest = seen.tables.manifests[HOST]
    ports = manifest.claims[first(seen).id].tcp_ports
    return with_manifest(
        seen, claims={each: replace(claim, tcp_ports=ports) for each, claim in manifest.claims.items()}
    )


def smaller_claim(seen: Snapshot) -> Snapshot:
    manifest = seen.tables.manifests[HOST]
    claim = replace(manifest.claims[first(seen).id], disk_bytes=1)
    return with_manifest(seen, claims={**manifest.claims, first(seen).id: claim})


def container_of_the_over(seen: Snapshot) -> Snapshot:
    ghost = replace(seen.machine.containers[1], id="g", contract_id=third(seen).id, instance_id=third(seen).id)
    return with_machine(seen, containers=(*seen.machine.containers, ghost))


SPOILED = [
    Spoiled(
        exclusive.two_holders_in_the_table, lambda s: with_instance(s, second(s), token=8, gpu_indexes=(0,)), "GPU 0"
    ),
    Spoiled(exclusive.leases_that_differ, lambda s: with_manifest(s, leases={}), "its contract only"),
    Spoiled(exclusive.leases_that_differ, lambda s: with_instance(s, first(s), token=None), "the manifest only"),
    Spoiled(
        exclusive.two_containers_on_a_gpu,
        lambda s: with_container(s, 1, is_running=True, gpus=s.machine.containers[0].gpus),
        "is used by the running containers",
    ),
    Spoiled(exclusive.gpus_of_others, lambda s: with_container(s, 0, gpus=("GPU-0003",)), "runs with ['GPU-0003']"),
    Spoiled(numbers.host_ports_that_differ, same_ports, "is held by 2 contracts"),
    Spoiled(
        numbers.host_ports_that_differ, lambda s: with_contract(s, first(s), instances=second(s).instances), "published"
    ),
    Spoiled(
        numbers.proxy_numbers_that_differ,
        lambda s: with_instance(s, first(s), proxy_jupyter_port=None),
        "which does not have it",
    ),
    Spoiled(numbers.proxy_numbers_that_differ, lambda s: with_instance(s, first(s), proxy_ssh_port=7), "does not hold"),
    Spoiled(
        numbers.proxy_numbers_that_differ,
        lambda s: with_items(s, f"P#{first(s).proxy_ports[0]}", instance_id=third(s).id),
        f"is held by instance {third(healthy()).id}",
    ),
    Spoiled(exclusive.disk_promised_beyond_the_host, lambda s: with_manifest(s, disk_free_bytes=-1), "-1 free"),
    Spoiled(exclusive.claims_that_differ, smaller_claim, "claims 1 bytes"),
    Spoiled(exclusive.disk_beyond_the_machine, lambda s: with_machine(s, disk_bytes=5), "its file system has 5"),
    Spoiled(ends.running_past_the_end, late, "runs 100 s after the end"),
    Spoiled(ends.data_gone_too_early, lambda s: with_machine(s, containers=s.machine.containers[:1]), "is gone"),
    Spoiled(
        ends.deleted_before_the_promise,
        lambda s: with_line(s, second(s), status="deleting", at=second(s).delete_after - 1, instance_id=None),
        "was deleted at",
    ),
    Spoiled(
        ends.expired_and_wanted_running,
        lambda s: with_instance(expired(s), second(expired(s)), desired=Desired.RUNNING),
        "is wanted running",
    ),
    Spoiled(ends.expired_and_wanted_running, lambda s: waiter_of(expired(s), second(s).id), "waits for GPUs"),
    Spoiled(
        ends.begun_while_expired,
        lambda s: with_line(expired(s), second(expired(s)), status="loading", instance_id=second(s).id),
        "became loading while it was expired",
    ),
    Spoiled(
        ends.started_after_the_end,
        lambda s: with_container(s, 0, started_at=first(s).end_at + 2.5),
        "started 2.5 s after the end",
    ),
    Spoiled(ownership.owners_that_differ, lambda s: with_contract(s, first(s), owner="x"), "names x as its host's"),
    Spoiled(ownership.owners_that_differ, lambda s: with_manifest(s, owner="x"), "in its manifest x's"),
    Spoiled(
        ownership.places_in_indexes_that_differ,
        lambda s: with_items(s, f"C#{first(s).id}", gsi1pk="A#someone else"),
        "A#someone else",
    ),
    Spoiled(ownership.places_in_indexes_that_differ, lambda s: with_items(s, f"H#{HOST}", owner="x"), "W#x"),
    Spoiled(gaps_in_timelines, lambda s: with_contract(s, first(s), seq=9), "its last is 9"),
    Spoiled(ways_that_are_not_drawn, lambda s: with_line(s, third(s), status="active", instance_id=None), "to active"),
    Spoiled(
        ways_that_are_not_drawn, lambda s: with_line(s, third(s), status="running", instance_id=third(s).id), "went"
    ),
    Spoiled(ways_that_are_not_drawn, lambda s: with_contract(s, first(s), status=ContractStatus.EXPIRED), "ends with"),
    Spoiled(ways_that_are_not_drawn, lambda s: with_instance(s, first(s), status=InstanceStatus.EXITED), "ends with"),
    Spoiled(leftovers.held_in_the_table, lease_of_the_over, "GPU 3 of host"),
    Spoiled(leftovers.held_in_the_table, lambda s: waiter_of(s, third(s).id), "waits on host"),
    Spoiled(leftovers.held_in_the_table, claim_of_the_over, "still has its claim"),
    Spoiled(
        leftovers.kept_by_a_contract_that_is_over,
        lambda s: with_contract(s, third(s), task_tokens={"delete": "t"}),
        "keeps the token of ['delete']",
    ),
    Spoiled(
        leftovers.kept_by_a_contract_that_is_over, lambda s: with_items(s, f"C#{third(s).id}", next_due=1), "still due"
    ),
    Spoiled(
        leftovers.kept_by_a_contract_that_is_over,
        lambda s: with_contract(s, third(s), launch=replace(third(s).launch, sealed=Sealed("k", "c"))),
        "keeps its secrets",
    ),
    Spoiled(
        leftovers.executions_of_what_is_over,
        lambda s: with_tables(s, open_executions=s.tables.open_executions | {f"c{third(s).id}-1"}),
        "run 1 of contract",
    ),
    Spoiled(leftovers.containers_of_what_is_over, container_of_the_over, "is there; its contract is over"),
    Spoiled(leftovers.networks_of_nobody, lambda s: with_machine(s, containers=()), "has no container"),
    Spoiled(leftovers.networks_of_nobody, lambda s: with_machine(s, networks={}), "belongs to no network"),
    Spoiled(leftovers.groups_and_files_of_nobody, lambda s: with_machine(s, groups=s.machine.layers), "control group"),
    Spoiled(leftovers.groups_and_files_of_nobody, lambda s: with_machine(s, layers=frozenset({"x"})), "the files of"),
    Spoiled(leftovers.rules_of_nobody, lambda s: with_machine(s, firewall=(RULE.format(bridge="gl-zz"),)), "gl-zz"),
    Spoiled(
        leftovers.journal_entries_of_what_is_over, lambda s: with_record(s, third(s), status="stopped"), "as stopped"
    ),
    Spoiled(
        leftovers.journal_entries_of_what_is_over,
        lambda s: with_machine(s, journal=Memory(strays={4: 1})),
        "claimed by nobody",
    ),
    Spoiled(
        rest.contracts_under_way, lambda s: with_contract(s, first(s), status=ContractStatus.PENDING), "pending still"
    ),
    Spoiled(rest.contracts_under_way, late, "after its end"),
    Spoiled(rest.contracts_under_way, lambda s: late(expired(s), 200_000), "after its deletion"),
    Spoiled(
        rest.instances_under_way, lambda s: with_instance(s, first(s), status=InstanceStatus.LOADING), "is loading"
    ),
    Spoiled(rest.instances_under_way, lambda s: with_instance(s, second(s), token=4), "holds token 4"),
    Spoiled(rest.instances_under_way, lambda s: with_container(s, 0, is_running=False), "it runs: False"),
    Spoiled(rest.lives_without_an_execution, lambda s: with_tables(s, open_executions=frozenset()), "is not open"),
    Spoiled(rest.orders_not_known_to_the_host, lambda s: with_record(s, first(s), applied=0), "the host has done 0"),
    Spoiled(rest.orders_not_known_to_the_host, lambda s: with_contract(s, first(s), end_at=5), "its end at 5"),
]


def test_nothing_is_wrong_in_a_healthy_snapshot() -> None:
    assert walk(healthy()) == []


@pytest.mark.parametrize("spoiled", SPOILED, ids=lambda spoiled: f"{spoiled.check.__name__}: {spoiled.said}")
def test_what_is_spoiled_is_named(spoiled: Spoiled) -> None:
    assert any(spoiled.said in found for found in spoiled.check(spoiled.spoil(healthy())))


def test_every_check_of_the_walk_has_been_seen_to_fail() -> None:
    walked = {check for checks in (ALWAYS | AT_REST).values() for check in checks}
    assert walked == {spoiled.check for spoiled in SPOILED}


def test_an_answered_request_whose_effect_is_not_there_is_named() -> None:
    seen = healthy()
    shown = {"id": first(seen).id, "status": "active", "end_at": first(seen).end_at}
    instance = {"id": first(seen).id, "generation": 1}
    answers = {
        "holds": {**shown, "instances": [instance]},
        "its contract": {**shown, "id": 5, "instances": []},
        "the end is": {**shown, "end_at": first(seen).end_at + 1, "instances": []},
        "no longer ending": {**shown, "status": "ending", "instances": []},
        "the generation of": {**shown, "instances": [{**instance, "generation": 2}]},
    }
    for said, answer in answers.items():
        found = list(lost_requests(seen, [Acknowledged("POST /x", answer)]))
        assert found == [] if said == "holds" else said in found[0]


def test_what_falls_or_vanishes_between_two_snapshots_is_named() -> None:
    before = healthy()
    assert list(what_has_fallen(before, before)) == list(what_has_vanished(before, before)) == []
    fences = {uuid: replace(fence, token=0) for uuid, fence in before.machine.journal.fences.items()}
    spoiled = {
        "the generation of instance": with_instance(before, first(before), generation=0),
        "the end of contract": with_contract(before, first(before), end_at=1),
        "the next token": with_manifest(before, next_token=1),
        "the highest token": with_machine(before, journal=replace(before.machine.journal, fences=fences)),
        "the last report": with_tables(
            before, presences=tuple(replace(each, seq=0) for each in before.tables.presences)
        ),
    }
    for said, after in spoiled.items():
        assert any(said in found for found in what_has_fallen(before, after)), said
    assert list(what_has_vanished(before, with_tables(before, contracts={}))) != []


def test_a_planted_secret_is_found_in_the_table_and_in_a_file_and_not_repeated() -> None:
    seen = with_items(healthy(), f"C#{first(healthy()).id}", label="hunter2")
    assert list(secrets_in_the_open(healthy(), ["hunter2"])) == []
    (found,) = secrets_in_the_open(seen, ["hunter2"])
    assert "hunter2" not in found
    assert list(secrets_in_the_open(with_machine(seen, texts={"journal": "hunter2"}), ["nothing", "hunter2"])) == [
        found.replace("secret 1", "secret 2"),
        "planted secret 2 stands in journal",
    ]


def test_a_planted_secret_is_found_in_base64_too() -> None:
    seen = with_machine(healthy(), texts={"journal": base64.b64encode(b"a login of hunter2-and-more").decode()})
    assert list(secrets_in_the_open(seen, ["hunter2-and-more"])) == ["planted secret 1 stands in journal"]
