"""Alarms on single metrics: a dead letter, a failing function, runs of contracts that fail, the brake.

They notify by e-mail where the stage has an address, and show in the console everywhere.
"""

from collections.abc import Iterable

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

PERIOD = Duration.minutes(5)
# A run fails by design when a host cannot start an instance; this many at once are not one bad host.
FAILED_RUNS = 5
# What `rental/service/silence.py` logs.
BRAKE_LINE = "brake"


class Alarms(Construct):
    def __init__(self, scope: Construct, construct_id: str, *, email: str | None) -> None:
        super().__init__(scope, construct_id)
        self._topic = self._make_topic(email) if email else None

    def watch_dead_letters(self, queues: Iterable[sqs.Queue]) -> None:
        for queue in queues:
            self._alarm(
                f"{queue.node.path} has messages",
                queue.metric_approximate_number_of_messages_visible(period=PERIOD, statistic="Maximum"),
                "Work or an event could not be processed and waits for a person.",
            )

    def watch_functions(self, functions: Iterable[lambda_.Function]) -> None:
        for function in functions:
            self._alarm(
                f"{function.node.path} has errors",
                function.metric_errors(period=PERIOD, statistic="Sum"),
                "A function ended with an error of its own; its log has the request.",
            )

    def watch_machine(self, machine: sfn.StateMachine) -> None:
        self._alarm(
            f"{machine.node.path} has failed runs",
            machine.metric_failed(period=PERIOD, statistic="Sum"),
            "Many runs of contracts failed within five minutes. The sweep resumes them.",
            threshold=FAILED_RUNS,
        )

    def watch_brake(self, log_group: logs.ILogGroup, *, stage_name: str) -> None:
        """The sweep logs this line for as long as it holds back."""
        found = logs.MetricFilter(
            self,
            "BrakeLines",
            log_group=log_group,
            filter_pattern=logs.FilterPattern.string_value("$.message", "=", BRAKE_LINE),
            metric_namespace=f"GPULease/{stage_name}",
            metric_name="Brake",
        )
        self._alarm(
            f"{self.node.path}/Brake",
            found.metric(period=PERIOD, statistic="Sum"),
            "Too many hosts fell silent at once, so none is marked offline. Look for what keeps their reports from"
            ' arriving; if they are really gone, invoke the sweep with {"brake": false}.',
        )

    def _alarm(self, name: str, metric: cloudwatch.IMetric, description: str, threshold: int = 1) -> None:
        alarm = cloudwatch.Alarm(
            self,
            "".join(part.capitalize() for part in name.removeprefix(Stack.of(self).node.path).split("/")),
            metric=metric,
            threshold=threshold,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=description,
        )
        if self._topic is not None:
            alarm.add_alarm_action(actions.SnsAction(self._topic))

    def _make_topic(self, email: str) -> sns.Topic:
        topic = sns.Topic(self, "Topic", enforce_ssl=True)
        topic.add_subscription(subscriptions.EmailSubscription(email))
        return topic
