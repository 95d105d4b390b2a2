"""From the grants of `entrypoints.py` to IAM statements: one statement a grant, in the same order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aws_cdk import aws_iam as iam

from infra.entrypoints import Grant, On


class GrantError(ValueError):
    """A grant that cannot be given as it stands."""


@dataclass(frozen=True)
class Target:
    """The ARNs that a grant is on, and the conditions that go with them."""

    arns: tuple[str, ...]
    conditions: Mapping[str, Mapping[str, str | Sequence[str]]] = field(default_factory=dict)


Targets = Mapping[On, Target]

TRACING = Grant(
    On.EVERYTHING,
    ("xray:PutTraceSegments", "xray:PutTelemetryRecords"),
    "X-Ray defines no resource for trace segments",
)


def statement(grant: Grant, targets: Targets) -> iam.PolicyStatement:
    if (grant.on is On.EVERYTHING) != bool(grant.reason):
        raise GrantError(f"{grant.actions} on {grant.on}: a reason belongs to `*`, and only to it")
    if grant.on is On.EVERYTHING:
        return iam.PolicyStatement(actions=list(grant.actions), resources=["*"])
    if grant.on not in targets:
        raise GrantError(f"{grant.actions}: no {grant.on} exists yet where this function is made")
    target = targets[grant.on]
    return iam.PolicyStatement(
        effect=iam.Effect.DENY if grant.is_denial else iam.Effect.ALLOW,
        actions=list(grant.actions),
        resources=list(target.arns),
        conditions={operator: dict(keys) for operator, keys in target.conditions.items()} or None,
    )


def write_logs(log_group_arn: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[log_group_arn])
