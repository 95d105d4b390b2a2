"""The middleware over HTTP: what is not its own passes, and SDKs and the agent agree on signatures."""

import http.client
import json

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.ssm.sigv4 import Authorization, hmac_signature, string_to_sign
from tests.ssm.endpoint import Endpoint
from tests.ssm.world import REGION


def post(endpoint: Endpoint, target: str, body: bytes, path: str = "/") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=5)
    connection.request("POST", path, body, {"X-Amz-Target": target})
    response = connection.getresponse()
    return response.status, response.read()


@pytest.mark.parametrize("target", ["DynamoDB_20120810.PutItem", "AmazonSSM.PutParameter", ""])
def test_calls_of_other_services_pass_unchanged(endpoint: Endpoint, target: str) -> None:
    assert post(endpoint, target, b'{"a": 1}') == (404, b'behind:{"a": 1}')


def test_tags_of_a_parameter_pass_with_their_body(endpoint: Endpoint) -> None:
    body = b'{"ResourceType": "Parameter", "ResourceId": "x"}'
    assert post(endpoint, "AmazonSSM.AddTagsToResource", body) == (404, b"behind:" + body)


def test_an_unsigned_call_is_answered_by_the_service(endpoint: Endpoint) -> None:
    status, answer = post(endpoint, "AmazonSSM.SendCommand", b'{"DocumentName": "x", "InstanceIds": ["mi-1"]}')
    assert (status, json.loads(answer)["__type"]) == (403, "MissingAuthenticationTokenException")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"{", b"\xff"])
def test_a_malformed_call_is_refused_not_a_failure(endpoint: Endpoint, body: bytes) -> None:
    assert post(endpoint, "AmazonSSM.RegisterManagedInstance", body)[0] == 400


def test_our_signature_is_the_sdks() -> None:
    request = AWSRequest(
        "POST",
        "http://127.0.0.1:4566/",
        data=b'{"a": 1}',
        headers={"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AmazonSSM.ListCommands"},
    )
    SigV4Auth(Credentials("AKIA", "secret", "token"), "ssm", REGION).add_auth(request)
    headers = {name.lower(): str(value) for name, value in request.headers.items()} | {"host": "127.0.0.1:4566"}
    theirs = headers["authorization"]
    names = tuple(theirs.partition("SignedHeaders=")[2].partition(",")[0].split(";"))
    ours = Authorization("AKIA", headers["x-amz-date"][:8], REGION, "ssm", names, "")
    assert theirs.endswith(hmac_signature("secret", ours, string_to_sign(ours, headers, b'{"a": 1}')))


def test_an_sdk_reads_every_answer(endpoint: Endpoint) -> None:
    client = endpoint.client()
    content = json.dumps({"schemaVersion": "2.2", "mainSteps": [{"action": "a", "name": "n", "inputs": {}}]})
    created = client.create_document(Name="doc", Content=content, DocumentType="Command")
    assert created["DocumentDescription"]["DocumentVersion"] == "1"
    assert json.loads(client.get_document(Name="doc")["Content"])["schemaVersion"] == "2.2"
    activation = client.create_activation(IamRole="R", Tags=[{"Key": "a", "Value": "b"}], RegistrationLimit=2)
    (listed,) = client.describe_activations()["ActivationList"]
    assert (listed["ActivationId"], listed["RegistrationLimit"]) == (activation["ActivationId"], 2)
    assert client.describe_instance_information()["InstanceInformationList"] == []
    assert client.list_commands()["Commands"] == []
    assert client.list_command_invocations(Details=True)["CommandInvocations"] == []
    client.add_tags_to_resource(ResourceType="Document", ResourceId="doc", Tags=[{"Key": "k", "Value": "v"}])
    assert client.list_tags_for_resource(ResourceType="Document", ResourceId="doc")["TagList"][0]["Key"] == "k"
    with pytest.raises(client.exceptions.InvalidInstanceId):
        client.send_command(DocumentName="doc", InstanceIds=["mi-0123456789abcdef0"])
    client.delete_document(Name="doc")
    with pytest.raises(client.exceptions.InvalidDocument):
        client.describe_document(Name="doc")
    client.delete_activation(ActivationId=activation["ActivationId"])
