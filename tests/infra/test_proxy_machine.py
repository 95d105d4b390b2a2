"""The script of a proxy's machine makes a proxy: tried on this Debian, in namespaces of its own."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.paths import ROOT
from tests.infra.synthesis import HOST_KEY, Synthesized
from tests.infra.test_proxy_stack import machines, user_data

NAMESPACES = ("--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation=private")
API_URL = "{GpuLease-prod-Service-ApiUrl}"


@pytest.fixture(scope="module")
def found(proxied: Synthesized, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    unshare = shutil.which("unshare")
    isolated = [unshare, *NAMESPACES] if unshare else []
    if not isolated or subprocess.run([*isolated, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine gives no namespaces to make another one in")
    script = tmp_path_factory.mktemp("script") / "user-data"
    script.write_text(user_data(next(iter(machines(proxied).values()))))
    command = [*isolated, sys.executable, "-m", "tests.infra.fresh_debian", str(script), API_URL, HOST_KEY]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": "functions:host:."}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_there_is_no_proxy_before_the_secret_is_filled(found: dict[str, Any]) -> None:
    assert found["without a secret"] == [2, "The secret is not there yet, or no JSON."]


def test_a_host_that_is_permitted_leads_clients_to_its_container(found: dict[str, Any]) -> None:
    assert found["with a secret"] == [0, "changed: api_key, host_key, tls_certificate, tls_key"]
    assert found["by the tunnel"] == "container"


def test_jupyterlab_is_served_at_443_without_root(found: dict[str, Any]) -> None:
    assert found["by the zone's name"] == "404"  # of nginx, for an instance that has no route
    assert found["owners"] == ["gpulease-proxy"]


def test_tenants_numbers_are_kept_from_the_kernel(found: dict[str, Any]) -> None:
    assert found["not for the kernel"] == "443,2222,30000-49999"


def test_it_ends_when_it_is_told_to(found: dict[str, Any]) -> None:
    assert found["ended with"] == 0


def test_nothing_of_it_reached_this_machine(found: dict[str, Any]) -> None:
    assert "gpulease-proxy" not in Path("/etc/passwd").read_text()
    assert not Path("/etc/gpulease-proxy.json").exists()
