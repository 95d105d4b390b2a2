"""Both twins of the table and of the liveness table; moto stands for AWS."""

import itertools
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from rental.adapters.dynamodb.liveness import DynamoLiveness
from rental.adapters.dynamodb.table import DynamoTable
from rental.adapters.memory.table import MemoryTable
from rental.adapters.store import ItemStore, Table
from rental.ports import Liveness
from tests.conftest import FAKE_CREDENTIALS
from tests.fakes.dynamo import create_liveness_table, create_table
from tests.fakes.ports import MemoryLiveness

_names = itertools.count(1)


@pytest.fixture(scope="package")
def aws() -> Iterator[None]:
    """Everything that boto3 asks is answered in this process."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in FAKE_CREDENTIALS.items():
            environment.setenv(name, value)
        with mock_aws():
            yield


@pytest.fixture(params=["memory", "dynamodb"])
def table(request: pytest.FixtureRequest) -> Table:
    if request.param == "memory":
        return MemoryTable()
    request.getfixturevalue("aws")
    client = boto3.client("dynamodb")
    name = f"table-{next(_names)}"
    create_table(client, name)
    return DynamoTable(client, name)


@pytest.fixture
def store(table: Table) -> ItemStore:
    commits = itertools.count(1)
    return ItemStore(table, lambda: f"commit-{next(commits)}")


@pytest.fixture(params=["memory", "dynamodb"])
def liveness(request: pytest.FixtureRequest) -> Liveness:
    if request.param == "memory":
        return MemoryLiveness()
    request.getfixturevalue("aws")
    client = boto3.client("dynamodb")
    name = f"liveness-{next(_names)}"
    create_liveness_table(client, name)
    return DynamoLiveness(client, name)
