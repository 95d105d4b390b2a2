"""One function of the service: a role of its own with exactly its grants, logs that end, tracing, the alias `live`."""

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from constructs import Construct

from infra.config import Stage
from infra.constructs.grants import TRACING, Target, Targets, statement, write_logs
from infra.constructs.logs import log_group
from infra.constructs.queues import DeadLetterQueue
from infra.entrypoints import EVERYWHERE, EntryPoint, On

ALIAS = "live"
EVENT_KEPT = Duration.hours(1)
EVENT_RETRIES = 2


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """What all functions share: one code asset and one layer."""

    code: lambda_.Code
    layer: lambda_.ILayerVersion


class ServiceFunction(Construct):
    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        entry: EntryPoint,
        stage: Stage,
        artifact: Artifact,
        env: Mapping[str, str],
        targets: Targets,
    ) -> None:
        super().__init__(scope, construct_id)
        self.entry = entry
        self.dead_letters = DeadLetterQueue(self, "DeadLetters", stage=stage) if entry.asynchronous else None
        self.logs = log_group(self, "Logs", stage=stage)
        self.role = self._role(targets)
        self.function = lambda_.Function(
            self,
            "Function",
            code=artifact.code,
            layers=[artifact.layer],
            handler=entry.handler,
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            memory_size=entry.memory_mb,
            timeout=Duration.seconds(entry.timeout_s),
            environment={name: env[name] for name in (*EVERYWHERE, *entry.env)},
            # The role holds what the entry point lists; nothing that is wired up later may add to it.
            role=self.role.without_policy_updates(),
            log_group=self.logs,
            tracing=lambda_.Tracing.ACTIVE,
        )
        self.live = lambda_.Alias(self, "Live", alias_name=ALIAS, version=self.function.current_version)
        if self.dead_letters is not None:
            self.live.configure_async_invoke(
                on_failure=destinations.SqsDestination(self.dead_letters),
                max_event_age=EVENT_KEPT,
                retry_attempts=EVENT_RETRIES,
            )

    def _role(self, targets: Targets) -> iam.Role:
        own = dict(targets)
        if self.dead_letters is not None:
            own[On.OWN_DEAD_LETTERS] = Target((self.dead_letters.queue_arn,))
        statements = [statement(grant, own) for grant in (*self.entry.grants, TRACING)]
        return iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            inline_policies={
                "grants": iam.PolicyDocument(statements=[*statements, write_logs(self.logs.log_group_arn)])
            },
        )
