"""Put the service together from the environment. Each entry point takes only what it uses; clients are made lazily."""

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.session import Session

from rental.adapters.access_store import ItemAccessStore
from rental.adapters.authority_store import ItemAuthorityStore
from rental.adapters.call_store import ItemCallStore
from rental.adapters.dynamodb.liveness import DynamoLiveness
from rental.adapters.dynamodb.table import DynamoTable
from rental.adapters.kms_tokens import KmsTokens
from rental.adapters.records import from_record
from rental.adapters.settings import (
    LivenessSettings,
    MachineSettings,
    ProxySettings,
    QueueSettings,
    TableSettings,
    TokenSettings,
    from_env,
)
from rental.adapters.sqs import QueueBells
from rental.adapters.stepfunctions import MachineTasks, MachineWorkflows
from rental.adapters.store import ItemStore
from rental.adapters.system import SystemClock, SystemEntropy, new_commit_id
from rental.domain.ways_in import Proxy
from rental.service.ledger import Ledger

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TIMEOUTS = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 4})
ADAPTIVE = Config(connect_timeout=2, read_timeout=5, retries={"mode": "adaptive", "total_max_attempts": 4})
"""For services whose rates are unpublished: a token bucket in the client that follows their throttling."""


@cache
def session() -> Session:
    """What all clients share. boto3's own session would load the resources and transfers of S3 too."""
    return Session()


@cache
def client(service: str) -> Any:
    """The client of a service, made once per process."""
    config = ADAPTIVE if service == "ssm" else TIMEOUTS
    return session().create_client(service, config=config)


class LazyClient:
    """A client that is made when it is first used: making one takes a tenth of a cold start's time."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Any:
        return getattr(client(self._service), name)


def lazy_client(service: str) -> Any:
    """The client of a service that not every event needs."""
    return LazyClient(service)


def dynamodb() -> "DynamoDBClient":
    made: DynamoDBClient = client("dynamodb")
    return made


@cache
def store() -> ItemStore:
    return ItemStore(DynamoTable(dynamodb(), from_env(TableSettings).table_name), new_commit_id)


@cache
def access_store() -> ItemAccessStore:
    return ItemAccessStore(DynamoTable(dynamodb(), from_env(TableSettings).table_name), new_commit_id)


@cache
def call_store() -> ItemCallStore:
    return ItemCallStore(DynamoTable(dynamodb(), from_env(TableSettings).table_name), new_commit_id)


@cache
def authority_store() -> ItemAuthorityStore:
    return ItemAuthorityStore(DynamoTable(dynamodb(), from_env(TableSettings).table_name), new_commit_id)


@cache
def bells() -> QueueBells:
    settings = from_env(QueueSettings)
    return QueueBells(lazy_client("sqs"), settings.urgent_queue_url, settings.normal_queue_url)


@cache
def ledger() -> Ledger:
    return Ledger(store(), bells(), SystemClock(), SystemEntropy())


@cache
def liveness() -> DynamoLiveness:
    return DynamoLiveness(dynamodb(), from_env(LivenessSettings).liveness_table_name)


@cache
def workflows() -> MachineWorkflows:
    return MachineWorkflows(lazy_client("stepfunctions"), from_env(MachineSettings).state_machine_arn)


@cache
def tasks() -> MachineTasks:
    return MachineTasks(lazy_client("stepfunctions"))


@cache
def tokens() -> KmsTokens:
    return KmsTokens(lazy_client("kms"), from_env(TokenSettings).token_key_arn)


@cache
def proxy() -> Proxy | None:
    """The deployment's proxy, if it has one."""
    text = from_env(ProxySettings).proxy
    return from_record(Proxy, json.loads(text)) if text != "none" else None
