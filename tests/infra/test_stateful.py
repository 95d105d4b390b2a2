"""No update may replace a table, the bus, the command document, the state machine or the API."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.infra.stateful import HELD, describe, recorded
from tests.infra.synthesis import Synthesized

Resources = dict[str, Any]


def test_an_update_replaces_nothing_that_holds_state(prod: Synthesized) -> None:
    assert not recorded() - describe(prod), "an update would lose this: see tests/infra/stateful.py"


def test_whatever_holds_state_is_on_record(prod: Synthesized) -> None:
    assert not describe(prod) - recorded(), "run `python -m tests.infra.stateful`"


def test_every_kind_that_holds_state_is_there(prod: Synthesized) -> None:
    assert {resource["Type"] for _, resource in prod.all_resources()} >= set(HELD)


def _rename(kind: str) -> Callable[[Resources], None]:
    def change(resources: Resources) -> None:
        name = _first(kind, resources)
        resources[f"New{name}"] = resources.pop(name)

    return change


def _set(kind: str, **properties: Any) -> Callable[[Resources], None]:
    def change(resources: Resources) -> None:
        resources[_first(kind, resources)].setdefault("Properties", {}).update(properties)

    return change


def _first(kind: str, resources: Resources) -> str:
    return next(name for name, resource in resources.items() if resource["Type"] == kind)


@pytest.mark.parametrize(
    "change",
    [
        *(_rename(kind) for kind in HELD if kind != "AWS::IAM::Role"),
        _set("AWS::DynamoDB::Table", TableName="rentals"),
        _set("AWS::DynamoDB::Table", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}]),
        _set("AWS::DynamoDB::Table", GlobalSecondaryIndexes=[]),
        _set("AWS::DynamoDB::Table", AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "N"}]),
        _set("AWS::Events::EventBus", Name="other"),
        _set("AWS::SSM::Document", UpdateMethod="Replace", Content={"schemaVersion": "2.2"}),
        _set("AWS::SSM::Document", Name="order"),
        _set("AWS::StepFunctions::StateMachine", StateMachineName="contract"),
        _set("AWS::StepFunctions::StateMachine", StateMachineType="EXPRESS"),
        _set("AWS::SQS::Queue", QueueName="urgent"),
    ],
)
def test_a_change_that_replaces_is_noticed(prod: Synthesized, change: Callable[[Resources], None]) -> None:
    templates = copy.deepcopy(dict(prod.templates))
    for template in templates.values():
        try:
            change(template["Resources"])
        except StopIteration:
            continue
    assert recorded() - describe(Synthesized(prod.app, prod.folder, templates))


def test_a_changed_document_is_a_new_version_of_the_same(prod: Synthesized) -> None:
    templates = copy.deepcopy(dict(prod.templates))
    _set("AWS::SSM::Document", Content={"schemaVersion": "2.2"})(templates["Host"]["Resources"])
    assert not recorded() - describe(Synthesized(prod.app, prod.folder, templates))


def test_what_one_stack_hands_to_another_stays(prod: Synthesized) -> None:
    """The stacks are updated one after another: what an older Service stack still uses cannot be withdrawn first."""
    handed = {line for line in recorded() if "hands over" in line}
    assert {line.split()[0] for line in handed} == {"Data", "Host", "Service"}
