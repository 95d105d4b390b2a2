"""The front door: what a client sends is what the function gets, and nothing of the emulator is behind it."""

from __future__ import annotations

import base64
import json
import stat
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
import requests

from local import supervise
from local.cloud.settings import CloudInfo

pytestmark = pytest.mark.cloud


def test_method_path_query_headers_and_body_pass_unchanged(cloud: CloudInfo) -> None:
    body = bytes(range(256)) * 40
    headers = {
        "Authorization": "Bearer secret",
        "Cookie": "a=1",
        "Idempotency-Key": "k-1",
        "X-Amz-Target": "DynamoDB_20120810.PutItem",
        "Content-Type": "application/octet-stream",
    }
    url = f"{cloud.front_url}/v1/a%20b/%C3%A9?x=1&x=2&y="
    answer = requests.put(url, data=body, headers=headers, timeout=30)
    seen = answer.json()
    assert answer.status_code == 201
    assert answer.headers["x-echo"] == "yes"
    assert seen["is_base64"] and base64.b64decode(seen["body"]) == body
    assert (seen["method"], seen["path"], seen["query"]) == ("PUT", "/v1/a b/é", "x=1&x=2&y=")
    assert seen["headers"] | {k.lower(): v for k, v in headers.items() if k != "Cookie"} == seen["headers"]


def test_json_bodies_arrive_as_text(cloud: CloudInfo) -> None:
    answer = requests.post(f"{cloud.front_url}/v1/contracts", json={"a": "é"}, timeout=30)
    assert json.loads(answer.json()["body"]) == {"a": "é"}


@pytest.mark.parametrize(
    "path", ["/_ministack/reset", "/_ministack/health", "/health", "/_aws/execute-api/x", "/iceberg"]
)
def test_the_emulators_own_paths_are_the_clients_here(cloud: CloudInfo, path: str) -> None:
    answer = requests.post(f"{cloud.front_url}{path}", data=b"x", timeout=30)
    assert answer.json()["path"] == path


def test_the_root_is_a_page_that_points_on(cloud: CloudInfo) -> None:
    answer = requests.get(cloud.front_url, timeout=30)
    assert answer.status_code == 200
    assert "/v1/health" in answer.text


def test_every_answer_tells_the_time(cloud: CloudInfo) -> None:
    told = parsedate_to_datetime(requests.get(f"{cloud.front_url}/v1/x", timeout=30).headers["date"])
    assert abs(told.timestamp() - time.time()) < 5


def test_a_template_reads_as_its_apis_endpoint_where_clients_reach_it(cloud: CloudInfo) -> None:
    assert cloud.outputs["ApiUrl"] == cloud.front_url


def test_a_body_beyond_the_limit_is_refused_as_api_gateway_does(cloud: CloudInfo) -> None:
    answer = requests.post(f"{cloud.front_url}/v1/x", data=b"x" * (10 * 1024 * 1024 + 1), timeout=30)
    assert (answer.status_code, answer.json()) == (413, {"message": "Request Entity Too Large"})


def test_the_emulators_controls_are_shut_on_the_aws_port_too(cloud: CloudInfo) -> None:
    assert requests.post(f"{cloud.aws_endpoint}/_ministack/reset", timeout=30).status_code == 404
    assert requests.get(f"{cloud.front_url}/v1/still-there", timeout=30).status_code == 201


def test_a_busy_port_is_named_and_left_alone(cloud: CloudInfo, tmp_path: Path, tiny_assembly: Path) -> None:
    port = int(cloud.front_url.rpartition(":")[2])
    with pytest.raises(supervise.ProcessError, match=f"Port {port} on 127.0.0.1 is in use"):
        supervise.start_cloud(tmp_path, port, tiny_assembly)


def test_only_the_owner_reads_how_to_get_in(cloud: CloudInfo, tmp_path_factory: pytest.TempPathFactory) -> None:
    found = [*tmp_path_factory.getbasetemp().glob("cloud*/*.json*")]
    assert found
    for path in found:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
