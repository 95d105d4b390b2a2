"""Managed nodes in the local cloud: who may command which, and sessions that outlive a restart."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from local import supervise
from local.client import wait_until
from local.cloud.settings import CloudInfo
from local.ports import free_port
from local.ssm.sigv4 import Authorization, string_to_sign

pytestmark = pytest.mark.cloud


class Node:
    """A machine that registers and asks for its role's credentials, as an agent does."""

    def __init__(self, cloud: CloudInfo, role_name: str, tags: dict[str, str]) -> None:
        self._endpoint = cloud.aws_endpoint
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        activation = cloud.client("ssm").create_activation(
            IamRole=role_name, Tags=[{"Key": key, "Value": value} for key, value in tags.items()]
        )
        public = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        answer = self._call(
            "RegisterManagedInstance",
            {
                "ActivationId": activation["ActivationId"],
                "ActivationCode": activation["ActivationCode"],
                "PublicKey": base64.b64encode(public).decode(),
                "PublicKeyType": "Rsa",
                "Fingerprint": "f",
            },
        )
        self.instance_id: str = answer["InstanceId"]

    def credentials(self) -> dict[str, Any]:
        """The role's credentials, asked for with the key registered before."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers = {"host": self._endpoint.partition("//")[2], "x-amz-date": stamp}
        signed = ("host", "x-amz-date")
        claim = Authorization(self.instance_id, stamp[:8], "us-east-1", "ssm", signed, "")
        text = string_to_sign(claim, headers, b"").encode()
        signature = base64.b64encode(self._key.sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.instance_id}/{claim.scope}, "
            f"SignedHeaders={';'.join(signed)}, Signature={signature}"
        )
        answer: dict[str, Any] = self._call("RequestManagedInstanceRoleToken", None, headers)
        return answer

    def _call(self, operation: str, body: dict[str, Any] | None, headers: dict[str, str] | None = None) -> Any:
        target = {"x-amz-target": f"AmazonSSM.{operation}", "content-type": "application/x-amz-json-1.1"}
        data = b"" if body is None else json.dumps(body).encode()
        answer = requests.post(self._endpoint, data=data, headers={**target, **(headers or {})}, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()


def make_role(cloud: CloudInfo, name: str, action: str) -> None:
    roles = cloud.client("iam")
    trust = {
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ssm.amazonaws.com"}, "Action": "sts:AssumeRole"}]
    }
    roles.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    put_policy = {"Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]}
    roles.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(put_policy))


def client_for(cloud: CloudInfo, service: str, key: str, secret: str, token: str | None = None) -> Any:
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=cloud.aws_endpoint,
        region_name=cloud.region,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
    )


def test_a_command_reaches_only_nodes_with_the_granted_tag(cloud: CloudInfo) -> None:
    make_role(cloud, "tagged-host", "events:PutEvents")
    ours = Node(cloud, "tagged-host", {"gpulease:stage": "local"})
    other = Node(cloud, "tagged-host", {"gpulease:stage": "prod"})
    account = f"arn:aws:ssm:{cloud.region}:{cloud.account_id}"
    condition = {"StringEquals": {"ssm:resourceTag/gpulease:stage": "local"}}
    policy = {
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "ssm:SendCommand",
                "Resource": f"{account}:document/{cloud.outputs['DocumentName']}",
            },
            {
                "Effect": "Allow",
                "Action": "ssm:SendCommand",
                "Resource": f"{account}:managed-instance/*",
                "Condition": condition,
            },
        ]
    }
    users = cloud.client("iam")
    users.create_user(UserName="dispatcher")
    users.put_user_policy(UserName="dispatcher", PolicyName="p", PolicyDocument=json.dumps(policy))
    key = users.create_access_key(UserName="dispatcher")["AccessKey"]
    ssm = client_for(cloud, "ssm", key["AccessKeyId"], key["SecretAccessKey"])

    order = {"DocumentName": cloud.outputs["DocumentName"], "Parameters": {"Order": ["abc"]}}
    assert ssm.send_command(InstanceIds=[ours.instance_id], **order)["Command"]["CommandId"]
    with pytest.raises(ClientError, match=f"not authorized.*managed-instance/{other.instance_id}"):
        ssm.send_command(InstanceIds=[other.instance_id], **order)


def test_a_session_of_a_host_role_outlives_kill_9(tmp_path: Path, tiny_assembly: Path) -> None:
    port = free_port()
    cloud = supervise.start_cloud(tmp_path, port, tiny_assembly)
    make_role(cloud, "host", "events:PutEvents")
    given = Node(cloud, "host", {}).credentials()
    os.kill(cloud.pid, signal.SIGKILL)
    wait_until(lambda: supervise.running("cloud", state=tmp_path), lambda seen: seen is None, "The cloud's death")
    cloud = supervise.start_cloud(tmp_path, port, tiny_assembly)
    try:
        key = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
        events = client_for(cloud, "events", *key)
        entry = {"Source": "tiny", "DetailType": "d", "Detail": "{}", "EventBusName": cloud.outputs["BusName"]}
        with pytest.raises(ClientError, match="not authorized"):
            events.put_events(Entries=[entry])  # the role was made by hand, so it is gone
        make_role(cloud, "host", "events:PutEvents")
        assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0
        with pytest.raises(ClientError, match="not authorized"):
            client_for(cloud, "dynamodb", *key).scan(TableName=cloud.outputs["TableName"])
    finally:
        supervise.stop_cloud(tmp_path)
