"""The local cloud carries the service's kinds of resources, and refuses what no grant allows."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from local import credentials, synth
from local.cloud.settings import CloudInfo
from local.deploy import ClientSource, DeployError, Deployment, deploy
from tests.local.conftest import TINY

pytestmark = pytest.mark.cloud


def wait_for_item(cloud: CloudInfo, pk: str, sk: str, timeout_s: float = 15.0) -> dict[str, Any]:
    table = cloud.client("dynamodb")
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found: dict[str, Any] = table.get_item(
            TableName=cloud.outputs["TableName"], Key={"pk": {"S": pk}, "sk": {"S": sk}}
        )
        if "Item" in found:
            item: dict[str, Any] = found["Item"]
            return item
        time.sleep(0.01)
    raise AssertionError(f"{pk}/{sk} never came")


def deploy_into(cloud: CloudInfo, assembly: Path, zip_cache: Path) -> Deployment:
    clients = ClientSource(cloud.client)
    return deploy(assembly, clients, account=cloud.account_id, region=cloud.region, zip_cache=zip_cache)


def test_an_event_reaches_a_function_through_its_queue(cloud: CloudInfo) -> None:
    entry = {
        "Source": "tiny",
        "DetailType": "Changed",
        "Detail": json.dumps({"n": 1}),
        "EventBusName": cloud.outputs["BusName"],
    }
    event_id = cloud.client("events").put_events(Entries=[entry])["Entries"][0]["EventId"]
    item = wait_for_item(cloud, "record", event_id)
    assert json.loads(item["body"]["S"])["detail"] == {"n": 1}


def test_a_state_machine_runs_its_task(cloud: CloudInfo) -> None:
    machines = cloud.client("stepfunctions")
    machines.start_execution(stateMachineArn=cloud.outputs["MachineArn"], input=json.dumps({"id": "from-machine"}))
    wait_for_item(cloud, "record", "from-machine")


def test_a_function_without_a_grant_is_refused(cloud: CloudInfo) -> None:
    functions = cloud.client("lambda")
    answer = functions.invoke(FunctionName=cloud.outputs["UngrantedFunction"], Payload=b'{"name": "x"}')
    assert answer["FunctionError"]
    assert "AccessDenied" in answer["Payload"].read().decode()


def test_a_layer_is_empty_and_the_environment_bare(cloud: CloudInfo) -> None:
    seen = requests.get(f"{cloud.front_url}/v1/x", timeout=30).json()
    assert not seen["layer_is_there"]
    assert {"TABLE_NAME", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"} <= set(seen["environment"])
    assert not {"PYTHONPATH", "LOG_LEVEL", "VIRTUAL_ENV", "AWS_PROFILE"} & set(seen["environment"])


def test_the_emulators_open_keys_are_shut(cloud: CloudInfo) -> None:
    import boto3

    for key in ("test", "123456789012"):
        client = boto3.client(
            "dynamodb",
            endpoint_url=cloud.aws_endpoint,
            region_name=cloud.region,
            aws_access_key_id=key,
            aws_secret_access_key="test",
        )
        with pytest.raises(ClientError, match="UnrecognizedClientException"):
            client.list_tables()


def test_a_template_brings_its_command_document(cloud: CloudInfo) -> None:
    document = cloud.client("ssm").get_document(Name=cloud.outputs["DocumentName"])
    assert json.loads(document["Content"])["schemaVersion"] == "2.2"


def test_sending_a_command_needs_the_grant(cloud: CloudInfo) -> None:
    import boto3

    users = cloud.client("iam")
    users.create_user(UserName="nobody")
    key = users.create_access_key(UserName="nobody")["AccessKey"]
    ssm = boto3.client(
        "ssm",
        endpoint_url=cloud.aws_endpoint,
        region_name=cloud.region,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    with pytest.raises(ClientError, match=r"not authorized to perform: ssm:SendCommand on resource: arn:aws:ssm:"):
        ssm.send_command(
            InstanceIds=["mi-0123456789abcdef0"],
            DocumentName=cloud.outputs["DocumentName"],
            Parameters={"Order": ["x"]},
        )


def test_long_polls_hold_nobody_up(cloud: CloudInfo) -> None:
    def poll() -> None:
        cloud.client("sqs").receive_message(QueueUrl=cloud.outputs["DeadUrl"], WaitTimeSeconds=3)

    polls = [threading.Thread(target=poll) for _ in range(16)]
    for one in polls:
        one.start()
    time.sleep(0.5)
    assert any(one.is_alive() for one in polls)
    started = time.monotonic()
    for _ in range(10):
        requests.get(f"{cloud.front_url}/v1/x", timeout=30)
    assert time.monotonic() - started < 1.5
    for one in polls:
        one.join()


def test_deploying_again_updates_and_keeps_the_data(cloud: CloudInfo, tmp_path: Path) -> None:
    requests.post(f"{cloud.front_url}/write/kept", timeout=30)
    changed = synth.cached_assembly(TINY, {"greeting": "good evening"})
    assert deploy_into(cloud, changed, tmp_path).outputs == cloud.outputs
    assert requests.get(f"{cloud.front_url}/v1/x", timeout=30).json()["greeting"] == "good evening"
    wait_for_item(cloud, "/write/kept", "A")
    assert deploy_into(cloud, changed, tmp_path).outputs == cloud.outputs


@pytest.mark.parametrize(
    ("resource", "sentence"),
    [
        (
            {"Type": "AWS::SSM::Document", "Properties": {"Content": {"schemaVersion": "0.3"}}},
            r"Broken: ROLLBACK_COMPLETE\. Wrong \(AWS::SSM::Document\): .*[Ss]chema",
        ),
        ({"Type": "AWS::XRay::Group", "Properties": {}}, r"Broken: .*AWS::XRay::Group"),
    ],
)
def test_a_failed_stack_names_the_resource_and_the_reason(
    cloud: CloudInfo, tmp_path: Path, resource: dict[str, Any], sentence: str
) -> None:
    write_assembly(tmp_path, resource)
    with pytest.raises(DeployError, match=sentence):
        deploy_into(cloud, tmp_path, tmp_path / "zips")


def test_api_keys_last_and_are_stored_as_hashes(cloud: CloudInfo, tmp_path: Path) -> None:
    first = credentials.provide_keys(cloud, tmp_path, clock=lambda: 1000.0)
    assert credentials.provide_keys(cloud, tmp_path, clock=lambda: 2000.0) == first
    record = credentials.key_item(first.client_key, role="client", account="local-client", created_at=0)
    item = wait_for_item(cloud, record["pk"], "K")
    assert item["role"] == {"S": "client"}
    assert item["created_at"] == {"N": "1000"}
    assert first.client_key not in json.dumps(item)


def write_assembly(folder: Path, resource: dict[str, Any]) -> None:
    """One stack of one resource."""
    template = {"Resources": {"Wrong": resource}}
    (folder / "Broken.template.json").write_text(json.dumps(template))
    destination = {"bucketName": "cdk-assets", "objectKey": "broken.json"}
    source = {"path": "Broken.template.json", "packaging": "file"}
    assets = {"files": {"t": {"source": source, "destinations": {"here": destination}}}}
    (folder / "Broken.assets.json").write_text(json.dumps(assets))
    artifacts = {
        "Broken.assets": {"type": "cdk:asset-manifest", "properties": {"file": "Broken.assets.json"}},
        "Broken": {
            "type": "aws:cloudformation:stack",
            "properties": {"templateFile": "Broken.template.json"},
            "dependencies": ["Broken.assets"],
        },
    }
    (folder / "manifest.json").write_text(json.dumps({"artifacts": artifacts}))
