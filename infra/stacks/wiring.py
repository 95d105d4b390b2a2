"""The names that `entrypoints.py` uses, for what they stand for in this deployment: ARNs and environment variables."""

from collections.abc import Mapping

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_stepfunctions as sfn

from infra.config import Stage
from infra.constructs.api import RentalApi
from infra.constructs.grants import Target
from infra.constructs.host_access import SSM
from infra.constructs.host_package import HostPackageAsset
from infra.constructs.queues import WorkQueue
from infra.entrypoints import On
from infra.stacks.data import DataStack
from infra.stacks.host import HostStack

STAGE_TAG = "gpulease:stage"
# Partition keys of API keys, accounts and the authority, as `rental/adapters/items.py` writes them. The local cloud
# does not know the partition keys of a request: what these allow is allowed for all items there, what they deny for
# none.
API_KEYS = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": "K#*"}}
AUTHORITY_ITEMS = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": "CA#*"}}
KEYS_AND_ACCOUNTS = {"ForAnyValue:StringLike": {"dynamodb:LeadingKeys": ["K#*", "A#*"]}}


class Wiring:
    def __init__(
        self, stack: Stack, *, stage: Stage, data: DataStack, host: HostStack, queues: Mapping[On, WorkQueue]
    ) -> None:
        self._stack = stack
        self.env = {
            "STAGE": stage.name,
            "POWERTOOLS_SERVICE_NAME": "gpulease",
            "POWERTOOLS_LOG_LEVEL": stage.log_level,
            "CELL": str(stage.cell),
            "GRACE_S": str(stage.grace_s),
            "PROVISION_TIMEOUT_S": str(stage.provision_timeout_s),
            "ZONE": stage.zone,
            "ALLOW_SIMULATED_GPUS": str(stage.allow_simulated_gpus).lower(),
            "TABLE_NAME": data.rentals.table_name,
            "LIVENESS_TABLE_NAME": data.liveness.table_name,
            "URGENT_QUEUE_URL": queues[On.URGENT_QUEUE].queue.queue_url,
            "NORMAL_QUEUE_URL": queues[On.NORMAL_QUEUE].queue.queue_url,
            "COMMAND_DOCUMENT_NAME": host.command.ref,
            "HOST_ROLE_NAME": host.role.role_name,
            "TUNNEL_ENDS": stage.all_tunnel_ends(),
            "EVENT_BUS_NAME": host.bus.event_bus_name,
            "TOKEN_KEY_ARN": data.token_key.key_arn,
            "PROXY": stage.proxy.to_json(stage.zone) if stage.proxy is not None else "none",
            "AUTHORITY_KEY_ID": data.authority_key.key_id,
        }
        nodes = stack.format_arn(service="ssm", resource="managed-instance", resource_name="*")
        document = stack.format_arn(service="ssm", resource="document", resource_name=host.command.ref)
        self.targets = {
            On.TABLE: Target((data.rentals.table_arn,)),
            On.API_KEYS: Target((data.rentals.table_arn,), API_KEYS),
            On.KEYS_AND_ACCOUNTS: Target((data.rentals.table_arn,), KEYS_AND_ACCOUNTS),
            On.AUTHORITY_ITEMS: Target((data.rentals.table_arn,), AUTHORITY_ITEMS),
            On.AUTHORITY_KEY: Target((data.authority_key.key_arn,)),
            On.BY_ACCOUNT: Target((f"{data.rentals.table_arn}/index/GSI1",)),
            On.BY_OWNER: Target((f"{data.rentals.table_arn}/index/GSI2",)),
            On.BY_DEADLINE: Target((f"{data.rentals.table_arn}/index/GSI3",)),
            On.TOKEN_KEY: Target((data.token_key.key_arn,)),
            On.LIVENESS: Target((data.liveness.table_arn,)),
            **{name: Target((made.queue.queue_arn,)) for name, made in queues.items()},
            On.DOCUMENT: Target((document,)),
            On.OUR_NODES: Target((nodes,), {"StringEquals": {f"ssm:resourceTag/{STAGE_TAG}": stage.name}}),
            On.ANY_NODE: Target((nodes,)),
            On.HOST_ROLE: Target((host.role.role_arn,), {"StringEquals": {"iam:PassedToService": SSM}}),
        }

    def add_api(self, api: RentalApi) -> None:
        self.env["API_URL"] = api.api_endpoint

    def add_package(self, package: HostPackageAsset) -> None:
        self.env["HOST_PACKAGE_BUCKET"] = package.s3_bucket_name
        self.env["HOST_PACKAGE_KEY"] = package.s3_object_key
        self.targets[On.HOST_PACKAGE] = Target((package.bucket.arn_for_objects(package.s3_object_key),))

    def add_machine(self, machine: sfn.StateMachine) -> None:
        executions = self._stack.format_arn(
            service="states",
            resource="execution",
            resource_name=f"{machine.state_machine_name}:*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        self.env["STATE_MACHINE_ARN"] = machine.state_machine_arn
        self.targets[On.MACHINE] = Target((machine.state_machine_arn,))
        self.targets[On.EXECUTIONS] = Target((executions,))
