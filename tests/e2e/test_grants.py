"""A function whose grant is taken away in the template fails in the local cloud, once for each kind of service."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from local import supervise
from local.client import ApiError, Client
from local.cloud.settings import CloudInfo
from local.credentials import Credentials, provide_keys
from local.ports import free_port
from local.synth import cached_assembly
from rental.adapters.dynamodb.table import DynamoTable
from rental.adapters.sqs import dump_bell
from rental.adapters.store import ItemStore
from rental.adapters.system import new_commit_id
from rental.domain.allocation import Listing, Manifest
from rental.domain.book import Bell, Book
from rental.domain.host import Gpu, Host, HostStatus, Inventory, MachineKey
from rental.domain.ids import ContractId, HostId, InstanceId, OfferId
from rental.ports import Extras, OfferPlace

GIB = 1 << 30
HOST, OFFER = HostId(71), OfferId(72)
TAKEN_AWAY = {
    "ApiOffers": "dynamodb:Query",
    "Dispatch": "ssm:SendCommand",
    "ApiContracts": "states:StartExecution",
    "ApiInstall": "s3:GetObject",
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudInfo]:
    """The project's own templates, less four grants, in a cloud of its own."""
    folder = tmp_path_factory.mktemp("grants")
    assembly = folder / "assembly"
    shutil.copytree(cached_assembly(supervise.ROOT, {}), assembly)
    template = next(assembly.glob("*Service.template.json"))
    reduced = _without_grants(json.loads(template.read_text()))
    template.write_text(json.dumps(reduced))
    yield supervise.start_cloud(folder / "state", free_port(), assembly)
    supervise.stop_cloud(folder / "state")


@pytest.fixture(scope="module")
def keys(cloud: CloudInfo, tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    _register_host(cloud)
    return provide_keys(cloud, tmp_path_factory.mktemp("keys"))


def test_without_its_dynamodb_grant_the_list_of_offers_fails(cloud: CloudInfo, keys: Credentials) -> None:
    client = Client(cloud.front_url, keys.client_key)
    assert client.get(f"/v1/offers/{OFFER}")["num_gpus"] == 1
    with pytest.raises(ApiError, match="500 internal"):
        client.get("/v1/offers")
    assert "not authorized to perform: dynamodb:Query" in _logs(cloud, "ApiOffers")


def test_without_its_ssm_grant_no_command_is_sent(cloud: CloudInfo, keys: Credentials) -> None:
    contract = _rent(cloud, keys)
    bell = Bell(HOST, ContractId(contract["id"]), InstanceId(contract["id"]), 1, False)
    record = {"messageId": "m-1", "body": json.dumps(dump_bell(bell))}
    functions = cloud.client("lambda")
    name = next(each["FunctionName"] for each in _functions(cloud) if each["Handler"] == "handlers.dispatch.handler")
    payload = json.dumps({"Records": [record]}).encode()
    answer = json.loads(functions.invoke(FunctionName=name, Payload=payload)["Payload"].read())
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m-1"}]}
    assert "ssm:SendCommand" in _logs(cloud, "Dispatch")


def test_without_its_step_functions_grant_no_execution_starts(cloud: CloudInfo, keys: Credentials) -> None:
    contract = _rent(cloud, keys)
    machine = cloud.client("stepfunctions")
    found = machine.list_executions(stateMachineArn=cloud.outputs["StateMachineArn"])["executions"]
    assert f"c{contract['id']}-1" not in {execution["name"] for execution in found}
    assert "states:StartExecution" in _logs(cloud, "ApiContracts")


def test_without_its_s3_grant_the_host_program_is_not_handed_out(cloud: CloudInfo) -> None:
    for path in ("/v1/host/package", "/v1/host/install.sh"):
        assert requests.get(f"{cloud.front_url}{path}", timeout=30).status_code == 500
    assert "AccessDenied" in _logs(cloud, "ApiInstall")


def _without_grants(template: dict[str, Any]) -> dict[str, Any]:
    removed = set()
    for logical_id, resource in template["Resources"].items():
        for function, action in TAKEN_AWAY.items():
            if logical_id.startswith(function) and resource["Type"] in ("AWS::IAM::Role", "AWS::IAM::Policy"):
                removed |= {function for document in _documents(resource) if _drop(document, action)}
    assert removed == set(TAKEN_AWAY), "a grant to take away was not found in the template"
    return template


def _documents(resource: dict[str, Any]) -> list[dict[str, Any]]:
    properties = resource["Properties"]
    if "PolicyDocument" in properties:
        return [properties["PolicyDocument"]]
    return [policy["PolicyDocument"] for policy in properties.get("Policies", [])]


def _drop(document: dict[str, Any], action: str) -> bool:
    dropped = False
    for statement in list(document["Statement"]):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        if action in actions:
            dropped = True
            statement["Action"] = [each for each in actions if each != action]
            if not statement["Action"]:
                document["Statement"].remove(statement)
    return dropped


def _register_host(cloud: CloudInfo) -> None:
    """A listed host without a machine behind it, written straight into the table."""
    store = ItemStore(DynamoTable(cloud.client("dynamodb"), cloud.outputs["TableName"]), new_commit_id)
    gpus = tuple(Gpu(index, f"GPU-{index}", "Simulated GPU", 24 * GIB) for index in range(4))
    inventory = Inventory(gpus, True, 8, 64 * GIB, 100 * GIB, True, (), None, "20.10", 1, "nowhere")
    listing = Listing(1, 0, int(time.time()) + 86_400, 1, True, 1, {1: OFFER})
    key = MachineKey("k" * 16, "A" * 43, "Ck5vIGtleSBidXQgMzIgYnl0ZXMgb2YgdGV4dC4uLi4"[:43])
    digest = hashlib.sha256(secrets.token_bytes(8)).hexdigest()
    host = Host(HOST, "local-host", "", HostStatus.ACTIVE, 0, digest, 0, "a-1", "mi-0123456789abcdef0", key, inventory)
    book = Book(Manifest(HOST, "local-host", inventory, 100 * GIB, listing))
    store.commit(book, book, Extras(new_offers=(OfferPlace(OFFER, HOST, 1),), host=host))


def _rent(cloud: CloudInfo, keys: Credentials) -> dict[str, Any]:
    body = {"offer_id": OFFER, "image": "gpulease/busybox:1", "disk_gib": 1, "duration_s": 600}
    rented: dict[str, Any] = Client(cloud.front_url, keys.client_key).post("/v1/contracts", body)
    return rented


def _functions(cloud: CloudInfo) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cloud.client("lambda").list_functions()["Functions"]
    return found


def _logs(cloud: CloudInfo, function: str) -> str:
    logs = cloud.client("logs")
    groups = [
        each["logGroupName"] for each in logs.describe_log_groups()["logGroups"] if function in each["logGroupName"]
    ]
    events = [event for group in groups for event in logs.filter_log_events(logGroupName=group)["events"]]
    return "\n".join(event["message"] for event in events)
