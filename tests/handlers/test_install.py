"""What a machine is installed from: the line for its owner, the script that the line runs, the package it takes."""

import base64
import hashlib
import re
import shlex
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from handlers import api_hosts, api_install
from infra.host_package import HostPackage, build_host_package
from rental.adapters import wiring
from rental.api.present import install_line
from rental.domain.host import Host, HostStatus
from rental.domain.ids import HostId
from rental.ports import Activation
from rental.service.hosts import Admission
from tests.fakes.http import call, make_event
from tests.handlers.conftest import API_URL, Site


@pytest.fixture(scope="module")
def package() -> HostPackage:
    return build_host_package()


@pytest.fixture
def served(site: Site, package: HostPackage) -> HostPackage:
    """The package where the deployment puts it."""
    client = boto3.client("s3")
    client.create_bucket(Bucket="assets")
    client.put_object(Bucket="assets", Key="package.whl", Body=package.body)
    return package


def get(path: str, **headers: str) -> dict[str, Any]:
    result = api_install.handler(make_event("GET", path, headers=headers), object())
    assert result["statusCode"] == 200, result
    return result


def test_an_owner_gets_a_line_with_all_that_the_machine_needs(site: Site) -> None:
    with Stubber(wiring.client("ssm")) as stub:
        stub.add_response("create_activation", {"ActivationId": "a" * 36, "ActivationCode": "c" * 20})
        headers = {"host": "evil.example.com", "x-forwarded-host": "evil.example.com"}
        body = call(api_hosts.handler, "POST", "/v1/hosts", {}, caller=site.owner, headers=headers).body
    download, _, run = body["install"].partition(" | ")
    assert shlex.split(download) == ["curl", "-fsSL", f"{API_URL}/v1/host/install.sh"]
    assert shlex.split(run) == [
        *("sh", "-s", "--", "--token", body["registration_token"], "--activation-id", "a" * 36),
        *("--activation-code", "c" * 20, "--region", "us-east-1"),
    ]


def test_nothing_in_the_line_is_more_to_a_shell_than_text() -> None:
    host = Host(HostId(7), "owner", "", HostStatus.REGISTERING, 0, "0" * 64, 0, "a")
    odd = Admission(host, "7.x", Activation("$(reboot)", "it's; reboot #"))
    words = shlex.split(install_line(odd, API_URL, "us-east-1").partition(" | ")[2])
    assert words[-5:-2] == ["$(reboot)", "--activation-code", "it's; reboot #"]


def test_the_script_names_this_service_and_the_hash_of_the_package_that_is_served(served: HostPackage) -> None:
    script = get("/v1/host/install.sh", host="evil.example.com")
    assert script["headers"]["Content-Type"] == "text/x-shellscript; charset=utf-8"
    known = dict(re.findall(r"^([A-Z_0-9]+)='([^']*)'$", script["body"], flags=re.MULTILINE))
    del known["POLICY_MARK"]  # the script's own
    taken = get("/v1/host/package")
    body = base64.b64decode(taken["body"])
    assert taken["isBase64Encoded"] is True
    assert body == served.body
    assert known == {
        "API_URL": API_URL, "PACKAGE": served.file_name, "PACKAGE_SHA256": hashlib.sha256(body).hexdigest(),
    }  # fmt: skip
    assert not re.search(r"@[A-Z_0-9]+@", script["body"])


def test_neither_is_kept_on_the_way(served: HostPackage) -> None:
    for path in ("/v1/host/install.sh", "/v1/host/package"):
        assert get(path)["headers"]["Cache-Control"] == "no-store"
