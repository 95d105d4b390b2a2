"""Every function of the service on one screen: what starts it, its size, what it is told, what it may do.

The names of resources stand for ARNs that `constructs/grants.py` fills in. A policy holds what is listed here, the
function's own log stream and the trace segments, and nothing else; only `dispatch` may send commands to hosts,
and only `api_certificates` may sign as the certificate authority.
"""

from dataclasses import dataclass
from enum import StrEnum


class On(StrEnum):
    """What a grant is on."""

    TABLE = "table"
    API_KEYS = "items of API keys in the table"
    KEYS_AND_ACCOUNTS = "items of API keys and accounts in the table"
    AUTHORITY_ITEMS = "items of the certificate authority in the table"
    AUTHORITY_KEY = "key of the certificate authority"
    BY_ACCOUNT = "index GSI1"
    BY_OWNER = "index GSI2"
    BY_DEADLINE = "index GSI3"
    LIVENESS = "liveness table"
    TOKEN_KEY = "key of JupyterLab's tokens"
    URGENT_QUEUE = "urgent queue"
    NORMAL_QUEUE = "normal queue"
    HEARTBEAT_QUEUE = "heartbeat queue"
    OWN_DEAD_LETTERS = "own dead-letter queue"
    MACHINE = "contract machine"
    EXECUTIONS = "executions of the contract machine"
    DOCUMENT = "command document"
    OUR_NODES = "managed nodes tagged with this stage"
    ANY_NODE = "managed nodes of this account"
    HOST_ROLE = "host role, passed to Systems Manager"
    HOST_PACKAGE = "the one object that is the host package"
    EVERYTHING = "*"


@dataclass(frozen=True)
class Grant:
    on: On
    actions: tuple[str, ...]
    reason: str = ""
    """Why no narrower resource than `*` exists; empty on all others."""
    is_denial: bool = False
    """Takes away what another grant gives."""


@dataclass(frozen=True, kw_only=True)
class EntryPoint:
    name: str
    env: tuple[str, ...] = ()
    grants: tuple[Grant, ...] = ()
    memory_mb: int = 512
    timeout_s: int = 15
    asynchronous: bool = False
    """Called by an event: has a queue for the events it could not take."""

    @property
    def handler(self) -> str:
        return f"handlers.{self.name}.handler"


LOOK_UP = ("dynamodb:GetItem", "dynamodb:BatchGetItem")
QUERY = ("dynamodb:Query",)
CONSUME = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")

# Only api_accounts may write keys and accounts.
KEEP_OUT = Grant(On.KEYS_AND_ACCOUNTS, ("dynamodb:PutItem", "dynamodb:DeleteItem"), is_denial=True)
# A change is one transaction of puts and deletes, after consistent reads, and rings for the hosts it concerns.
COMMIT = (Grant(On.TABLE, (*LOOK_UP, "dynamodb:PutItem", "dynamodb:DeleteItem")), KEEP_OUT)
RING = (Grant(On.URGENT_QUEUE, ("sqs:SendMessage",)), Grant(On.NORMAL_QUEUE, ("sqs:SendMessage",)))
CHANGE = (*COMMIT, *RING)
ANSWER_TASKS = Grant(
    On.EVERYTHING,
    ("states:SendTaskSuccess", "states:SendTaskFailure"),
    "the call names nothing but a task token, so a policy scoped to a machine is refused",
)
SIGHT = Grant(On.LIVENESS, ("dynamodb:GetItem", "dynamodb:PutItem"))
BURY = Grant(On.OWN_DEAD_LETTERS, ("sqs:SendMessage",))

QUEUES = ("URGENT_QUEUE_URL", "NORMAL_QUEUE_URL")
TERMS = ("CELL", "GRACE_S", "PROVISION_TIMEOUT_S")
JOINING = ("CELL", "ALLOW_SIMULATED_GPUS", "HOST_ROLE_NAME")

