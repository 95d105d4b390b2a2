"""The rental table with its three indexes, and the small table of when each host was last heard.

Both are encrypted with the key that DynamoDB owns: secrets in them are sealed to the hosts' machine keys already, and
API keys are hashes. Indexes project everything, but for the sparse one of deadlines, which only says what is due.
"""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from infra.config import Stage

_TEXT = dynamodb.AttributeType.STRING
_NUMBER = dynamodb.AttributeType.NUMBER


def _key(name: str, kind: dynamodb.AttributeType) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=kind)


class RentalTable(dynamodb.Table):
    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage) -> None:
        super().__init__(
            scope,
            construct_id,
            partition_key=_key("pk", _TEXT),
            sort_key=_key("sk", _TEXT),
            time_to_live_attribute="ttl",
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            point_in_time_recovery_specification=_RECOVERY,
            deletion_protection=stage.keep_data,
            removal_policy=_removal(stage),
        )
        for index in ("gsi1", "gsi2"):
            self.add_global_secondary_index(
                index_name=index.upper(),
                partition_key=_key(f"{index}pk", _TEXT),
                sort_key=_key(f"{index}sk", _TEXT),
            )
        self.add_global_secondary_index(
            index_name="GSI3",
            partition_key=_key("gsi3pk", _TEXT),
            sort_key=_key("next_due", _NUMBER),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
        )


class LivenessTable(dynamodb.Table):
    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage) -> None:
        super().__init__(
            scope,
            construct_id,
            partition_key=_key("host_id", _NUMBER),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            point_in_time_recovery_specification=_RECOVERY,
            deletion_protection=stage.keep_data,
            removal_policy=_removal(stage),
        )


_RECOVERY = dynamodb.PointInTimeRecoverySpecification(point_in_time_recovery_enabled=True)


def _removal(stage: Stage) -> RemovalPolicy:
    return RemovalPolicy.RETAIN if stage.keep_data else RemovalPolicy.DESTROY
