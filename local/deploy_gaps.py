"""What the emulator's CloudFormation accepts and then leaves out, done after it: a table's time to live."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from local.assembly import Stack

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE_TYPES = frozenset({"AWS::DynamoDB::GlobalTable", "AWS::DynamoDB::Table"})


def set_time_to_live(stack: Stack, cloudformation: CloudFormationClient, dynamodb: DynamoDBClient) -> None:
    """Give the stack's tables the time-to-live attribute that its template says."""
    resources = json.loads(stack.template.read_text()).get("Resources", {})
    wanted = {
        logical_id: resource["Properties"]["TimeToLiveSpecification"]
        for logical_id, resource in resources.items()
        if resource["Type"] in TABLE_TYPES and "TimeToLiveSpecification" in resource["Properties"]
    }
    for logical_id, specification in wanted.items():
        found = cloudformation.describe_stack_resource(StackName=stack.name, LogicalResourceId=logical_id)
        table = found["StackResourceDetail"]["PhysicalResourceId"]
        dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=specification)
