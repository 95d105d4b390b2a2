"""Functions that no client calls: dispatch, steps, the sweep, reports of hosts."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from botocore.stub import ANY, Stubber

from handlers import api_hosts, dispatch, on_heartbeat, on_instance_changed, step, sweep
from rental.adapters import wiring
from rental.adapters.sqs import dump_bell
from rental.domain.book import Bell
from rental.domain.contract import Contract
from rental.domain.host import HostStatus
from rental.domain.ids import ContractId, InstanceId
from rental.domain.liveness import OFFLINE_AFTER_S
from tests.fakes.http import call
from tests.fakes.machine import Machine
from tests.fakes.world import decode_command
from tests.handlers.conftest import Site, reported

EVENT_SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "event.v1.json").read_text())
FAR = {"layers_done": 1, "layers": 3, "done_bytes": 90, "total_bytes": 200}
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1dCBub2JvZHkncw=="


def read(contract_id: int) -> Contract:
    contract = wiring.store().read_contract(ContractId(contract_id))
    assert contract is not None
    return contract


def record(message_id: str, body: Any) -> dict[str, Any]:
    return {"messageId": message_id, "body": json.dumps(body)}


def ring(site: Site, *contract_ids: int) -> list[dict[str, Any]]:
    bells = [Bell(site.host_id, ContractId(each), InstanceId(each), 1, False) for each in contract_ids]
    return [record(f"{site.number}-{place}", dump_bell(bell)) for place, bell in enumerate(bells)]


def test_bells_of_a_host_become_one_command(site: Site) -> None:
    first, second = site.rented(), site.rented()
    expected = {
        "InstanceIds": [f"mi-{site.number}"],
        "DocumentName": "Command",
        "Parameters": {"Order": ANY},
        "TimeoutSeconds": 120,
    }
    sent: list[Any] = []
    ssm = wiring.client("ssm")
    ssm.meta.events.register("before-parameter-build.ssm.SendCommand", lambda params, **_: sent.append(params))
    with Stubber(ssm) as stub:
        stub.add_response("send_command", {}, expected)
        assert dispatch.handler({"Records": ring(site, first, second)}, None) == {"batchItemFailures": []}
        stub.assert_no_pending_responses()
    command = decode_command(sent[0]["Parameters"]["Order"][0])
    assert sorted(order["contract_id"] for order in command["orders"]) == sorted([first, second])


def test_a_host_that_cannot_be_reached_fails_its_own_bells_only(site: Site) -> None:
    neighbour = Site().open()
    records = ring(site, site.rented()) + ring(neighbour, neighbour.rented())
    with Stubber(wiring.client("ssm")) as stub:
        stub.add_client_error("send_command", "InvalidInstanceId")
        stub.add_response("send_command", {})
        answer = dispatch.handler({"Records": records}, None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": f"{site.number}-0"}]}


def test_steps_answer_what_the_machine_reads(site: Site) -> None:
    contract_id = site.rented()
    event = {"v": 1, "contract_id": contract_id, "run": 1}
    routed = step.handler(event | {"step": "route"}, None)
    assert routed is not None
    assert set(routed) == {"next", "end_at", "delete_after"}
    assert step.handler(event | {"step": "provision", "task_token": "t"}, None) is None
    assert dict(read(contract_id).task_tokens) == {"provision": "t"}
    assert (step.handler(event | {"step": "expire"}, None) or {})["next"] == "provision"
    abandoned = step.handler(event | {"step": "abandon"}, None) or {}
    assert abandoned["next"] == "failed"
    with pytest.raises(ValueError, match="no step"):
        step.handler(event | {"step": "dance"}, None)


def test_a_step_that_waits_fails_its_own_task(site: Site) -> None:
    event = {"v": 1, "contract_id": 5, "run": 1, "step": "provision", "task_token": "t"}
    with Stubber(wiring.client("stepfunctions")) as stub:
        stub.add_response("send_task_failure", {}, {"taskToken": "t", "error": "StepFailed", "cause": ANY})
        step.handler(event, None)
        stub.assert_no_pending_responses()


def test_a_task_token_is_not_logged(site: Site, lines: list[logging.LogRecord]) -> None:
    event = {"v": 1, "contract_id": site.rented(), "run": 1, "step": "provision", "task_token": "unguessable"}
    step.handler(event, None)
    assert not any("unguessable" in str(line.__dict__) for line in lines)


def test_the_sweep_resumes_what_lost_its_execution(site: Site, deployed: dict[str, str]) -> None:
    contract_id = site.rented()
    states = wiring.client("stepfunctions")
    name = f"c{contract_id}-1"
    arn = deployed["STATE_MACHINE_ARN"].replace(":stateMachine:", ":execution:") + f":{name}"
    assert sweep.handler({}, None)["started"] == 0
    states.stop_execution(executionArn=arn)
    assert sweep.handler({"late_s": -60}, None)["started"] >= 1
    assert read(contract_id).run == 2


def test_a_signed_report_is_taken_in_and_answers_the_task(site: Site) -> None:
    contract_id = site.rented()
    event = {"v": 1, "contract_id": contract_id, "run": 1, "step": "provision", "task_token": "t"}
    step.handler(event, None)
    with Stubber(wiring.client("stepfunctions")) as stub:
        stub.add_response("send_task_success", {}, {"taskToken": "t", "output": ANY})
        on_instance_changed.handler(site.event([reported(contract_id)]), None)
        stub.assert_no_pending_responses()
    assert read(contract_id).status == "active"
    assert wiring.liveness().read(site.host_id) is not None


def test_a_report_as_the_schema_has_it_is_understood(site: Site) -> None:
    contract_id = site.rented()
    inventory = {
        "gpus": [], "simulated": True, "cpus": 1, "memory_bytes": 1, "disk_bytes": 1, "disk_enforced": True,
        "unenforced": [], "driver_version": None, "docker_version": "", "cgroup_version": 1, "hostname": "",
    }  # fmt: skip
    gpu = {"index": 0, "uuid": "GPU-0000", "status": "held", "token": 1, "instance_id": contract_id, "reason": None}
    state = {
        "inventory": inventory,
        "gpus": [gpu],
        "instances": [reported(contract_id, started_at=site.now)],
        "disk_free_bytes": 1,
        "sweeping": False,
    }
    claims = {"v": 1, "host_id": site.host_id, "boot_id": "b", "seq": 1, "sent_at": site.now, "state": state}
    jsonschema.validate(claims, EVENT_SCHEMA)
    on_instance_changed.handler({"detail": site.machine.sign_report(state, 1, site.now)}, None)
    assert read(contract_id).status == "active"


def test_how_far_a_pull_is_reaches_the_client(site: Site) -> None:
    contract_id = site.rented()
    said = reported(contract_id, "loading", generation=0, reason="Pulls its image.", progress=FAR)
    jsonschema.validate(said, {"$ref": "#/$defs/state/properties/instances/items", "$defs": EVENT_SCHEMA["$defs"]})
    on_instance_changed.handler(site.event([said]), None)
    shown = site.on_contract("GET", contract_id).body["instances"][0]
    assert (shown["status"], shown["reason"], shown["progress"]) == ("loading", "Pulls its image.", FAR)


def test_the_host_key_of_ssh_is_kept_with_its_instance(site: Site) -> None:
    contract_id = site.rented()
    for said in (reported(contract_id, "loading", generation=0, ssh_host_key=HOST_KEY), reported(contract_id)):
        jsonschema.validate(said, {"$ref": "#/$defs/state/properties/instances/items", "$defs": EVENT_SCHEMA["$defs"]})
        on_instance_changed.handler(site.event([said]), None)
        assert read(contract_id).instances[0].ssh_host_key == HOST_KEY


def wrong_envelopes(site: Site, contract_id: int) -> list[dict[str, Any]]:
    said = [reported(contract_id)]
    neighbour = Site().open()
    state = {"instances": said, "gpus": []}
    foreign = neighbour.machine.sign_report(state, 1, site.now)
    sign = site.machine.sign_report
    huge = 10**40
    return [
        {},
        {"jws": None, "host_id": site.host_id},
        {"jws": "a.b.c", "host_id": "x"},
        {"jws": "a.b.c", "host_id": float("inf")},
        {"jws": "a.b.c", "host_id": "9" * 3000},
        {"v": 1, "host_id": site.host_id, "jws": foreign["jws"]},
        {"v": 1, "host_id": site.host_id, "jws": Machine(site.host_id).sign_report(state, 1, site.now)["jws"]},
        sign(state, 1, site.now - 200),
        sign(state, 1, site.now, host_id=neighbour.host_id),
        sign(state, 1, site.now, v=2),
        sign(state, huge, site.now),
        sign(state, -huge, site.now),
        sign(state, "1", site.now),
        sign(state, True, site.now),
        sign(state, 1, site.now, boot_id=None),
        sign(None, 1, site.now),
        sign([], 1, site.now),
        sign({"instances": said}, 1, site.now),
        sign({"instances": [reported(contract_id, exit_code=huge)], "gpus": []}, 1, site.now),
        sign({"instances": [reported(contract_id, status="dancing")], "gpus": []}, 1, site.now),
        sign({"instances": [reported(contract_id, reason=1.5)], "gpus": []}, 1, site.now),
        sign({"instances": [7], "gpus": [None]}, 1, site.now),
        *(
            sign({"instances": [reported(contract_id, "loading", progress=wrong)], "gpus": []}, 1, site.now)
            for wrong in (7, {}, FAR | {"layers": "3"}, FAR | {"done_bytes": -1}, FAR | {"total_bytes": huge})
        ),
        *(
            sign({"instances": [reported(contract_id, ssh_host_key=wrong)], "gpus": []}, 1, site.now)
            for wrong in (7, "", "ssh-ed25519", f"{HOST_KEY}\nevil", f"{HOST_KEY} two words", "ssh-rsa " + "A" * 1000)
        ),
    ]


def test_a_report_that_is_forged_stale_foreign_or_nonsense_changes_nothing(
    site: Site, lines: list[logging.LogRecord]
) -> None:
    contract_id = site.rented()
    before = read(contract_id)
    envelopes = wrong_envelopes(site, contract_id)
    for detail in envelopes:
        on_instance_changed.handler({"detail": detail}, None)
    assert read(contract_id) == before
    assert wiring.liveness().read(site.host_id) is None
    assert [line.getMessage() for line in lines].count("refused") == len(envelopes)


def test_a_report_cannot_fill_the_table(site: Site) -> None:
    contract_id = site.rented()
    on_instance_changed.handler(site.event([reported(contract_id, "exited", reason="x" * 100_000)]), None)
    assert len(read(contract_id).instances[0].reason or "") == 500


def test_a_reason_that_is_no_text_is_taken_as_far_as_it_is(site: Site) -> None:
    contract_id = site.rented()
    on_instance_changed.handler(site.event([reported(contract_id, "exited", reason="bad \ud800")]), None)
    assert read(contract_id).instances[0].reason == "bad ?"


def test_a_batch_of_heartbeats_fails_only_where_a_dependency_did(site: Site) -> None:
    contract_id = site.rented()
    records = [
        record("garbage", {"detail": {"jws": "x", "host_id": 1}}),
        record("good", site.event([reported(contract_id)])),
    ]
    assert on_heartbeat.handler({"Records": records}, None) == {"batchItemFailures": []}
    assert read(contract_id).status == "active"
    with Stubber(wiring.client("dynamodb")) as stub:
        stub.add_client_error("get_item", "InternalServerError")
        answer = on_heartbeat.handler({"Records": [record("late", site.event([]))]}, None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "late"}]}


def test_a_replayed_report_changes_nothing(site: Site) -> None:
    contract_id = site.rented()
    event = site.event([reported(contract_id)])
    on_instance_changed.handler(event, None)
    once = read(contract_id)
    on_instance_changed.handler(event, None)
    assert read(contract_id) == once


def test_a_quarantined_host_is_not_listened_to(site: Site, lines: list[logging.LogRecord]) -> None:
    contract_id = site.rented()
    on_instance_changed.handler(site.event([], seq=7), None)
    on_instance_changed.handler(site.event([reported(contract_id)], seq=7, boot_id="boot-2"), None)
    host = wiring.store().read_host(site.host_id)
    assert host is not None
    assert host.status is HostStatus.QUARANTINED
    on_instance_changed.handler(site.event([reported(contract_id)], seq=8), None)
    assert read(contract_id).status == "pending"
    assert [line.__dict__["why"] for line in lines if line.getMessage() == "refused"] == ["repeated", "quarantined"]
    assert site.rent().status == 409


def test_the_sweep_marks_who_is_silent_and_a_report_brings_it_back(site: Site) -> None:
    contract_id = site.rented()
    on_instance_changed.handler(site.event([reported(contract_id)]), None)
    presence = wiring.liveness().read(site.host_id)
    assert presence is not None
    silent = replace(presence, seen_at=site.now - OFFLINE_AFTER_S)
    assert wiring.liveness().swap(presence, silent) is not None
    assert sweep.handler({"brake": False}, None)["silent"] == 1
    assert site.on_contract("GET", contract_id).body["instances"][0]["status"] == "offline"
    refused = site.rent()
    assert (refused.status, refused.body["error"]["code"]) == (409, "host_offline")
    path = f"/v1/hosts/{site.host_id}"
    shown = call(api_hosts.handler, "GET", path, caller=site.owner)
    assert shown.body["offline_since"] == site.now - OFFLINE_AFTER_S
    on_instance_changed.handler(site.event([reported(contract_id)]), None)
    assert site.on_contract("GET", contract_id).body["instances"][0]["status"] == "running"
