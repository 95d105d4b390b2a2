"""What the rules of renting forbid, asked for over HTTP: a 4xx with a sentence, and nothing has changed."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest

from handlers import api_hosts, api_machine, step
from handlers.on_instance_changed import handler as on_instance_changed
from rental.adapters import wiring
from rental.domain.contract import Contract
from rental.domain.ids import ContractId
from rental.domain.lifecycle import ContractStatus, Desired, InstanceStatus
from tests.fakes.http import Answer, call
from tests.handlers.conftest import Site, reported


def test_no_gpu_at_all_is_neither_offered_nor_rented(site: Site) -> None:
    listing = {"gpu_price_microusd_h": 1, "end_at": site.now + 7200, "min_gpus": 0}
    path = f"/v1/hosts/{site.host_id}/listing"
    assert refused(lambda: call(api_hosts.handler, "PUT", path, listing, caller=site.owner)) == "invalid_request"
    assert refused(lambda: site.rent(body=site.wish(instances=0))) == "invalid_request"
    assert refused(lambda: site.rent(body=site.wish(num_gpus=0))) == "invalid_request"


@pytest.mark.parametrize("deed", ["/start", "/stop", "/reboot"])
def test_nothing_changes_the_size_of_a_disk(site: Site, deed: str) -> None:
    contract_id = run_one(site)
    assert refused(lambda: site.on_contract("POST", contract_id, deed, {"disk_gib": 20})) == "invalid_request"


def test_an_extension_brings_no_disk(site: Site) -> None:
    contract_id = run_one(site)
    extension = {"end_at": site.now + 9000, "disk_gib": 20}
    assert (
        refused(lambda: site.on_contract("POST", contract_id, "/extend", extension, caller=site.owner))
        == "invalid_request"
    )


def test_one_second_too_long_is_refused(site: Site) -> None:
    manifest = wiring.store().read_manifest(site.host_id)
    assert manifest is not None
    assert manifest.listing is not None
    beyond = manifest.listing.end_at - site.now + 1
    assert refused(lambda: site.rent(body=site.wish(duration_s=beyond))) == "duration_too_long"


def test_an_expired_contract_is_not_started(site: Site) -> None:
    contract_id = expire_one(site)
    assert refused(lambda: site.on_contract("POST", contract_id, "/start")) == "contract_expired"


def test_an_expired_contract_is_not_rebooted(site: Site) -> None:
    contract_id = expire_one(site)
    assert refused(lambda: site.on_contract("POST", contract_id, "/reboot")) == "contract_expired"


def test_nothing_starts_between_the_end_of_a_contract_and_the_moment_it_is_written_down(site: Site) -> None:
    contract_id = run_one(site)
    stop_one(site, contract_id)
    let_end_pass(contract_id)
    assert read(contract_id).status is ContractStatus.ACTIVE
    assert site.on_contract("GET", contract_id).body["status"] == "expired"
    assert refused(lambda: site.on_contract("POST", contract_id, "/start")) == "contract_expired"


def test_a_queued_start_does_not_outlast_its_contract(site: Site) -> None:
    contract_id = run_one(site)
    stop_one(site, contract_id)
    other = run_one(site)
    queued = site.on_contract("POST", contract_id, "/start").body["instances"][0]
    assert queued["status"] == "scheduling"
    let_end_pass(contract_id)
    site.on_contract("DELETE", other)
    on_instance_changed(site.event([reported(other, "absent", generation=2)]), None)
    instance = read(contract_id).instances[0]
    assert (instance.status, instance.desired, instance.token) == (InstanceStatus.STOPPED, Desired.STOPPED, None)


def test_a_host_that_would_start_an_expired_contract_gets_no_secrets(site: Site) -> None:
    contract_id = run_one(site)
    let_end_pass(contract_id)
    path = "/v1/host/fetch"
    body = json.dumps({"v": 1, "contract_id": contract_id, "instance_id": contract_id, "generation": 1, "token": 1})
    headers = {"authorization": f"Machine {site.machine.sign_request(path, body.encode(), int(time.time()))}"}
    assert refused(lambda: call(api_machine.handler, "POST", path, body, headers=headers)) == "contract_expired"


def refused(ask: Callable[[], Answer]) -> str:
    """The code of a refusal that left the table as it was."""
    before = everything()
    answer = ask()
    assert 400 <= answer.status < 500, answer.text
    assert everything() == before
    return answer.code


def everything() -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = boto3.client("dynamodb").scan(TableName="table")["Items"]
    return sorted(items, key=str)


def run_one(site: Site) -> int:
    """The id of a contract on the lowest free GPU, active."""
    contract_id = site.rented()
    token = read(contract_id).instances[0].token
    on_instance_changed(site.event([reported(contract_id, token=token, started_at=site.now)]), None)
    assert read(contract_id).status is ContractStatus.ACTIVE
    return contract_id


def stop_one(site: Site, contract_id: int) -> None:
    site.on_contract("POST", contract_id, "/stop")
    on_instance_changed(site.event([reported(contract_id, "stopped", generation=2)]), None)
    assert read(contract_id).instances[0].status is InstanceStatus.STOPPED


def expire_one(site: Site) -> int:
    contract_id = run_one(site)
    let_end_pass(contract_id)
    step.handler({"step": "expire", "contract_id": contract_id, "run": 1}, None)
    on_instance_changed(site.event([reported(contract_id, "stopped", generation=2)]), None)
    assert read(contract_id).status is ContractStatus.EXPIRED
    return contract_id


def let_end_pass(contract_id: int) -> None:
    """As if the contract had been made earlier: its end came a second ago."""
    ledger = wiring.ledger()
    ledger.change_contract(
        ContractId(contract_id),
        lambda book, now: book.with_contract(replace(book.contract(ContractId(contract_id)), end_at=now - 1)),
    )


def read(contract_id: int) -> Contract:
    contract = wiring.store().read_contract(ContractId(contract_id))
    assert contract is not None
    return contract
