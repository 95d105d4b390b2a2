"""Nothing is done without a grant, and a machine speaks for itself only."""

import pytest

from local.ssm.sigv4 import Caller
from tests.ssm.world import ACCOUNT_ID, DOCUMENT_NAME, REGION, World, node

PREFIX = f"arn:aws:ssm:{REGION}:{ACCOUNT_ID}"
DISPATCHER = Caller(f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/Dispatch/dispatch", "ASIADISPATCH")
SEND = "ssm:SendCommand"


def send_as_dispatcher(world: World, instance_id: str) -> tuple[int, str]:
    fields = {"DocumentName": DOCUMENT_NAME, "InstanceIds": [instance_id], "Parameters": {"Order": ["a"]}}
    response = world.call("SendCommand", fields, DISPATCHER)
    return response.status, str(response.body.get("__type", ""))


def grant(world: World, *, document: bool = True, machines: bool = True, stage: str = "local") -> None:
    world.rights.everything = False
    if document:
        world.rights.rules.append(("dispatch", SEND, f"{PREFIX}:document/{DOCUMENT_NAME}", {}))
    if machines:
        condition = {"ssm:resourceTag/gpulease:stage": stage}
        world.rights.rules.append(("dispatch", SEND, f"{PREFIX}:managed-instance/", condition))


def test_sending_needs_the_document_and_the_tagged_machine(world: World) -> None:
    instance_id = world.register()
    grant(world)
    assert send_as_dispatcher(world, instance_id) == (200, "")


@pytest.mark.parametrize(
    ("document", "machines", "stage"), [(False, True, "local"), (True, False, "local"), (True, True, "prod")]
)
def test_sending_without_one_of_them_is_refused(world: World, document: bool, machines: bool, stage: str) -> None:
    instance_id = world.register()
    grant(world, document=document, machines=machines, stage=stage)
    assert send_as_dispatcher(world, instance_id) == (400, "AccessDeniedException")
    world.rights.everything = True
    assert world.ok("ListCommands", {})["Commands"] == []


def test_a_refusal_is_worded_as_iam_words_it(world: World) -> None:
    world.rights.everything = False
    response = world.call("SendCommand", {"DocumentName": DOCUMENT_NAME, "InstanceIds": ["mi-1"]}, DISPATCHER)
    assert response.body["message"] == (
        f"User: {DISPATCHER.arn} is not authorized to perform: ssm:SendCommand on resource: "
        f"{PREFIX}:document/{DOCUMENT_NAME} because no identity-based policy allows the ssm:SendCommand action"
    )


def test_an_unknown_machine_is_not_revealed_without_a_grant(world: World) -> None:
    grant(world)
    assert send_as_dispatcher(world, "mi-0000000000000000f") == (400, "AccessDeniedException")


def test_an_activation_needs_the_role_to_be_passable(world: World) -> None:
    world.rights.everything = False
    world.rights.rules.append(("dispatch", "ssm:CreateActivation", "arn:aws:ssm", {}))
    assert world.refused("CreateActivation", {"IamRole": "HostRole"}, DISPATCHER) == "AccessDeniedException"
    passed = {"iam:PassedToService": "ssm.amazonaws.com"}
    world.rights.rules.append(("dispatch", "iam:PassRole", f"arn:aws:iam::{ACCOUNT_ID}:role/HostRole", passed))
    assert world.ok("CreateActivation", {"IamRole": "HostRole"}, DISPATCHER)["ActivationCode"]
    tagged = {"IamRole": "HostRole", "Tags": [{"Key": "a", "Value": "b"}]}
    assert world.refused("CreateActivation", tagged, DISPATCHER) == "AccessDeniedException"


@pytest.mark.parametrize(
    ("target", "fields"),
    [
        ("EC2WindowsMessageDeliveryService.GetMessages", {"Destination": "ID"}),
        ("EC2WindowsMessageDeliveryService.AcknowledgeMessage", {"MessageId": "aws.ssm.c.ID"}),
        ("EC2WindowsMessageDeliveryService.SendReply", {"MessageId": "aws.ssm.c.ID", "Payload": "{}"}),
        ("EC2WindowsMessageDeliveryService.FailMessage", {"MessageId": "aws.ssm.c.ID"}),
        ("EC2WindowsMessageDeliveryService.DeleteMessage", {"MessageId": "aws.ssm.c.ID"}),
        ("AmazonSSM.UpdateInstanceInformation", {"InstanceId": "ID"}),
    ],
)
def test_a_machine_cannot_speak_for_another(world: World, target: str, fields: dict[str, str]) -> None:
    victim, stranger = world.register(), world.register()
    named = {name: value.replace("ID", victim) for name, value in fields.items()}
    assert world.refused(target, named, node(stranger)) == "AccessDeniedException"


def test_an_unsigned_call_is_refused(world: World) -> None:
    assert world.refused("ListCommands", {}, None) == "MissingAuthenticationTokenException"
    poll = "EC2WindowsMessageDeliveryService.GetMessages"
    assert world.refused(poll, {"Destination": "mi-1"}, None) == "MissingAuthenticationTokenException"


def test_the_role_of_the_machines_needs_its_own_grants(world: World) -> None:
    instance_id = world.register()
    world.rights.everything = False
    poll = "EC2WindowsMessageDeliveryService.GetMessages"
    assert world.refused(poll, {"Destination": instance_id}, node(instance_id)) == "AccessDeniedException"
