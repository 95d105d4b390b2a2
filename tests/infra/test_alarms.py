"""Alarms: each says what to do, and whatever can fail silently has one."""

from typing import Any

from infra.config import STAGES
from infra.entrypoints import ENTRY_POINTS, On
from infra.stacks.service import LONGEST_WAIT_S
from infra.watches import QUEUE_WAITS, WATCHES, Watch
from rental.service import silence
from tests.infra.permissions import render
from tests.infra.synthesis import Synthesized


def alarms(made: Synthesized) -> list[dict[str, Any]]:
    return [found["Properties"] for found in made.resources("AWS::CloudWatch::Alarm").values()]


def alarms_of(made: Synthesized, watch: Watch) -> list[dict[str, Any]]:
    return [alarm for alarm in alarms(made) if alarm["AlarmDescription"] == watch.description]


def watched(made: Synthesized, namespace: str, metric: str) -> list[str]:
    """What the alarms on this metric are about."""
    return sorted(
        render(dimension["Value"])
        for alarm in alarms(made)
        if (alarm["Namespace"], alarm["MetricName"]) == (namespace, metric)
        for dimension in alarm.get("Dimensions", [])
    )


def names(made: Synthesized, kind: str, attribute: str = "") -> list[str]:
    """All of a kind, as a dimension names them."""
    return sorted(
        render({"Fn::GetAtt": [name, attribute]} if attribute else {"Ref": name}) for name in made.resources(kind)
    )


def test_every_alarm_says_what_is_wrong_and_what_to_do(prod: Synthesized) -> None:
    assert {alarm["AlarmDescription"] for alarm in alarms(prod)} == {watch.description for watch in WATCHES}
    for watch in WATCHES:
        assert watch.what[0].islower() or watch.what.startswith("the API")
        assert len(watch.do) > 30
        assert watch.do.endswith(".")


def test_every_function_is_watched_for_errors_and_all_together_for_throttles(prod: Synthesized) -> None:
    functions = names(prod, "AWS::Lambda::Function")
    assert len(functions) == len(ENTRY_POINTS)
    assert watched(prod, "AWS/Lambda", "Errors") == functions
    (throttles,) = [alarm for alarm in alarms(prod) if alarm["MetricName"] == "Throttles"]
    assert "Dimensions" not in throttles


def test_every_dead_letter_queue_is_watched_and_every_other_for_what_waits(prod: Synthesized) -> None:
    queues = names(prod, "AWS::SQS::Queue", "QueueName")
    dead = [name for name in queues if "DeadLetters" in name]
    assert len(dead) == 5
    assert watched(prod, "AWS/SQS", "ApproximateNumberOfMessagesVisible") == dead
    assert watched(prod, "AWS/SQS", "ApproximateAgeOfOldestMessage") == [name for name in queues if name not in dead]


def test_a_message_may_wait_as_long_as_its_tries_take(prod: Synthesized) -> None:
    """Else a single host out of reach would look like a reader that does not run."""
    queues = {name[:6]: each["Properties"] for name, each in prod.resources("AWS::SQS::Queue").items()}
    tries = queues["Urgent"]["RedrivePolicy"]["maxReceiveCount"]
    assert LONGEST_WAIT_S[On.URGENT_QUEUE] > queues["Urgent"]["VisibilityTimeout"] * tries
    assert LONGEST_WAIT_S[On.NORMAL_QUEUE] > queues["Normal"]["VisibilityTimeout"] * tries
    assert LONGEST_WAIT_S[On.HEARTBEAT_QUEUE] > queues["Heartb"]["VisibilityTimeout"]
    assert {alarm["Threshold"] for alarm in alarms_of(prod, QUEUE_WAITS)} == set(LONGEST_WAIT_S.values())


def test_every_table_is_watched_for_throttled_requests(prod: Synthesized) -> None:
    tables = len(prod.resources("AWS::DynamoDB::Table"))
    for deed in ("Read", "Write"):
        assert len(set(watched(prod, "AWS/DynamoDB", f"{deed}ThrottleEvents"))) == tables


def test_the_machine_is_watched_for_what_no_run_should_do(prod: Synthesized) -> None:
    (machine,) = names(prod, "AWS::StepFunctions::StateMachine")
    for metric in ("ExecutionsFailed", "ExecutionsTimedOut", "ExecutionThrottled"):
        assert watched(prod, "AWS/States", metric) == [machine]


def test_the_api_is_watched_for_faults_and_for_refusals_in_its_access_log(prod: Synthesized) -> None:
    assert watched(prod, "AWS/ApiGateway", "5xx") == names(prod, "AWS::ApiGatewayV2::Api")
    found = filters(prod)["Refusals"]
    (stage,) = prod.resources("AWS::ApiGatewayV2::Stage").values()
    assert found["LogGroupName"]["Ref"] in str(stage["Properties"]["AccessLogSettings"])
    assert found["FilterPattern"] == '{ $.status = "429" }'
    assert '"status": "$context.status"' in stage["Properties"]["AccessLogSettings"]["Format"]


def test_the_sweep_is_missed_when_it_does_not_run(prod: Synthesized) -> None:
    (alarm,) = [alarm for alarm in alarms(prod) if alarm["MetricName"] == "Invocations"]
    assert "Sweep" in render(alarm["Dimensions"][0]["Value"])
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("LessThanThreshold", 1)
    assert alarm["TreatMissingData"] == "breaching"


def test_the_brake_is_watched_by_the_line_that_the_sweep_logs(prod: Synthesized) -> None:
    found = filters(prod)["Brake"]
    assert "Sweep" in found["LogGroupName"]["Ref"]
    assert found["FilterPattern"] == f'{{ $.message = "{silence.BRAKE_LINE}" }}'


def test_every_line_that_is_counted_has_one_alarm(prod: Synthesized) -> None:
    told = [(each["Namespace"], each["MetricName"]) for each in alarms(prod)]
    for found in filters(prod).values():
        (metric,) = found["MetricTransformations"]
        assert told.count((metric["MetricNamespace"], metric["MetricName"])) == 1


def filters(made: Synthesized) -> dict[str, dict[str, Any]]:
    """Metric filters by the name of their metric."""
    found = [each["Properties"] for each in made.resources("AWS::Logs::MetricFilter").values()]
    return {each["MetricTransformations"][0]["MetricName"]: each for each in found}


def test_alarms_are_on_single_metrics_and_notify_where_there_is_an_address(
    prod: Synthesized, local: Synthesized
) -> None:
    assert STAGES["local"].alarm_email is None
    assert all("Metrics" not in alarm for alarm in alarms(prod))
    assert all(alarm["AlarmActions"] for alarm in alarms(prod))
    assert not local.resources("AWS::SNS::Topic")


def test_the_topic_lets_alarms_of_this_account_in_and_nobody_without_tls(prod: Synthesized) -> None:
    """Its own policy replaces the usual one: without the first statement no message would ever be sent."""
    (policy,) = prod.resources("AWS::SNS::TopicPolicy").values()
    (topic,) = prod.resources("AWS::SNS::Topic")
    statements = {each["Effect"]: each for each in policy["Properties"]["PolicyDocument"]["Statement"]}
    assert policy["Properties"]["Topics"] == [{"Ref": topic}]
    assert {str(action) for alarm in alarms(prod) for action in alarm["AlarmActions"]} == {str({"Ref": topic})}
    assert statements["Allow"]["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert statements["Allow"]["Action"] == "sns:Publish"
    assert statements["Allow"]["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert statements["Deny"]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
