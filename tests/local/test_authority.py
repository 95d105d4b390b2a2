"""The service's authority as deployed, IAM enforced, its key in the emulator's KMS: over HTTP, and over a restart."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from boto3.dynamodb.types import TypeSerializer

from gpulease_host.api import Api, MachineAuth
from gpulease_host.launch.tls import Request
from infra.config import STAGES
from local import supervise, synth
from local.bench.rented import CONTRACT, HOST, Rented, make_rented
from local.cloud.settings import CloudInfo
from local.ports import free_port
from tests.fakes.authority import shake_hands
from tests.host.orders import order

pytestmark = pytest.mark.cloud


@dataclass
class Service:
    """A whole service with one host and one contract of mode jupyter, both of paper."""

    state: Path
    rented: Rented

    def start(self, port: int) -> CloudInfo:
        return supervise.start_cloud(self.state, port, synth.cached_assembly(synth.ROOT, {}))

    def fill(self, info: CloudInfo) -> None:
        client, dump = info.client("dynamodb"), TypeSerializer().serialize
        for item in self.rented.items:
            if (item["pk"], item["sk"]) == (f"C#{CONTRACT}", "C"):
                item["launch"]["mode"] = "jupyter"
            if not item["pk"].startswith("CA#"):
                values = {name: dump(value) for name, value in item.items()}
                client.put_item(TableName=info.outputs["TableName"], Item=values)

    def notebook(self, info: CloudInfo) -> tuple[str, Request]:
        """The chain of a certificate that the host has just been given, and what it asked with."""
        request = Request()
        api = Api(info.front_url, MachineAuth(self.rented.machine, HOST, time.time))
        chain = str(api.certify(order(CONTRACT), request.csr())["certificate"])
        request.files(chain)
        return chain, request


@pytest.mark.slow
def test_who_has_installed_the_authority_believes_notebooks_of_before_and_after_a_restart(tmp_path: Path) -> None:
    service, port = Service(tmp_path, make_rented()), free_port()
    try:
        info = service.start(port)
        service.fill(info)
        installed = requests.get(f"{info.front_url}/v1/ca.crt", timeout=30).text
        notebooks = [service.notebook(info)]
        supervise.stop_cloud(tmp_path)
        info = service.start(port)
        notebooks.append(service.notebook(info))
        assert requests.get(f"{info.front_url}/v1/ca.crt", timeout=30).text == installed
    finally:
        supervise.stop_cloud(tmp_path)
    for chain, request in notebooks:
        for name in ("127.0.0.1", f"j-{CONTRACT}.{STAGES['local'].zone}"):
            shake_hands(chain, request.key, installed, name)
