"""The alarms of `watches.py`, each on the resources that it is about.

They notify by e-mail where the stage has an address, and show in the console everywhere. Runs that were stopped have
none: whatever starts the next run of a contract stops the last.
"""

from collections.abc import Iterable, Mapping

from aws_cdk import Duration, Stack
from aws_cdk import aws_apigatewayv2 as apigw
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct, IConstruct

from infra import watches
from infra.watches import Watch

PERIOD = Duration.minutes(5)
# What `rental/service/silence.py` logs.
BRAKE_LINE = "brake"
# What `handlers/refusals.py` logs.
REFUSAL_LINE, REPEATED = "refused", "repeated"


class Alarms(Construct):
    def __init__(self, scope: Construct, construct_id: str, *, email: str | None, namespace: str) -> None:
        super().__init__(scope, construct_id)
        self._topic = self._make_topic(email) if email else None
        self._namespace = namespace

    def watch_dead_letters(self, queues: Iterable[sqs.Queue]) -> None:
        for queue in queues:
            metric = queue.metric_approximate_number_of_messages_visible()
            self._alarm("Messages", watches.DEAD_LETTERS, metric, about=queue)

    def watch_work(self, longest_wait_s: Mapping[sqs.Queue, int]) -> None:
        """A queue's own limit goes with it, in seconds."""
        for queue, limit_s in longest_wait_s.items():
            metric = queue.metric_approximate_age_of_oldest_message()
            self._alarm("Waits", watches.QUEUE_WAITS, metric, about=queue, at_least=limit_s)

    def watch_functions(self, functions: Iterable[lambda_.Function]) -> None:
        """One alarm for all throttles: functions share the account's concurrency, so it matters little who met it."""
        for function in functions:
            self._alarm("Errors", watches.FUNCTION_ERRORS, function.metric_errors(), about=function)
        self._alarm("FunctionsThrottled", watches.FUNCTIONS_THROTTLED, lambda_.Function.metric_all_throttles())

    def watch_api(self, api: apigw.HttpApi, access_logs: logs.ILogGroup) -> None:
        self._alarm("ApiFaults", watches.API_FAULTS, api.metric_server_error())
        refused = logs.FilterPattern.string_value("$.status", "=", "429")
        self._alarm("ApiRefusals", watches.API_REFUSALS, self._count_lines("Refusals", access_logs, refused))

    def watch_tables(self, tables: Iterable[dynamodb.Table]) -> None:
        for table in tables:
            for deed in ("Read", "Write"):
                metric = table.metric(f"{deed}ThrottleEvents")
                self._alarm(f"{deed}sThrottled", watches.TABLE_THROTTLED, metric, about=table)

    def watch_machine(self, machine: sfn.StateMachine) -> None:
        self._alarm("RunsFailed", watches.RUNS_FAILED, machine.metric_failed())
        self._alarm("RunTimedOut", watches.RUN_TIMED_OUT, machine.metric_timed_out())
        self._alarm("MachineThrottled", watches.MACHINE_THROTTLED, machine.metric_throttled())

    def watch_sweep(self, sweep: lambda_.Function, log_group: logs.ILogGroup) -> None:
        """It runs each minute, and logs the brake's line for as long as it holds back."""
        self._alarm("SweepMissing", watches.SWEEP_MISSING, sweep.metric_invocations())
        braked = logs.FilterPattern.string_value("$.message", "=", BRAKE_LINE)
        self._alarm("Brake", watches.BRAKE, self._count_lines("Brake", log_group, braked))

    def watch_refusals(self, log_groups: Mapping[str, logs.ILogGroup]) -> None:
        """Functions that machines talk to log a line for each request or report that they do not believe."""
        line = logs.FilterPattern.string_value("$.message", "=", REFUSAL_LINE)
        refused, repeated = watches.MACHINES_REFUSED, watches.REPORTS_REPEATED
        kinds = (("MachinesRefused", refused, "!="), ("ReportsRepeated", repeated, "="))
        for name, watch, sign in kinds:
            pattern = logs.FilterPattern.all(line, logs.FilterPattern.string_value("$.why", sign, REPEATED))
            counted = [self._count_lines(name, group, pattern, of=of) for of, group in log_groups.items()]
            self._alarm(name, watch, counted[0])  # one metric, to which every log adds

    def _count_lines(
        self, name: str, log_group: logs.ILogGroup, pattern: logs.IFilterPattern, of: str = ""
    ) -> cloudwatch.Metric:
        found = logs.MetricFilter(
            self,
            f"{name}Lines{of}",
            log_group=log_group,
            filter_pattern=pattern,
            metric_namespace=self._namespace,
            metric_name=name,
        )
        return found.metric()

    def _alarm(
        self,
        name: str,
        watch: Watch,
        metric: cloudwatch.Metric,
        *,
        about: IConstruct | None = None,
        at_least: int | None = None,
    ) -> None:
        operators, missing = cloudwatch.ComparisonOperator, cloudwatch.TreatMissingData
        enough = operators.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
        alarm = cloudwatch.Alarm(
            self,
            f"{_path_of(about)}{name}",
            metric=metric.with_(period=PERIOD, statistic=watch.statistic),
            threshold=at_least or watch.at_least,
            evaluation_periods=1,
            comparison_operator=operators.LESS_THAN_THRESHOLD if watch.is_absence else enough,
            treat_missing_data=missing.BREACHING if watch.is_absence else missing.NOT_BREACHING,
            alarm_description=watch.description,
        )
        if self._topic is not None:
            alarm.add_alarm_action(actions.SnsAction(self._topic))

    def _make_topic(self, email: str) -> sns.Topic:
        topic = sns.Topic(self, "Topic", enforce_ssl=True)
        # A topic with a policy of its own no longer has the one that lets alarms of its account in.
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            )
        )
        topic.add_subscription(subscriptions.EmailSubscription(email))
        return topic


def _path_of(about: IConstruct | None) -> str:
    """Where it stands in its stack, in one word."""
    return "" if about is None else "".join(about.node.path.split("/")[1:])
