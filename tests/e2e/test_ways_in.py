"""Into a rented container by ssh and by JupyterLab, directly, as its client does with what the API says."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from gpulease_host.launch.instance_files import files_of
from gpulease_host.launch.tls import Request, TlsFiles
from local import toolkits
from local.client import ApiError, wait_until
from local.images import BUSYBOX
from local.offers import wait_for_offer
from local.proxies import ZONE
from local.site import Running, Site
from rental.adapters.certificates import instance_certificate
from rental.adapters.kms_signing import KmsSigningKey
from rental.domain.certificates import LIFE_S, Vouched
from rental.domain.ids import InstanceId
from tests.e2e.renting import offer_of, request_for, show, wait_for, wait_for_instance
from tests.e2e.watching import Watch, look_clean
from tests.host.launch.notebook import Notebook
from tests.host.launch.visitor import Visitor

READY_S = 90


@pytest.fixture(scope="module", autouse=True)
def _toolkit() -> None:
    toolkits.ensure()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def rent_with_ways_in(running: Running, folder: Path, **changes: Any) -> tuple[dict[str, Any], Visitor]:
    """A contract that lets the visitor in, who knows its host key from the API alone."""
    visitor = Visitor.new(folder, 1)
    wish = {"args": None, "ssh_keys": [visitor.public]} | changes
    offer = wait_for_offer(running.client, running.owner, mode=wish["mode"])
    contract = running.client.post("/v1/contracts", request_for(offer, **wish))
    contract = wait_for(running, contract, "active", READY_S)
    return contract, visitor_of(contract, folder)


def visitor_of(contract: dict[str, Any], folder: Path, name: str = "visitor") -> Visitor:
    ssh = contract["instances"][0]["access"]["ssh"]
    assert ssh["direct"]["address"] == "127.0.0.1"
    visitor = Visitor.new(folder, ssh["direct"]["port"], name)
    visitor.known_hosts.write_text(f"[127.0.0.1]:{visitor.port} {ssh['host_key']}\n")
    return visitor


def started_at(engine: docker.DockerClient, contract: dict[str, Any]) -> str:
    return str(engine.containers.get(f"gpulease-{contract['id']}").attrs["State"]["StartedAt"])


def notebook_of(running: Running, contract: dict[str, Any], watch: Watch) -> Notebook:
    """From now on its token is looked for wherever it does not belong."""
    told = running.client.get(f"/v1/contracts/{contract['id']}/jupyter")
    assert told["url"] == contract["instances"][0]["access"]["jupyter"]["url"]
    watch.known[f"JupyterLab's token of contract {contract['id']}"] = told["token"].encode()
    port = int(told["url"].rsplit(":", 1)[1].rstrip("/"))
    authority = running.client.session.get(f"{running.cloud.front_url}/v1/ca.crt", timeout=10).text
    return Notebook(port, told["token"], authority)


def test_a_notebook_is_reached_directly_and_ssh_too(running: Running, folder: Path, watch: Watch, site: Site) -> None:
    contract, visitor = rent_with_ways_in(running, folder, mode="jupyter", jupyter_via="direct", onstart="touch /began")
    assert visitor.said("whoami; ls /began") == "root\n/began"
    notebook = notebook_of(running, contract, watch)
    assert notebook.get("/api/status")[0] == 200
    assert notebook.get("/api/status", token="not-the-token-of-this-contract")[0] == 403
    with notebook.kernel() as kernel:
        assert kernel.run("print(6 * 7)").stdout == "42\n"
    look_clean(watch, running, site)


@pytest.mark.slow
def test_a_certificate_near_its_end_is_replaced_under_a_running_notebook(
    running: Running, folder: Path, watch: Watch, site: Site
) -> None:
    contract, _ = rent_with_ways_in(running, folder, mode="jupyter", jupyter_via="direct")
    notebook = notebook_of(running, contract, watch)
    with notebook.kernel() as kernel:
        kernel.run("kept = 7")
        near_its_end = sign_for(running, contract["instances"][0]["id"], ends_in_s=300)
        files_of(site.state / "host", contract["instances"][0]["id"]).set_tls(near_its_end)
        assert served_until(notebook) < time.time() + 300
        wait_until(lambda: served_until(notebook), lambda end: end > contract["end_at"], "Another certificate", 90)
        assert notebook.get("/api/status")[0] == 200
        assert kernel.run("kept").result["text/plain"] == "7"


def sign_for(running: Running, instance_id: int, ends_in_s: int) -> TlsFiles:
    """As the service signed it a month ago."""
    kms, request = running.cloud.client("kms"), Request()
    keys = [kms.describe_key(KeyId=each["KeyId"])["KeyMetadata"] for each in kms.list_keys()["Keys"]]
    (key_id,) = [each["KeyId"] for each in keys if each["KeySpec"] == "ECC_NIST_P256"]
    own = running.client.session.get(f"{running.cloud.front_url}/v1/ca.crt", timeout=10).text
    issuer, end = x509.load_pem_x509_certificate(own.encode()), int(time.time()) + ends_in_s
    vouched = Vouched(InstanceId(instance_id), "127.0.0.1", f"j-{instance_id}.{ZONE}", end - LIFE_S, end)
    made = instance_certificate(request.key.public_key(), vouched, issuer)
    signed = made.sign(KmsSigningKey(kms, key_id), hashes.SHA256())
    return request.files(signed.public_bytes(serialization.Encoding.PEM).decode() + own)


def served_until(notebook: Notebook) -> float:
    """The end of the certificate that a browser is shown, which it holds to the authority."""
    with notebook.connect() as connection:
        shown = connection.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).not_valid_after_utc.timestamp()


def test_other_keys_get_in_without_a_restart_and_the_old_one_no_more(
    running: Running, folder: Path, engine: docker.DockerClient
) -> None:
    contract, first = rent_with_ways_in(running, folder, mode="ssh")
    second = visitor_of(contract, folder, "second")
    before = started_at(engine, contract)
    session = first.open("sleep 600")
    assert second.ssh("true").returncode != 0
    path = f"/v1/contracts/{contract['id']}/ssh-keys"
    running.client.put(path, {"ssh_keys": [second.public]})
    wait_until(lambda: second.ssh("true").returncode, lambda code: code == 0, "The new key to get in")
    assert "Permission denied (publickey)" in first.ssh("true").stderr
    assert session.wait(10) != 0
    assert started_at(engine, contract) == before
    assert wait_for_instance(running, contract, "running")["instances"][0]["reason"] is None


def test_ports_and_host_key_stay_over_stop_and_start(running: Running, folder: Path) -> None:
    contract, visitor = rent_with_ways_in(running, folder, mode="ssh", ports=[{"container": 7000, "protocol": "tcp"}])
    before = contract["instances"][0]
    running.client.post(f"/v1/contracts/{contract['id']}/stop")
    wait_for_instance(running, contract, "stopped")
    assert visitor.ssh("true").returncode != 0
    running.client.post(f"/v1/contracts/{contract['id']}/start")
    after = wait_for_instance(running, contract, "running", READY_S)["instances"][0]
    assert (after["ports"], after["access"]) == (before["ports"], before["access"])
    published = after["ports"]["7000/tcp"]["port"]
    assert visitor.said("echo $GPULEASE_TCP_PORT_7000") == str(published)
    visitor.said("nc -l -p 7000 -e echo hello >/dev/null 2>&1 </dev/null &")
    with socket.create_connection(("127.0.0.1", published), 5) as connection:
        assert connection.recv(100) == b"hello\n"


@pytest.fixture
def no_account_keys(running: Running) -> Iterator[None]:
    assert not running.client.get("/v1/ssh-keys")["items"]
    yield


@pytest.mark.usefixtures("no_account_keys")
def test_who_could_not_get_in_is_told_before_anything_is_rented(running: Running) -> None:
    wish = request_for(offer_of(running.client), args=None, mode="ssh", image=BUSYBOX)
    with pytest.raises(ApiError, match="ssh"):
        running.client.post("/v1/contracts", wish)


def test_the_accounts_key_gets_into_what_is_rented_after_it(running: Running, folder: Path) -> None:
    key = running.client.post("/v1/ssh-keys", {"name": "laptop", "public_key": Visitor.new(folder, 1).public})
    try:
        contract, visitor = rent_with_ways_in(running, folder, mode="ssh", ssh_keys=None)
        assert visitor.said("whoami") == "root"
    finally:
        removed = running.client.delete(f"/v1/ssh-keys/{key['id']}")
    assert removed["contracts"] == [contract["id"]]
    assert show(running, contract)["ssh_keys"]
