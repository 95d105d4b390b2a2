"""The thin adapters: what they ask of SQS, SSM and Step Functions, and what they do when refused."""

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber

from rental.adapters.sqs import QueueBells, dump_bell, load_bell
from rental.adapters.ssm import SsmActivations, SsmCommands, SsmNodes
from rental.adapters.stepfunctions import MachineTasks, MachineWorkflows
from rental.domain.book import Bell
from rental.domain.ids import ContractId, HostId, InstanceId
from rental.ports import Activation
from tests.fakes.builders import HOST
from tests.fakes.ports import NOW

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

A = ContractId(100)
MACHINE_ARN = "arn:aws:states:us-east-1:123456789012:stateMachine:life"


def bell(number: int, urgent: bool) -> Bell:
    return Bell(HOST, A, InstanceId(number), 1, urgent)


def drain(sqs: "SQSClient", url: str) -> list[Bell]:
    found: list[Bell] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        found += [load_bell(json.loads(message["Body"])) for message in messages]
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def test_a_bell_goes_to_the_queue_of_its_urgency(aws: None) -> None:
    sqs = boto3.client("sqs")
    urgent, normal = (sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("urgent", "normal"))
    QueueBells(sqs, urgent, normal).ring([*(bell(each, False) for each in range(12)), bell(99, True)])
    assert drain(sqs, urgent) == [bell(99, True)]
    assert sorted(each.instance_id for each in drain(sqs, normal)) == list(range(12))


def test_a_bell_that_cannot_be_rung_fails_neither_the_request_nor_the_next_bell() -> None:
    sqs = boto3.client("sqs")
    with Stubber(sqs) as stub:
        stub.add_client_error("send_message", "ThrottlingException")
        stub.add_response("send_message", {"MessageId": "1"})
        QueueBells(sqs, "https://urgent", "https://normal").ring([bell(1, True), bell(2, False)])
        stub.assert_no_pending_responses()


def test_a_bell_comes_back_as_it_was() -> None:
    assert load_bell(json.loads(json.dumps(dump_bell(bell(1, True))))) == bell(1, True)
    with pytest.raises(KeyError):
        load_bell({"v": 1})


def test_a_command_goes_to_one_node_with_one_parameter_and_dies_after_two_minutes() -> None:
    ssm = boto3.client("ssm")
    expected = {
        "InstanceIds": ["mi-1"],
        "DocumentName": "Doc",
        "Parameters": {"Order": ["abc"]},
        "TimeoutSeconds": 120,
    }
    with Stubber(ssm) as stub:
        stub.add_response("send_command", {}, expected)
        SsmCommands(ssm, "Doc").send("mi-1", "abc")
        stub.assert_no_pending_responses()


def test_an_activation_is_for_one_machine_of_this_stage() -> None:
    ssm = boto3.client("ssm")
    expected = {
        "Description": ANY,
        "DefaultInstanceName": "gpulease-7",
        "IamRole": "role",
        "RegistrationLimit": 1,
        "ExpirationDate": ANY,
        "Tags": [{"Key": "gpulease:stage", "Value": "dev"}, {"Key": "gpulease:host", "Value": "7"}],
    }
    with Stubber(ssm) as stub:
        stub.add_response("create_activation", {"ActivationId": "a" * 36, "ActivationCode": "c" * 20}, expected)
        assert SsmActivations(ssm, "role", "dev").create_activation(HostId(7), NOW) == Activation("a" * 36, "c" * 20)


@pytest.mark.parametrize(("nodes", "found"), [([], None), (["mi-1"], "mi-1"), (["mi-1", "mi-2"], None)])
def test_only_ssm_says_which_node_used_an_activation(nodes: list[str], found: str | None) -> None:
    ssm = boto3.client("ssm")
    answer = {"InstanceInformationList": [{"InstanceId": each} for each in nodes]}
    with Stubber(ssm) as stub:
        stub.add_response("describe_instance_information", answer, {"Filters": [activation_filter("a-1")]})
        assert SsmNodes(ssm).node_of("a-1") == found


def activation_filter(activation_id: str) -> dict[str, Any]:
    return {"Key": "ActivationIds", "Values": [activation_id]}


def test_an_execution_is_started_once_by_its_name_and_can_be_stopped(aws: None) -> None:
    states = boto3.client("stepfunctions")
    definition = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}})
    role = "arn:aws:iam::123456789012:role/machine"
    arn = states.create_state_machine(name="life", definition=definition, roleArn=role)["stateMachineArn"]
    workflows = MachineWorkflows(states, arn)
    assert not workflows.is_running(A, 1)
    workflows.start(A, 1)
    workflows.start(A, 1)
    assert workflows.is_running(A, 1)
    assert [each["name"] for each in states.list_executions(stateMachineArn=arn)["executions"]] == ["c100-1"]
    workflows.stop(A, 1)
    assert not workflows.is_running(A, 1)
    workflows.stop(A, 9)


@pytest.mark.parametrize("code", ["ExecutionAlreadyExists", "ThrottlingException", "AccessDeniedException"])
def test_a_start_that_is_refused_is_left_to_the_sweep(code: str) -> None:
    states = boto3.client("stepfunctions")
    with Stubber(states) as stub:
        stub.add_client_error("start_execution", code)
        MachineWorkflows(states, MACHINE_ARN).start(A, 1)


@pytest.mark.parametrize("code", ["TaskDoesNotExist", "TaskTimedOut", "InvalidToken", "ThrottlingException"])
def test_answering_a_task_that_no_longer_waits_does_nothing(code: str) -> None:
    states = boto3.client("stepfunctions")
    with Stubber(states) as stub:
        stub.add_client_error("send_task_success", code)
        MachineTasks(states).succeed("token", "{}")


@pytest.mark.parametrize("code", ["TaskDoesNotExist", "TaskTimedOut", "InvalidToken"])
def test_failing_a_task_that_no_longer_waits_does_nothing(code: str) -> None:
    states = boto3.client("stepfunctions")
    with Stubber(states) as stub:
        stub.add_client_error("send_task_failure", code)
        MachineTasks(states).fail("token", "E", "why")


def test_a_task_that_cannot_be_failed_now_fails_its_step_instead() -> None:
    states = boto3.client("stepfunctions")
    with Stubber(states) as stub, pytest.raises(ClientError):
        stub.add_client_error("send_task_failure", "ThrottlingException")
        MachineTasks(states).fail("token", "E", "why")


def test_a_task_is_answered_and_failed_by_its_token() -> None:
    states = boto3.client("stepfunctions")
    with Stubber(states) as stub:
        stub.add_response("send_task_success", {}, {"taskToken": "t", "output": "{}"})
        stub.add_response("send_task_failure", {}, {"taskToken": "t", "error": "E", "cause": "why"})
        MachineTasks(states).succeed("t", "{}")
        MachineTasks(states).fail("t", "E", "why")
