"""A small CDK application with every kind of resource the local cloud has to carry."""

from __future__ import annotations

import json

import aws_cdk as cdk
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_ssm as ssm
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct


class DataStack(cdk.Stack):
    """A table with a time to live, and a key that signs."""

    def __init__(self, scope: Construct, name: str) -> None:
        super().__init__(scope, name)
        text = dynamodb.AttributeType.STRING
        self.table = dynamodb.TableV2(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name="pk", type=text),
            sort_key=dynamodb.Attribute(name="sk", type=text),
            time_to_live_attribute="ttl",
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        key = kms.Key(self, "Key", key_spec=kms.KeySpec.ECC_NIST_P256, key_usage=kms.KeyUsage.SIGN_VERIFY)
        cdk.CfnOutput(self, "KeyId", value=key.key_id)
        cdk.CfnOutput(self, "TableName", value=self.table.table_name)


class ServiceStack(cdk.Stack):
    """One API, one bus with a queue behind it, one state machine, one Command document."""

    def __init__(self, scope: Construct, name: str, *, table: dynamodb.TableV2) -> None:
        super().__init__(scope, name)
        self._code = lambda_.Code.from_asset("functions")
        self._layer = lambda_.LayerVersion(self, "Layer", code=lambda_.Code.from_asset("layer"))
        self._table = table
        echo = self._function("Echo", "handlers.echo", {"GREETING": self.node.try_get_context("greeting") or "hello"})
        table.grant_read_write_data(echo)
        writer = self._function("Writer", "handlers.write_records")
        table.grant_write_data(writer)
        self._function("Ungranted", "handlers.write_records")
        self._add_api(echo)
        self._add_bus(writer)
        self._add_machine(writer)
        self._add_document()

    def _function(self, name: str, handler: str, environment: dict[str, str] | None = None) -> lambda_.Function:
        function = lambda_.Function(
            self,
            name,
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            handler=handler,
            code=self._code,
            layers=[self._layer],
            timeout=cdk.Duration.seconds(10),
            environment={"TABLE_NAME": self._table.table_name, **(environment or {})},
        )
        cdk.CfnOutput(self, f"{name}Function", value=function.function_name)
        return function

    def _add_api(self, echo: lambda_.Function) -> None:
        api = apigateway.HttpApi(self, "Api")
        api.add_routes(
            path="/{proxy+}",
            methods=[apigateway.HttpMethod.ANY],
            integration=integrations.HttpLambdaIntegration("Echo", echo),
        )
        cdk.CfnOutput(self, "ApiUrl", value=api.api_endpoint)

    def _add_bus(self, writer: lambda_.Function) -> None:
        bus = events.EventBus(self, "Bus")
        dead = sqs.Queue(self, "Dead")
        queue = sqs.Queue(self, "Queue", dead_letter_queue=sqs.DeadLetterQueue(max_receive_count=3, queue=dead))
        rule = events.Rule(self, "Rule", event_bus=bus, event_pattern=events.EventPattern(source=["tiny"]))
        rule.add_target(targets.SqsQueue(queue))
        writer.add_event_source(sources.SqsEventSource(queue, batch_size=10, report_batch_item_failures=True))
        cdk.CfnOutput(self, "BusName", value=bus.event_bus_name)
        cdk.CfnOutput(self, "DeadUrl", value=dead.queue_url)
        cdk.CfnOutput(self, "QueueUrl", value=queue.queue_url)

    def _add_machine(self, writer: lambda_.Function) -> None:
        role = iam.Role(self, "MachineRole", assumed_by=iam.ServicePrincipal("states.amazonaws.com"))
        writer.grant_invoke(role)
        task = {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Arguments": {"FunctionName": writer.function_arn, "Payload": "{% $states.input %}"},
            "End": True,
        }
        definition = {"QueryLanguage": "JSONata", "StartAt": "Write", "States": {"Write": task}}
        machine = stepfunctions.CfnStateMachine(
            self, "Machine", role_arn=role.role_arn, definition_string=self.to_json_string(definition)
        )
        cdk.CfnOutput(self, "MachineArn", value=machine.ref)

    def _add_document(self) -> None:
        content = {
            "schemaVersion": "2.2",
            "parameters": {"Order": {"type": "String", "allowedPattern": "^[A-Za-z0-9_-]+$"}},
            "mainSteps": [
                {
                    "action": "aws:runShellScript",
                    "name": "accept",
                    "inputs": {"timeoutSeconds": "60", "runCommand": ["echo '{{ Order }}'"]},
                }
            ],
        }
        document = ssm.CfnDocument(self, "Document", content=json.loads(json.dumps(content)), document_type="Command")
        document.update_method = "NewVersion"
        cdk.CfnOutput(self, "DocumentName", value=document.ref)


def main() -> None:
    """Write the assembly."""
    app = cdk.App()
    data = DataStack(app, "Tiny-Data")
    ServiceStack(app, "Tiny-Service", table=data.table)
    app.synth()


main()
