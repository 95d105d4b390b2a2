"""After a loss of power clients go in as before: at the same numbers, to the same host key, with what they left."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.client import wait_until
from tests.e2e.faults.phases import rent, show
from tests.e2e.faults.site import FaultSite
from tests.e2e.test_ways_in import READY_S
from tests.host.launch.visitor import Visitor

pytestmark = pytest.mark.slow
PORTS = [{"container": 7000, "protocol": "tcp"}]


@pytest.mark.parametrize("wish", [{"mode": "ssh"}, {"mode": "jupyter", "jupyter_via": "direct"}, {"mode": "jupyter"}])
def test_a_reboot_leaves_ports_and_host_key_and_the_client_gets_in_again(
    faulty: FaultSite, tmp_path: Path, wish: dict[str, Any]
) -> None:
    key = Visitor.new(tmp_path, 0).public
    contract = rent(faulty, args=None, ssh_keys=[key], ports=PORTS, onstart="echo x >> /starts", **wish)
    before = show(faulty, contract)["instances"][0]
    know(tmp_path, before["access"]["ssh"])
    for way in ("direct", "proxy"):
        assert wait_for_word(visitor(tmp_path, before, way), "cat /starts; touch /kept; sync") == "x"

    faulty.lose_power()
    faulty.bring_back()
    faulty.come_to_rest(time.time())

    read: Callable[[], Any] = lambda: show(faulty, contract)["instances"][0]  # noqa: E731
    after = wait_until(read, lambda seen: seen["status"] == "running", "a running instance", READY_S)
    assert after["generation"] == before["generation"]
    assert (after["ports"], after["access"]) == (before["ports"], before["access"])
    for way in ("direct", "proxy"):
        assert wait_for_word(visitor(tmp_path, after, way), "cat /starts; ls /kept").splitlines() == ["x", "x", "/kept"]


def visitor(folder: Path, instance: dict[str, Any], way: str) -> Visitor:
    told = instance["access"]["ssh"][way]
    return Visitor.new(folder, told["port"])


def know(folder: Path, ssh: dict[str, Any]) -> None:
    """No key but the told one is believed from now on, by either way."""
    lines = [f"[{ssh[way]['address']}]:{ssh[way]['port']} {ssh['host_key']}\n" for way in ("direct", "proxy")]
    (folder / "known_hosts").write_text("".join(lines))


def wait_for_word(visitor: Visitor, command: str) -> str:
    """Of the first login that succeeds; the host may still be on its way to the proxy."""
    done = wait_until(lambda: visitor.ssh(command), lambda seen: seen.returncode == 0, "A login", READY_S)
    return str(done.stdout).strip()
