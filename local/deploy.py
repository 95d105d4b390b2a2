"""Deploys a synthesized CDK assembly into the local cloud, as the CDK CLI would into AWS.

The CLI itself is refused there (its upload assumes roles the emulator does not have). Folders are zipped
once by content hash; a layer's body is empty, because functions run in the local virtual environment, where
wheels for another Python and processor would only break.
"""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from local.assembly import Asset, Stack, read_stacks
from local.deploy_gaps import set_time_to_live

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

BOOTSTRAP_VERSION_PARAMETER = "/cdk-bootstrap/hnb659fds/version"
BOOTSTRAP_VERSION = "21"
POLL_S = 0.05
STACK_TIMEOUT_S = 180.0
CAPABILITIES: Any = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


class DeployError(Exception):
    """A stack did not come up; the sentence names the first resource that failed and why."""


class ClientSource:
    """Makes the AWS clients that a deployment uses."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        self._make = make
        self.s3: S3Client = make("s3")
        self.cloudformation: CloudFormationClient = make("cloudformation")
        self.dynamodb: DynamoDBClient = make("dynamodb")

    def put_parameter(self, name: str, value: str) -> None:
        """Set a plain SSM parameter."""
        self._make("ssm").put_parameter(Name=name, Value=value, Type="String", Overwrite=True)


@dataclass(frozen=True)
class Deployment:
    """What came out: every stack's outputs by key, and how long it took."""

    outputs: Mapping[str, str]
    seconds: float
    stacks: tuple[str, ...] = field(default_factory=tuple)


def deploy(assembly: Path, clients: ClientSource, *, account: str, region: str, zip_cache: Path) -> Deployment:
    """Create or update every stack of the assembly, in order."""
    started = time.monotonic()
    stacks = read_stacks(assembly, account=account, region=region)
    clients.put_parameter(BOOTSTRAP_VERSION_PARAMETER, BOOTSTRAP_VERSION)
    _upload(stacks, clients.s3, zip_cache)
    outputs: dict[str, str] = {}
    for stack in stacks:
        outputs |= _deploy_stack(stack, clients.cloudformation)
        set_time_to_live(stack, clients.cloudformation, clients.dynamodb)
    return Deployment(outputs, time.monotonic() - started, tuple(stack.name for stack in stacks))


def _upload(stacks: list[Stack], s3: S3Client, zip_cache: Path) -> None:
    layers = frozenset(key for stack in stacks for key in stack.layer_keys())
    assets = {(asset.bucket, asset.key): asset for stack in stacks for asset in stack.assets}
    for bucket in {asset.bucket for asset in assets.values()}:
        _ensure_bucket(s3, bucket)
    for asset in assets.values():
        body = _empty_zip() if asset.key in layers else _body(asset, zip_cache)
        s3.put_object(Bucket=asset.bucket, Key=asset.key, Body=body)


def _ensure_bucket(s3: S3Client, bucket: str) -> None:
    try:
        s3.create_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
            raise


def _body(asset: Asset, zip_cache: Path) -> bytes:
    if not asset.is_folder:
        return asset.source.read_bytes()
    cached = zip_cache / Path(asset.key).name
    if not cached.exists():
        zip_cache.mkdir(parents=True, exist_ok=True)
        unfinished = cached.with_suffix(".part")
        unfinished.write_bytes(_zip_folder(asset.source))
        unfinished.replace(cached)
    return cached.read_bytes()


def _zip_folder(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return buffer.getvalue()


def _empty_zip() -> bytes:
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    return buffer.getvalue()


def _deploy_stack(stack: Stack, cloudformation: CloudFormationClient) -> dict[str, str]:
    try:
        _change(stack, cloudformation)
    except ClientError as error:
        if "No updates are to be performed" in str(error):
            return _outputs(cloudformation, stack.name)
        raise DeployError(f"{stack.name}: {error.response['Error']['Message']}") from error
    status = _settled(cloudformation, stack.name)
    if status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        raise DeployError(f"{stack.name}: {status}. {_first_failure(cloudformation, stack.name)}")
    return _outputs(cloudformation, stack.name)


def _change(stack: Stack, cloudformation: CloudFormationClient) -> None:
    asset = stack.template_asset
    url = f"https://s3.amazonaws.com/{asset.bucket}/{asset.key}"
    status = _status(cloudformation, stack.name)
    if status == "ROLLBACK_COMPLETE":  # never came up: nothing to update, and the name is taken
        cloudformation.delete_stack(StackName=stack.name)
        status = _settled(cloudformation, stack.name)
    if status in {None, "DELETE_COMPLETE"}:
        cloudformation.create_stack(StackName=stack.name, TemplateURL=url, Capabilities=CAPABILITIES)
    else:
        cloudformation.update_stack(StackName=stack.name, TemplateURL=url, Capabilities=CAPABILITIES)


def _settled(cloudformation: CloudFormationClient, name: str) -> str | None:
    deadline = time.monotonic() + STACK_TIMEOUT_S
    while (status := _status(cloudformation, name)) is not None and status.endswith("_IN_PROGRESS"):
        if time.monotonic() > deadline:
            raise DeployError(f"{name}: still {status} after {STACK_TIMEOUT_S:.0f} s.")
        time.sleep(POLL_S)
    return status


def _status(cloudformation: CloudFormationClient, name: str) -> str | None:
    try:
        found = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return found[0]["StackStatus"]


def _first_failure(cloudformation: CloudFormationClient, name: str) -> str:
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    failed = [e for e in reversed(events) if e.get("ResourceStatus", "").endswith("_FAILED")]
    if not failed:
        return "No resource says why."
    first = failed[0]
    return f"{first['LogicalResourceId']} ({first['ResourceType']}): {first.get('ResourceStatusReason', '')}"


def _outputs(cloudformation: CloudFormationClient, name: str) -> dict[str, str]:
    found = cloudformation.describe_stacks(StackName=name)["Stacks"][0].get("Outputs", [])
    return {output["OutputKey"]: output["OutputValue"] for output in found}
