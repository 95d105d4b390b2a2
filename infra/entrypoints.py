"""Every function of the service on one screen: what starts it, its size, what it is told, what it may do.

The names of resources stand for ARNs that `constructs/grants.py` fills in. A policy holds what is listed here, the
function's own log stream and the trace segments, and nothing else; only `dispatch` may send commands to hosts.
"""

from dataclasses import dataclass
from enum import StrEnum


class On(StrEnum):
    """What a grant is on."""

    TABLE = "table"
    TABLE_INDEXES = "table indexes"
    LIVENESS = "liveness table"
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
    EVERYTHING = "*"


@dataclass(frozen=True)
class Grant:
    on: On
    actions: tuple[str, ...]
    reason: str = ""
    """Why no narrower resource than `*` exists; empty on all others."""


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


READ = ("dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query")
WRITE = ("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem")
CONSUME = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")

COMMAND = (Grant(On.URGENT_QUEUE, ("sqs:SendMessage",)), Grant(On.NORMAL_QUEUE, ("sqs:SendMessage",)))
REPORT = (Grant(On.OWN_DEAD_LETTERS, ("sqs:SendMessage",)),)
STATE = (Grant(On.TABLE, READ + WRITE),)
SEEN = (Grant(On.LIVENESS, READ + WRITE),)
QUERY_INDEXES = (Grant(On.TABLE_INDEXES, ("dynamodb:Query",)),)
ANSWER_TASKS = (
    Grant(
        On.EVERYTHING,
        ("states:SendTaskSuccess", "states:SendTaskFailure"),
        "a task token names its execution; scoped to a machine the calls are refused by some endpoints",
    ),
)

TABLES = ("TABLE_NAME", "LIVENESS_TABLE_NAME")
QUEUES = ("URGENT_QUEUE_URL", "NORMAL_QUEUE_URL")
RULES = ("GRACE_S", "PROVISION_TIMEOUT_S")

API = (
    EntryPoint(name="authorizer", env=("TABLE_NAME",), grants=(Grant(On.TABLE, ("dynamodb:GetItem",)),)),
    EntryPoint(name="api_root"),
    EntryPoint(
        name="api_offers",
        env=("TABLE_NAME", "ALLOW_SIMULATED_GPUS"),
        grants=(Grant(On.TABLE, READ), *QUERY_INDEXES),
    ),
    EntryPoint(
        name="api_contracts",
        env=("TABLE_NAME", *QUEUES, "STATE_MACHINE_ARN", "CELL", *RULES, "ALLOW_SIMULATED_GPUS"),
        grants=(
            *STATE,
            *QUERY_INDEXES,
            *COMMAND,
            Grant(On.MACHINE, ("states:StartExecution",)),
            Grant(On.EXECUTIONS, ("states:StopExecution",)),
        ),
        memory_mb=1024,  # the one a client waits for: CPU comes with memory
    ),
    EntryPoint(
        name="api_hosts",
        env=("TABLE_NAME", "HOST_ROLE_NAME", "EVENT_BUS_NAME", "CELL", "ALLOW_SIMULATED_GPUS"),
        grants=(
            *STATE,
            *QUERY_INDEXES,
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
        name="api_machine",
        env=(*TABLES, "EVENT_BUS_NAME"),
        grants=(
            *STATE,
            *SEEN,
            Grant(
                On.EVERYTHING,
                ("ssm:DescribeInstanceInformation",),
                "a list call: the service defines no resource for it",
            ),
        ),
    ),
)

WORKERS = (
    EntryPoint(
        name="step",
        env=("TABLE_NAME", *QUEUES, *RULES),
        grants=(*STATE, *COMMAND, *ANSWER_TASKS),
        timeout_s=20,  # below the 30 s that the state machine waits for it
    ),
    EntryPoint(
        name="dispatch",
        env=("TABLE_NAME", "COMMAND_DOCUMENT_NAME"),
        grants=(
            Grant(On.TABLE, ("dynamodb:GetItem", "dynamodb:BatchGetItem")),
            Grant(On.DOCUMENT, ("ssm:SendCommand",)),
            Grant(On.OUR_NODES, ("ssm:SendCommand",)),
            Grant(On.URGENT_QUEUE, CONSUME),
            Grant(On.NORMAL_QUEUE, CONSUME),
        ),
    ),
    EntryPoint(
        name="on_instance_changed",
        env=(*TABLES, *QUEUES, *RULES),
        grants=(*STATE, *SEEN, *COMMAND, *ANSWER_TASKS, *REPORT),
        asynchronous=True,
    ),
    EntryPoint(
        name="on_heartbeat",
        env=(*TABLES, *QUEUES, *RULES),
        grants=(*STATE, *SEEN, *COMMAND, *ANSWER_TASKS, Grant(On.HEARTBEAT_QUEUE, CONSUME)),
        timeout_s=30,
    ),
    EntryPoint(
        name="sweep",
        env=(*TABLES, *QUEUES, "STATE_MACHINE_ARN", *RULES),
        grants=(
            *STATE,
            *QUERY_INDEXES,
            *COMMAND,
            Grant(On.LIVENESS, (*READ, *WRITE, "dynamodb:Scan")),
            Grant(On.MACHINE, ("states:StartExecution", "states:ListExecutions")),
            Grant(On.EXECUTIONS, ("states:DescribeExecution", "states:StopExecution")),
            *REPORT,
        ),
        timeout_s=55,  # done before the next one starts
        asynchronous=True,
    ),
)

ENTRY_POINTS = {entry.name: entry for entry in API + WORKERS}

EVERYWHERE = ("STAGE", "POWERTOOLS_SERVICE_NAME", "POWERTOOLS_LOG_LEVEL")
