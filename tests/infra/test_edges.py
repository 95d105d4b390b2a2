"""Every edge on which something travels while nobody waits for it ends in a dead-letter queue that can take it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from infra.entrypoints import ENTRY_POINTS
from tests.infra.permissions import render, statements
from tests.infra.synthesis import Resource, Synthesized

# Whatever else delivers in the background in AWS. None is here: whoever brings one brings its walk as well.
OTHER_CARRIERS = {
    "AWS::Events::ApiDestination",
    "AWS::Events::Archive",
    "AWS::IoT::TopicRule",
    "AWS::Kinesis::Stream",
    "AWS::KinesisFirehose::DeliveryStream",
    "AWS::Logs::SubscriptionFilter",
    "AWS::Pipes::Pipe",
    "AWS::S3::Bucket",
    "AWS::SES::ReceiptRule",
    "AWS::Scheduler::Schedule",
    "AWS::SecretsManager::RotationSchedule",
}
TWO_WEEKS_S = 14 * 86_400


@pytest.fixture(params=["prod", "local"])
def made(request: pytest.FixtureRequest) -> Synthesized:
    found: Synthesized = request.getfixturevalue(request.param)
    return found


def arn_of(name: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [name, "Arn"]}


def dead_letters(made: Synthesized) -> dict[str, Resource]:
    """Queues that no function reads, and that have no dead-letter queue themselves."""
    queues = made.resources("AWS::SQS::Queue")
    return {name: queue for name, queue in queues.items() if "RedrivePolicy" not in queue["Properties"]}


def rule_targets(made: Synthesized) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, rule in made.resources("AWS::Events::Rule").items():
        yield from ((name, target) for target in rule["Properties"]["Targets"])


def called_by_rules(made: Synthesized) -> set[str]:
    """The aliases that rules call: Lambda takes such an event at once, and tries in the background."""
    aliases = made.resources("AWS::Lambda::Alias")
    return {target["Arn"]["Ref"] for _, target in rule_targets(made) if target["Arn"].get("Ref") in aliases}


def burials(made: Synthesized) -> list[dict[str, Any]]:
    """Where each edge buries what it cannot deliver."""
    rules = [target["DeadLetterConfig"]["Arn"] for _, target in rule_targets(made)]
    calls = [
        found["Properties"]["DestinationConfig"]["OnFailure"]["Destination"]
        for found in made.resources("AWS::Lambda::EventInvokeConfig").values()
    ]
    queues = made.resources("AWS::SQS::Queue").values()
    read = [
        queue["Properties"]["RedrivePolicy"]["deadLetterTargetArn"]
        for queue in queues
        if "RedrivePolicy" in queue["Properties"]
    ]
    return [*rules, *calls, *read]


def test_nothing_delivers_in_the_background_that_is_not_walked_here(made: Synthesized) -> None:
    assert not {resource["Type"] for _, resource in made.all_resources()} & OTHER_CARRIERS


def test_every_target_of_a_rule_has_a_dead_letter_queue_and_an_end_to_its_retries(made: Synthesized) -> None:
    targets = list(rule_targets(made))
    assert len(targets) == 3
    for _, target in targets:
        assert render(target["DeadLetterConfig"]["Arn"]) in {render(arn_of(name)) for name in dead_letters(made)}
        assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] <= 300


def test_the_dead_letter_queue_of_a_rule_lets_that_rule_in(made: Synthesized) -> None:
    policies = [found["Properties"] for found in made.resources("AWS::SQS::QueuePolicy").values()]
    for rule, target in rule_targets(made):
        queue = target["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0]
        allowed = [
            statement["Condition"]["ArnEquals"]["aws:SourceArn"]
            for policy in policies
            if {"Ref": queue} in policy["Queues"]
            for statement in policy["PolicyDocument"]["Statement"]
            if statement["Effect"] == "Allow" and statement["Principal"] == {"Service": "events.amazonaws.com"}
        ]
        assert arn_of(rule) in allowed, (rule, queue)


def test_a_function_that_an_event_calls_buries_what_it_could_not_take(made: Synthesized) -> None:
    configured = [found["Properties"] for found in made.resources("AWS::Lambda::EventInvokeConfig").values()]
    called = called_by_rules(made)
    assert len(called) == len([entry for entry in ENTRY_POINTS.values() if entry.asynchronous])
    for alias in called:
        (config,) = [config for config in configured if alias in json.dumps(config["Qualifier"])]
        assert config["MaximumEventAgeInSeconds"] <= 3600
        queue = config["DestinationConfig"]["OnFailure"]["Destination"]
        function = made.resources("AWS::Lambda::Function")[config["FunctionName"]["Ref"]]
        role = function["Properties"]["Role"]["Fn::GetAtt"][0]
        own = [each for name, each in statements(made) if name == role and each["Action"] == "sqs:SendMessage"]
        assert queue in [each["Resource"] for each in own], alias


def test_every_queue_that_a_function_reads_has_a_dead_letter_queue(made: Synthesized) -> None:
    queues = made.resources("AWS::SQS::Queue")
    mappings = [found["Properties"] for found in made.resources("AWS::Lambda::EventSourceMapping").values()]
    assert len(mappings) == 3
    for mapping in mappings:
        source = queues[mapping["EventSourceArn"]["Fn::GetAtt"][0]]["Properties"]
        assert source["RedrivePolicy"]["maxReceiveCount"] == 5
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert "Live" in json.dumps(mapping["FunctionName"])


def test_every_dead_letter_queue_takes_from_an_edge_and_keeps_it_for_two_weeks(made: Synthesized) -> None:
    buried = {render(arn) for arn in burials(made)}
    assert buried == {render(arn_of(name)) for name in dead_letters(made)}
    for queue in dead_letters(made).values():
        assert queue["Properties"]["MessageRetentionPeriod"] == TWO_WEEKS_S


def test_only_people_subscribe_to_alarms(prod: Synthesized) -> None:
    """A mail that does not arrive has nowhere else to go; the alarm shows in the console all the same."""
    protocols = [found["Properties"]["Protocol"] for found in prod.resources("AWS::SNS::Subscription").values()]
    assert protocols == ["email"]
