"""What a machine that joins may do, and the one command it can be sent.

The role is the agent's own: calls that keep it registered and bring it commands, nothing that reads a parameter, opens
a shell session or touches another machine; and it may put events on one bus. All hosts share it, so it names nobody:
events are signed with each host's machine key.
"""

from aws_cdk import Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_ssm as ssm
from constructs import Construct

SSM = "ssm.amazonaws.com"

# Commands reach agents over a control channel, or by polling ec2messages where no channel can be opened. The data
# channels of interactive sessions are left out: nobody gets a shell through this role.
AGENT_CALLS = (
    "ssm:UpdateInstanceInformation",
    "ssm:ListAssociations",
    "ssm:ListInstanceAssociations",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:OpenControlChannel",
    "ec2messages:GetMessages",
    "ec2messages:AcknowledgeMessage",
    "ec2messages:SendReply",
    "ec2messages:FailMessage",
    "ec2messages:DeleteMessage",
)

ORDER_PATTERN = "^[A-Za-z0-9_-]+$"
"""base64url and nothing that a shell could read; no counted repeat, the agent's regular expressions end at 1,000."""

COMMAND = {
    "schemaVersion": "2.2",
    "description": "Hands an order to the GPULease host program, which accepts or refuses it and works on its own.",
    "parameters": {
        "Order": {
            "type": "String",
            "description": "base64url of schemas/command.v1.json",
            "allowedPattern": ORDER_PATTERN,
        }
    },
    "mainSteps": [
        {
            "name": "accept",
            "action": "aws:runShellScript",
            "inputs": {"timeoutSeconds": "60", "runCommand": ["gpulease-host accept '{{ Order }}'"]},
        }
    ],
}


class HostRole(iam.Role):
    def __init__(self, scope: Construct, construct_id: str, *, bus: events.IEventBus) -> None:
        agent = iam.PolicyStatement(actions=list(AGENT_CALLS), resources=["*"])
        speak = iam.PolicyStatement(actions=["events:PutEvents"], resources=[bus.event_bus_arn])
        super().__init__(
            scope,
            construct_id,
            assumed_by=_ssm_of_this_account(scope),
            inline_policies={"host": iam.PolicyDocument(statements=[agent, speak])},
        )


class HostCommand(ssm.CfnDocument):
    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(
            scope,
            construct_id,
            document_type="Command",
            document_format="JSON",
            content=COMMAND,
            # A replaced document would change the name that functions hold; a new version keeps it.
            update_method="NewVersion",
        )


def _ssm_of_this_account(scope: Construct) -> iam.IPrincipal:
    """Without the account, Systems Manager could be made to use the role for somebody else's machines."""
    stack = Stack.of(scope)
    return iam.ServicePrincipal(
        SSM,
        conditions={
            "StringEquals": {"aws:SourceAccount": stack.account},
            "ArnLike": {"aws:SourceArn": stack.format_arn(service="ssm", resource="*")},
        },
    )
