"""A machine comes in with an activation, and gets credentials with its own key only."""

import base64

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from local.ssm.service import Response
from local.ssm.sigv4 import parse_authorization, string_to_sign
from tests.ssm.world import STAGE_TAG, World, rsa_public_key

TOKEN = "AmazonSSM.RequestManagedInstanceRoleToken"


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def request_token(world: World, instance_id: str, key: rsa.RSAPrivateKey, stamp: str = "20270115T080000Z") -> Response:
    scope = f"{instance_id}/{stamp[:8]}/us-east-1/ssm/aws4_request"
    names = "content-type;host;x-amz-date;x-amz-target"
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "host": "127.0.0.1:4566",
        "x-amz-date": stamp,
        "x-amz-target": TOKEN,
        "authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature=x",
    }
    text = string_to_sign(parse_authorization(headers), headers, b"").encode()
    signature = base64.b64encode(key.sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()
    headers["authorization"] = headers["authorization"].replace("Signature=x", f"Signature={signature}")
    return world.call(TOKEN, None, None, **headers)


def test_a_registered_key_gets_a_session_of_the_role_named_after_the_machine(
    world: World, key: rsa.RSAPrivateKey
) -> None:
    instance_id = world.register(key)
    token = request_token(world, instance_id, key).body
    assert world.sessions.keys[token["AccessKeyId"]].arn.endswith(f":assumed-role/HostRole/{instance_id}")
    assert token["UpdateKeyPair"] is False


def test_another_key_is_refused(world: World, key: rsa.RSAPrivateKey) -> None:
    instance_id = world.register(key)
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    response = request_token(world, instance_id, other)
    assert (response.status, response.body["__type"]) == (403, "InvalidSignatureException")
    assert world.sessions.issued == 0


@pytest.mark.parametrize("stamp", ["20270115T075459Z", "20270115T080501Z", "20270114T080000Z"])
def test_a_recorded_request_is_worthless_after_five_minutes(world: World, key: rsa.RSAPrivateKey, stamp: str) -> None:
    instance_id = world.register(key)
    assert request_token(world, instance_id, key, stamp).body["__type"] == "InvalidSignatureException"


def test_a_machine_that_is_gone_gets_nothing(world: World, key: rsa.RSAPrivateKey) -> None:
    instance_id = world.register(key)
    world.ok("DeregisterManagedInstance", {"InstanceId": instance_id})
    assert request_token(world, instance_id, key).body["__type"] == "InvalidInstanceId"


def register_with(world: World, activation: dict[str, object], key: rsa.RSAPrivateKey) -> Response:
    fields = {**activation, "PublicKey": rsa_public_key(key), "PublicKeyType": "Rsa", "Fingerprint": "f"}
    return world.call("RegisterManagedInstance", fields, None)


def test_repeating_a_registration_gives_the_same_machine(world: World, key: rsa.RSAPrivateKey) -> None:
    activation = world.activate(RegistrationLimit=1)
    first, second = (register_with(world, activation, key).body for _ in range(2))
    assert first == second


def test_an_activation_registers_no_more_than_its_limit(world: World, key: rsa.RSAPrivateKey) -> None:
    activation = world.activate(RegistrationLimit=1)
    assert register_with(world, activation, key).status == 200
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert register_with(world, activation, other).body["__type"] == "InvalidActivation"


def test_a_wrong_code_an_expired_activation_and_a_weak_key_are_refused(world: World, key: rsa.RSAPrivateKey) -> None:
    activation = world.activate(ExpirationDate=world.clock.now + 3600)
    assert register_with(world, {**activation, "ActivationCode": "guess"}, key).status == 400
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    assert register_with(world, activation, weak).body["__type"] == "ValidationException"
    world.clock.now += 3600
    assert register_with(world, activation, key).body["__type"] == "InvalidActivation"


def test_the_activation_leads_to_the_machine_and_gives_it_its_tags(world: World) -> None:
    activation = world.activate()
    fields = {**activation, "PublicKey": "", "PublicKeyType": "Rsa"}
    assert world.refused("RegisterManagedInstance", fields, None) == "ValidationException"
    instance_id = world.register()
    (listed,) = world.ok("DescribeInstanceInformation", {"Filters": [{"Key": "InstanceIds", "Values": [instance_id]}]})[
        "InstanceInformationList"
    ]
    assert (listed["PingStatus"], listed["IamRole"]) == ("Online", "HostRole")
    by_activation = {"Filters": [{"Key": "ActivationIds", "Values": [listed["ActivationId"]]}]}
    assert world.ok("DescribeInstanceInformation", by_activation)["InstanceInformationList"] == [listed]
    other = {"Filters": [{"Key": "ActivationIds", "Values": [activation["ActivationId"]]}]}
    assert world.ok("DescribeInstanceInformation", other)["InstanceInformationList"] == []
    tags = world.ok("ListTagsForResource", {"ResourceType": "ManagedInstance", "ResourceId": instance_id})["TagList"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == STAGE_TAG


def test_the_code_is_not_on_disk(world: World) -> None:
    code = world.activate()["ActivationCode"]
    assert code not in world.journal_path.read_text()


def test_tags_of_parameters_are_not_for_this_service(world: World) -> None:
    service = world.service
    assert service.handles("AmazonSSM.AddTagsToResource", b'{"ResourceType": "ManagedInstance"}')
    assert not service.handles("AmazonSSM.AddTagsToResource", b'{"ResourceType": "Parameter"}')
    assert not service.handles("AmazonSSM.PutParameter", b"{}")
    assert not service.handles("DynamoDB_20120810.PutItem", b"{}")
