"""What the templates must hold, whatever else changes: names, protection, dead letters, what the stages differ in."""

import json
from collections import Counter
from typing import Any

import pytest

from handlers import refusals
from infra.entrypoints import ENTRY_POINTS
from rental.domain.refusal import Why
from tests.infra.permissions import render
from tests.infra.synthesis import Synthesized

OUTPUTS = {
    *("ApiUrl", "StateMachineArn", "CommandDocumentName", "EventBusName", "TableName", "LivenessTableName"),
    *("UrgentQueueUrl", "NormalQueueUrl", "HostRoleName", "HostRoleArn"),
}
NAME_OF = {
    "AWS::DynamoDB::Table": "TableName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Lambda::LayerVersion": "LayerName",
    "AWS::IAM::Role": "RoleName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::StepFunctions::StateMachine": "StateMachineName",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SSM::Document": "Name",
    "AWS::Events::Rule": "Name",
}


def _properties(made: Synthesized, kind: str) -> list[dict[str, Any]]:
    return [found["Properties"] for found in made.resources(kind).values()]


def test_every_output_that_others_rely_on_is_there(prod: Synthesized, local: Synthesized) -> None:
    assert prod.outputs() >= OUTPUTS
    assert local.outputs() >= OUTPUTS


def test_nothing_that_may_be_replaced_has_a_name_of_its_own(prod: Synthesized) -> None:
    for name, found in prod.all_resources():
        assert NAME_OF.get(found["Type"]) not in found.get("Properties", {}), name


def test_production_data_survives_its_stack(prod: Synthesized, local: Synthesized) -> None:
    for table in prod.resources("AWS::DynamoDB::Table").values():
        assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
        assert table["Properties"]["DeletionProtectionEnabled"] is True
    for table in local.resources("AWS::DynamoDB::Table").values():
        assert table["DeletionPolicy"] == "Delete"


def test_the_authoritys_key_signs_only_and_survives_its_stack(prod: Synthesized, local: Synthesized) -> None:
    (key,) = _signing_keys(prod)
    assert (key["Properties"]["KeySpec"], key["Properties"]["KeyUsage"]) == ("ECC_NIST_P256", "SIGN_VERIFY")
    assert key["DeletionPolicy"] == key["UpdateReplacePolicy"] == "Retain"
    (of_local,) = _signing_keys(local)
    assert of_local["DeletionPolicy"] == "Delete"
    assert "alias/gpulease-prod-authority" in {each["AliasName"] for each in _properties(prod, "AWS::KMS::Alias")}


def _signing_keys(made: Synthesized) -> list[dict[str, Any]]:
    keys = made.resources("AWS::KMS::Key").values()
    return [each for each in keys if each["Properties"]["KeyUsage"] == "SIGN_VERIFY"]


def test_tables_are_on_demand_and_restorable(prod: Synthesized) -> None:
    for table in _properties(prod, "AWS::DynamoDB::Table"):
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_the_rental_table_has_its_keys_indexes_and_time_to_live(prod: Synthesized) -> None:
    rentals, liveness = _properties(prod, "AWS::DynamoDB::Table")
    keys = {"HASH": "pk", "RANGE": "sk"}
    assert {each["KeyType"]: each["AttributeName"] for each in rentals["KeySchema"]} == keys
    assert rentals["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    indexes = {
        each["IndexName"]: ([key["AttributeName"] for key in each["KeySchema"]], each["Projection"]["ProjectionType"])
        for each in rentals["GlobalSecondaryIndexes"]
    }
    assert indexes == {
        "GSI1": (["gsi1pk", "gsi1sk"], "ALL"),
        "GSI2": (["gsi2pk", "gsi2sk"], "ALL"),
        "GSI3": (["gsi3pk", "next_due"], "KEYS_ONLY"),
    }
    kinds = {each["AttributeName"]: each["AttributeType"] for each in rentals["AttributeDefinitions"]}
    assert {name for name, kind in kinds.items() if kind == "N"} == {"next_due"}
    assert liveness["AttributeDefinitions"] == [{"AttributeName": "host_id", "AttributeType": "N"}]


def test_every_queue_is_encrypted_and_refuses_plain_http(prod: Synthesized) -> None:
    policies = {
        render(queue): json.dumps(policy["PolicyDocument"])
        for policy in _properties(prod, "AWS::SQS::QueuePolicy")
        for queue in policy["Queues"]
    }
    for name, queue in prod.resources("AWS::SQS::Queue").items():
        assert queue["Properties"]["SqsManagedSseEnabled"] is True
        assert "aws:SecureTransport" in policies[render({"Ref": name})]


def test_a_queue_hides_a_message_six_times_as_long_as_its_reader_may_take(prod: Synthesized) -> None:
    visible = {
        name.removesuffix("Queue")[:6]: queue["Properties"].get("VisibilityTimeout")
        for name, queue in prod.resources("AWS::SQS::Queue").items()
    }
    dispatch, heartbeat = ENTRY_POINTS["dispatch"].timeout_s, ENTRY_POINTS["on_heartbeat"].timeout_s
    assert visible["Urgent"] == visible["Normal"] == 6 * dispatch
    assert visible["Heartb"] == 6 * heartbeat


