"""The state machine of `statemachines/contract.asl.json`, with this deployment's function and provision timeout in it.

The file stays valid JSON with literal timeouts, so that it reads, diffs and runs as it is; the stage's value is put in
here. A computed timeout would be simpler to set and is no option: it could not be checked without running it.
"""

import json

from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.config import Stage
from infra.constructs.logs import log_group
from infra.paths import STATE_MACHINE

STEP_FUNCTION = "StepFunctionArn"


class ContractMachine(sfn.StateMachine):
    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage, step: lambda_.IFunction) -> None:
        self.logs = log_group(scope, f"{construct_id}Logs", stage=stage)
        super().__init__(
            scope,
            construct_id,
            definition_body=sfn.DefinitionBody.from_string(definition(stage)),
            definition_substitutions={STEP_FUNCTION: step.function_arn},
            role=_role(scope, f"{construct_id}Role", step),
            tracing_enabled=True,
            # The data of an execution holds task tokens, and these are never written down outside the table.
            logs=sfn.LogOptions(destination=self.logs, level=sfn.LogLevel.ALL, include_execution_data=False),
        )


def definition(stage: Stage) -> str:
    machine = json.loads(STATE_MACHINE.read_text())
    machine["States"]["provision"]["TimeoutSeconds"] = stage.provision_timeout_s
    return json.dumps(machine)


def _role(scope: Construct, construct_id: str, step: lambda_.IFunction) -> iam.Role:
    """The machine may do one thing; tracing and log delivery, which name no resource, are added by its construct."""
    invoke = iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[step.function_arn])
    return iam.Role(
        scope,
        construct_id,
        assumed_by=iam.ServicePrincipal("states.amazonaws.com"),
        inline_policies={"step": iam.PolicyDocument(statements=[invoke])},
    )
