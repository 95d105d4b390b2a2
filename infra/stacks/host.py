"""What GPU machines touch: the role they take, the bus they speak on, the command they are sent."""

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_events as events
from constructs import Construct

from infra.constructs.host_access import HostCommand, HostRole


class HostStack(Stack):
    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        # A bus must have a name; the CDK makes one from this stack's, so that stages never share a bus.
        self.bus = events.EventBus(self, "Bus")
        self.role = HostRole(self, "Role", bus=self.bus)
        self.command = HostCommand(self, "Command")
        CfnOutput(self, "EventBusName", value=self.bus.event_bus_name)
        CfnOutput(self, "HostRoleName", value=self.role.role_name)
        CfnOutput(self, "HostRoleArn", value=self.role.role_arn)
        CfnOutput(self, "CommandDocumentName", value=self.command.ref)
