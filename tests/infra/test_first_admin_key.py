"""The first administrator's key: made once, good at once, of the shape that the service itself writes."""

import hashlib
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from infra.first_admin_key import FirstKeyError, account_item, key_item, main, make_first_key
from local import credentials
from rental.adapters.access_store import ItemAccessStore
from rental.adapters.dynamodb.table import DynamoTable
from rental.adapters.items import account_item as service_account_item
from rental.adapters.items import api_key_item
from rental.adapters.store import ItemStore
from rental.domain.access import Account, ApiKey, Role
from rental.ports import Principal
from tests.fakes.dynamo import create_table

NOW = 1_800_000_000
KEY_ID = hashlib.sha256(b"secret").hexdigest()


class Stacks:
    """CloudFormation, as far as it is asked: one stage is deployed, another is on its way."""

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        known: dict[str, list[dict[str, str]]] = {
            "GpuLease-dev-Data": [{"OutputKey": "TableName", "OutputValue": "rentals"}],
            "GpuLease-local-Data": [],
        }
        if StackName not in known:
            error: Any = {"Error": {"Code": "ValidationError", "Message": f"Stack {StackName} does not exist"}}
            raise ClientError(error, "DescribeStacks")
        return {"Stacks": [{"StackName": StackName, "Outputs": known[StackName]}]}


def connect(region: str | None, profile: str | None) -> tuple[Any, Any]:
    return Stacks(), boto3.client("dynamodb")


@pytest.fixture
def deployed() -> Iterator[ItemStore]:
    """The table of the data stack, with its indexes."""
    with mock_aws():
        dynamodb = boto3.client("dynamodb")
        create_table(dynamodb, "rentals")
        yield ItemStore(DynamoTable(dynamodb, "rentals"), lambda: "commit")


def make(stage: str = "dev") -> str:
    return make_first_key(Stacks(), boto3.client("dynamodb"), stage, NOW)


def test_the_first_key_is_an_administrators_and_can_be_listed(deployed: ItemStore) -> None:
    key = make()
    digest = hashlib.sha256(key.encode()).hexdigest()
    assert deployed.read_principal(digest) == Principal("admin", "admin")
    access = ItemAccessStore(deployed.table, lambda: "commit")
    assert [each.id for each in access.list_keys("admin", None, 10).items] == [digest]
    assert [each.name for each in access.list_accounts(None, 10).items] == ["admin"]
    assert key not in str(boto3.client("dynamodb").scan(TableName="rentals"))


def test_there_is_no_second_first_key(deployed: ItemStore) -> None:
    make()
    with pytest.raises(FirstKeyError, match="made before"):
        make()
    assert len(boto3.client("dynamodb").scan(TableName="rentals")["Items"]) == 3


def test_a_stage_that_is_not_deployed_is_named(deployed: ItemStore) -> None:
    with pytest.raises(FirstKeyError, match="GpuLease-prod-Data"):
        make("prod")
    with pytest.raises(FirstKeyError, match="names no table"):
        make("local")


def test_the_command_prints_the_key_alone(deployed: ItemStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--stage", "dev"], connect) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("gl_admin_")
    assert len(printed.out.split()) == 1
    assert main(["--stage", "dev"], connect) == 1
    assert "made before" in capsys.readouterr().err


def test_keys_have_one_shape_whoever_writes_them() -> None:
    key = ApiKey(KEY_ID, "admin", Role.ADMIN, "first", NOW)
    assert key_item(KEY_ID, NOW) == api_key_item(key) | {"rev": 1}
    local = credentials.key_item("secret", role="admin", account="admin", created_at=NOW)
    assert local == api_key_item(key) | {"rev": 1, "label": "local"}


def test_accounts_have_one_shape_whoever_writes_them() -> None:
    account = Account("admin", "Administrators", NOW)
    assert account_item(NOW) == service_account_item(account) | {"rev": 1}
    assert credentials.account_item("admin", NOW) == service_account_item(account) | {"rev": 1, "label": ""}