API = (
    # Everybody's requests reach it, so it sees nothing but keys.
    EntryPoint(name="authorizer", env=("TABLE_NAME",), grants=(Grant(On.API_KEYS, ("dynamodb:GetItem",)),)),
    EntryPoint(name="api_root"),
    EntryPoint(
        name="api_offers",
        env=("TABLE_NAME", "PROXY"),
        grants=(Grant(On.TABLE, ("dynamodb:GetItem",)), Grant(On.BY_OWNER, QUERY)),
    ),
    EntryPoint(
        name="api_contracts",
        env=("TABLE_NAME", *QUEUES, "STATE_MACHINE_ARN", *TERMS, "TOKEN_KEY_ARN", "PROXY"),
        grants=(
            *CHANGE,
            Grant(On.TABLE, QUERY),
            Grant(On.BY_ACCOUNT, QUERY),
            Grant(On.MACHINE, ("states:StartExecution",)),
            Grant(On.EXECUTIONS, ("states:StopExecution",)),
            Grant(On.TOKEN_KEY, ("kms:GenerateMac",)),
        ),
        memory_mb=1024,  # the one a client waits for: CPU comes with memory
    ),
    EntryPoint(
        name="api_hosts",
        env=("TABLE_NAME", "LIVENESS_TABLE_NAME", *QUEUES, *JOINING, "API_URL"),
        grants=(
            *CHANGE,
            Grant(On.BY_OWNER, QUERY),
            Grant(On.LIVENESS, ("dynamodb:GetItem",)),
            Grant(On.HOST_ROLE, ("iam:PassRole",)),
            Grant(On.ANY_NODE, ("ssm:AddTagsToResource",)),
            Grant(
                On.EVERYTHING,
                ("ssm:CreateActivation",),
                "an activation has no ARN before it exists; what it can become is bounded by iam:PassRole",
            ),
        ),
    ),
    EntryPoint(
        name="api_calls",
        env=("TABLE_NAME", *QUEUES),
        grants=(Grant(On.TABLE, ("dynamodb:GetItem", "dynamodb:PutItem")), KEEP_OUT, RING[0]),
        timeout_s=29,  # a command may take 20 s, and API Gateway waits for 30
    ),
    EntryPoint(
        name="api_accounts",
        env=("TABLE_NAME",),
        grants=(
            Grant(On.TABLE, ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem")),
            Grant(On.BY_ACCOUNT, QUERY),
        ),
    ),
    EntryPoint(name="api_proxy", env=("TABLE_NAME",), grants=(Grant(On.TABLE, LOOK_UP),)),
    EntryPoint(
        name="api_install",
        env=("API_URL", "HOST_PACKAGE_BUCKET", "HOST_PACKAGE_KEY"),
        grants=(Grant(On.HOST_PACKAGE, ("s3:GetObject",)),),
    ),
    EntryPoint(
        name="api_machine",
        env=("TABLE_NAME", "EVENT_BUS_NAME", "TUNNEL_ENDS"),
        grants=(
            *COMMIT,
            Grant(
                On.EVERYTHING,
                ("ssm:DescribeInstanceInformation",),
                "a list call: the service defines no resource for it",
            ),
        ),
    ),
    # Its own function, so that nothing else that hosts talk to can sign.
    EntryPoint(
        name="api_certificates",
        env=("TABLE_NAME", "AUTHORITY_KEY_ID", "ZONE", "API_URL"),
        grants=(
            Grant(On.TABLE, ("dynamodb:GetItem",)),
            Grant(On.AUTHORITY_ITEMS, ("dynamodb:PutItem",)),
            Grant(On.AUTHORITY_KEY, ("kms:GetPublicKey", "kms:Sign")),
        ),
    ),
)

WORKERS = (
    EntryPoint(
        name="step",
        env=("TABLE_NAME", *QUEUES),
        grants=(*CHANGE, ANSWER_TASKS),
        timeout_s=20,  # below the 30 s that the state machine waits for it
    ),
    EntryPoint(
        name="dispatch",
        env=("TABLE_NAME", "COMMAND_DOCUMENT_NAME"),
        grants=(
            Grant(On.TABLE, LOOK_UP),
            Grant(On.DOCUMENT, ("ssm:SendCommand",)),
            Grant(On.OUR_NODES, ("ssm:SendCommand",)),
            Grant(On.URGENT_QUEUE, CONSUME),
            Grant(On.NORMAL_QUEUE, CONSUME),
        ),
        timeout_s=10,  # six times this is what a failed bell waits for its next try
    ),
    EntryPoint(
        name="on_instance_changed",
        env=("TABLE_NAME", "LIVENESS_TABLE_NAME", *QUEUES),
        grants=(*CHANGE, SIGHT, ANSWER_TASKS, BURY),
        asynchronous=True,
    ),
    EntryPoint(
        name="on_heartbeat",
        env=("TABLE_NAME", "LIVENESS_TABLE_NAME", *QUEUES),
        grants=(
            *CHANGE,
            SIGHT,
            ANSWER_TASKS,
            Grant(On.HEARTBEAT_QUEUE, CONSUME),
        ),
        timeout_s=30,
    ),
    EntryPoint(
        name="sweep",
        env=("TABLE_NAME", "LIVENESS_TABLE_NAME", *QUEUES, "STATE_MACHINE_ARN"),
        grants=(
            *CHANGE,
            Grant(On.BY_DEADLINE, QUERY),
            Grant(On.BY_OWNER, QUERY),
            Grant(On.LIVENESS, ("dynamodb:Scan", "dynamodb:PutItem")),
            Grant(On.MACHINE, ("states:StartExecution",)),
            Grant(On.EXECUTIONS, ("states:DescribeExecution", "states:StopExecution")),
            ANSWER_TASKS,
            BURY,
        ),
        timeout_s=55,  # done before the next one starts
        asynchronous=True,
    ),
)

ENTRY_POINTS = {entry.name: entry for entry in API + WORKERS}

EVERYWHERE = ("STAGE", "POWERTOOLS_SERVICE_NAME", "POWERTOOLS_LOG_LEVEL")
