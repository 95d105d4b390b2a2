"""Answers show what clients need and nothing that was told in confidence."""

import json
from dataclasses import replace

from rental.api.present import present_contract, present_host, present_timeline_entry
from rental.domain.book import Book
from rental.domain.contract import Progress
from rental.domain.host import Host, HostStatus
from rental.domain.ids import ContractId
from rental.domain.lifecycle import InstanceStatus
from tests.fakes.builders import HOST, OWNER, active, make_inventory, make_manifest, rent
from tests.fakes.ports import NOW

A = ContractId(100)


def test_a_contract_past_its_end_is_shown_expired_before_anyone_wrote_it() -> None:
    contract = active(Book(make_manifest())).contract(A)
    assert present_contract(contract, contract.end_at - 1)["status"] == "active"
    assert present_contract(contract, contract.end_at)["status"] == "expired"


def test_tokens_and_sealed_secrets_are_never_shown() -> None:
    contract = replace(rent(Book(make_manifest())).contract(A), task_tokens={"provision": "unguessable"})
    shown = json.dumps(present_contract(contract, NOW))
    assert contract.launch.sealed is not None
    for secret in ("unguessable", contract.launch.sealed.ciphertext, contract.launch.sealed.key_id):
        assert secret not in shown
    assert "unguessable" not in repr(contract)


def test_how_far_a_pull_is_shows_only_while_that_is_known() -> None:
    contract = rent(Book(make_manifest())).contract(A)
    (instance,) = contract.instances
    loading = replace(instance.become(InstanceStatus.LOADING, "Pulls."), progress=Progress(1, 3, 90, 200))
    contract = contract.with_instance(loading)
    figures = {"layers_done": 1, "layers": 3, "done_bytes": 90, "total_bytes": 200}
    assert present_contract(contract, NOW)["instances"][0]["progress"] == figures
    assert present_contract(contract.fall_silent(NOW), NOW)["instances"][0]["progress"] is None


def test_a_host_is_shown_without_what_it_registered_with() -> None:
    host = Host(HOST, OWNER, "rack", HostStatus.ACTIVE, NOW, "f" * 64, NOW, "activation", inventory=make_inventory())
    shown = json.dumps(present_host(host, host.why))
    assert "f" * 64 not in shown
    assert "activation" not in shown


def test_disk_that_is_only_watched_is_not_called_enforced() -> None:
    contract = rent(Book(make_manifest(disk_enforced=False, unenforced=("io", "network")))).contract(A)
    share = present_contract(contract, NOW)["share"]
    assert (share["disk"], share["io"], share["network"]) == ("watched", "unenforced", "unenforced")


def test_a_timeline_entry_is_plain_json() -> None:
    (entry,) = rent(Book(make_manifest())).timeline
    assert json.loads(json.dumps(present_timeline_entry(entry))) == {
        "seq": 1,
        "at": NOW,
        "actor": "client",
        "cause": "rented",
        "status": "pending",
        "instance_id": None,
        "reason": None,
    }