def test_every_function_is_as_its_entry_point_says(prod: Synthesized) -> None:
    functions = {found["Handler"]: found for found in _properties(prod, "AWS::Lambda::Function")}
    assert set(functions) == {entry.handler for entry in ENTRY_POINTS.values()}
    for entry in ENTRY_POINTS.values():
        found = functions[entry.handler]
        assert found["Runtime"] == "python3.13"
        assert found["Architectures"] == ["arm64"]
        assert (found["MemorySize"], found["Timeout"]) == (entry.memory_mb, entry.timeout_s)


def test_all_functions_share_one_artifact_and_one_layer(prod: Synthesized) -> None:
    functions = _properties(prod, "AWS::Lambda::Function")
    assert len({json.dumps(found["Code"], sort_keys=True) for found in functions}) == 1
    assert len({json.dumps(found["Layers"]) for found in functions}) == 1


def test_logs_end(prod: Synthesized) -> None:
    groups = _properties(prod, "AWS::Logs::LogGroup")
    assert len(groups) == len(ENTRY_POINTS) + 2
    assert {group["RetentionInDays"] for group in groups} == {365}


def test_whatever_logs_does_so_into_a_group_that_ends(prod: Synthesized) -> None:
    """A function without a group of its own gets one from AWS that never ends."""
    (machine,) = _properties(prod, "AWS::StepFunctions::StateMachine")
    (stage,) = _properties(prod, "AWS::ApiGatewayV2::Stage")
    groups = [found["LoggingConfig"]["LogGroup"]["Ref"] for found in _properties(prod, "AWS::Lambda::Function")]
    (destination,) = machine["LoggingConfiguration"]["Destinations"]
    groups += [destination["CloudWatchLogsLogGroup"]["LogGroupArn"]["Fn::GetAtt"][0]]
    groups += [name for name in prod.resources("AWS::Logs::LogGroup") if name in str(stage["AccessLogSettings"])]
    assert sorted(groups) == sorted(prod.resources("AWS::Logs::LogGroup"))


def test_whatever_can_be_traced_is(prod: Synthesized) -> None:
    """Of the rest an HTTP API cannot be, queues and rules pass a trace on, and alarms go to people."""
    for function in _properties(prod, "AWS::Lambda::Function"):
        assert function["TracingConfig"] == {"Mode": "Active"}
    for machine in _properties(prod, "AWS::StepFunctions::StateMachine"):
        assert machine["TracingConfiguration"] == {"Enabled": True}
    traced = {"AWS::Lambda::Function", "AWS::StepFunctions::StateMachine"}
    can_be = {*traced, "AWS::ApiGateway::Stage", "AWS::AppSync::GraphQLApi", "AWS::SNS::Topic"}
    assert {each["Type"] for _, each in prod.all_resources()} & can_be == {*traced, "AWS::SNS::Topic"}


def test_refusals_of_machines_are_counted_wherever_machines_are_heard(prod: Synthesized) -> None:
    found: dict[str, list[str]] = {}
    for each in _properties(prod, "AWS::Logs::MetricFilter"):
        found.setdefault(each["FilterPattern"], []).append(each["LogGroupName"]["Ref"])
    for sign in ("=", "!="):
        pattern = f'{{ ($.message = "{refusals.LINE}") && ($.why {sign} "{Why.REPEATED}") }}'
        groups = sorted(group for group in found[pattern])
        told = [group.partition("Logs")[0] for group in groups]
        assert told == ["ApiCertificates", "ApiMachine", "OnHeartbeat", "OnInstanceChanged"]


def test_the_stack_with_the_tables_refuses_to_be_deleted_in_production(prod: Synthesized, local: Synthesized) -> None:
    def protected(made: Synthesized) -> list[str]:
        artifacts = json.loads((made.folder / "manifest.json").read_text())["artifacts"]
        return [name for name, each in artifacts.items() if each.get("properties", {}).get("terminationProtection")]

    assert protected(prod) == ["GpuLease-prod-Data"]
    assert protected(local) == []


def test_the_local_cloud_runs_the_same_resources_with_other_values(prod: Synthesized, local: Synthesized) -> None:
    """It has no plain-HTTP ban, for it is plain HTTP, and nobody to send an e-mail to."""
    left_out = {"AWS::SNS::Topic", "AWS::SNS::Subscription", "AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy"}

    def kept(made: Synthesized) -> Counter[str]:
        return Counter(each["Type"] for _, each in made.all_resources() if each["Type"] not in left_out)

    assert kept(prod) == kept(local)


@pytest.mark.parametrize(("stage", "grace"), [("prod", "172800"), ("local", "10")])
def test_the_grace_is_one_setting(request: pytest.FixtureRequest, stage: str, grace: str) -> None:
    made: Synthesized = request.getfixturevalue(stage)
    told = [found["Environment"]["Variables"] for found in _properties(made, "AWS::Lambda::Function")]
    assert {variables["GRACE_S"] for variables in told if "GRACE_S" in variables} == {grace}
