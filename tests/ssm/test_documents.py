"""Documents: what is a valid one, and how it changes."""

import json
from typing import Any

import pytest

from local.ssm.documents import execution_timeout_s, step_timeout_s
from tests.ssm.world import DOCUMENT_NAME, World, command_document


def test_a_document_keeps_its_version_until_its_content_changes(world: World) -> None:
    world.service.put_document(DOCUMENT_NAME, command_document("gpulease-host accept '{{ Order }}'"))
    assert world.ok("DescribeDocument", {"Name": DOCUMENT_NAME})["Document"]["DocumentVersion"] == "1"
    world.service.put_document(DOCUMENT_NAME, command_document("true"))
    assert world.ok("DescribeDocument", {"Name": DOCUMENT_NAME})["Document"]["DocumentVersion"] == "2"
    world.service.remove_document(DOCUMENT_NAME)
    assert world.refused("GetDocument", {"Name": DOCUMENT_NAME}) == "InvalidDocument"


def test_a_command_keeps_the_document_it_was_sent_with(world: World) -> None:
    instance_id = world.register()
    world.send(instance_id)
    world.service.put_document(DOCUMENT_NAME, command_document("false"))
    (message,) = world.poll(instance_id)
    assert "gpulease-host accept" in message["Payload"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"schemaVersion": "1.2"}, "InvalidDocumentSchemaVersion"),
        ({"mainSteps": []}, "InvalidDocumentContent"),
        ({"mainSteps": [{"action": "aws:runShellScript"}]}, "InvalidDocumentContent"),
        ({"parameters": {"Order": {"type": "Number"}}}, "InvalidDocumentContent"),
        ({"parameters": {"Order!": {"type": "String"}}}, "InvalidDocumentContent"),
        ({"parameters": {"Order": {"type": "String", "allowedPattern": "a{4096}"}}}, "InvalidDocumentContent"),
    ],
)
def test_a_document_that_could_not_run_is_refused(world: World, change: dict[str, Any], code: str) -> None:
    content = json.dumps({**command_document("true"), **change})
    assert world.refused("CreateDocument", {"Name": "other", "Content": content}) == code


@pytest.mark.parametrize(
    ("value", "seconds"), [("60", 60), (60, 60), ("4", 3600), ("28801", 3600), (None, 3600), ("x", 3600), ("60.9", 60)]
)
def test_a_step_timeout_is_read_as_the_agent_reads_it(value: object, seconds: int) -> None:
    assert step_timeout_s(value) == seconds
    assert execution_timeout_s(command_document("true", 45)) == 45
