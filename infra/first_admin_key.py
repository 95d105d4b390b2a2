"""Make the first administrator's key of a deployed stage, once: `python -m infra.first_admin_key --stage prod`.

It uses the AWS credentials of whoever deploys (they need cloudformation:DescribeStacks and dynamodb:PutItem on the
table) and prints the key, which is kept nowhere. Every further key is made over the API, with this one.

One transaction writes the key, its account and a guard item, so that of two who run this only one gets a key. Should
every administrator's key be lost, whoever may delete the guard item may run this again.
"""

import argparse
import hashlib
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.config import STAGES

ACCOUNT = "admin"
GUARD = "FIRST-ADMIN"
KEY_BYTES = 32

Item = Mapping[str, str | int]
Connect = Callable[[str | None, str | None], tuple[Any, Any]]


class FirstKeyError(Exception):
    """No key was made."""


def make_first_key(cloudformation: Any, dynamodb: Any, stage: str, now: int) -> str:
    """The new key; raises FirstKeyError when there was one before or the stage is not deployed."""
    table = _table_of(cloudformation, stage)
    key = f"gl_admin_{secrets.token_urlsafe(KEY_BYTES)}"
    key_id = hashlib.sha256(key.encode()).hexdigest()
    items = (guard_item(key_id, now), key_item(key_id, now), account_item(now))
    try:
        dynamodb.transact_write_items(TransactItems=[_new(table, item) for item in items])
    except dynamodb.exceptions.TransactionCanceledException as error:
        raise FirstKeyError(
            f"The first administrator's key of {stage} has been made before. Use it to make others: POST /v1/keys. "
            f"If all are lost, delete the item (pk, sk) = ({GUARD}, {GUARD}) and the account's item (A#{ACCOUNT}, A) "
            f"in table {table}, then run this again."
        ) from error
    return key


def guard_item(key_id: str, now: int) -> Item:
    return {"pk": GUARD, "sk": GUARD, "v": 1, "key_id": key_id, "created_at": now, "rev": 1}


def key_item(key_id: str, now: int) -> Item:
    """As the service itself writes one (functions/rental/adapters/items.py; a test holds them together)."""
    index = {"gsi1pk": f"A#{ACCOUNT}", "gsi1sk": f"K#{now:010d}#{key_id}"}
    known: Item = {"id": key_id, "account": ACCOUNT, "role": "admin", "label": "first", "created_at": now}
    return {"pk": f"K#{key_id}", "sk": "K", "v": 1, "rev": 1, **index, **known}


def account_item(now: int) -> Item:
    index = {"gsi1pk": "ACCOUNTS", "gsi1sk": f"A#{ACCOUNT}"}
    known: Item = {"name": ACCOUNT, "label": "Administrators", "created_at": now}
    return {"pk": f"A#{ACCOUNT}", "sk": "A", "v": 1, "rev": 1, **index, **known}


def connect(region: str | None, profile: str | None) -> tuple[Any, Any]:
    """CloudFormation and DynamoDB, with the deployer's own credentials."""
    session = boto3.Session(region_name=region, profile_name=profile)
    return session.client("cloudformation"), session.client("dynamodb")


def main(arguments: Sequence[str] | None = None, connect: Connect = connect) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m infra.first_admin_key", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--stage", required=True, choices=sorted(STAGES))
    parser.add_argument("--region", help="as configured for the AWS command line, if left out")
    parser.add_argument("--profile", help="of the AWS configuration")
    options = parser.parse_args(arguments)
    try:
        cloudformation, dynamodb = connect(options.region, options.profile)
        print(make_first_key(cloudformation, dynamodb, options.stage, int(time.time())))
    except (FirstKeyError, ClientError, BotoCoreError) as error:
        print(error, file=sys.stderr)
        return 1
    print("This is shown once: keep it where only administrators read it.", file=sys.stderr)
    return 0


def _table_of(cloudformation: Any, stage: str) -> str:
    name = f"GpuLease-{stage}-Data"
    try:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        raise FirstKeyError(f"The stack {name} was not found here: {error}") from error
    outputs = {each["OutputKey"]: str(each["OutputValue"]) for each in stack.get("Outputs", [])}
    if "TableName" not in outputs:
        raise FirstKeyError(f"The stack {name} names no table yet. Wait until it is deployed.")
    return outputs["TableName"]


def _new(table: str, item: Item) -> dict[str, Any]:
    """A write that refuses what exists."""
    typed = {name: {"N": str(value)} if isinstance(value, int) else {"S": value} for name, value in item.items()}
    return {"Put": {"TableName": table, "Item": typed, "ConditionExpression": "attribute_not_exists(pk)"}}


if __name__ == "__main__":
    sys.exit(main())
