"""Local proxies run as those of a deployment do, two on one machine, each known by a key that stays."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gpulease_host.tunnels.proxies import parse_proxies
from infra.config import choose_stage
from local import supervise
from local.ports import free_port
from local.proxies import LocalProxies
from tests.proxy.rig import accepts, wait_for


@pytest.fixture
def proxies() -> Iterator[LocalProxies]:
    """Where the account of the proxies can look, which is not below pytest's own folders."""
    folder = Path(tempfile.mkdtemp(prefix="gpulease-site-"))
    folder.chmod(0o755)
    made = LocalProxies(folder, 2, free_port(), free_port())
    yield made
    made.stop()
    shutil.rmtree(folder)


def test_what_is_told_of_them_suits_the_stage_and_the_host_and_stays(proxies: LocalProxies) -> None:
    ends = proxies.ends()
    stage = choose_stage({"stage": "local", **proxies.context()})
    assert json.loads(stage.tunnel_ends) == ends
    assert stage.proxy is not None
    assert (stage.proxy.addresses, stage.proxy.https_port) == (("127.0.0.1", "127.0.0.2"), proxies.https_port)
    assert len({each.host_key for each in parse_proxies({"v": 1, "proxies": ends})}) == 2
    assert proxies.ends() == ends


def test_two_run_beside_each_other_and_are_stopped_again(proxies: LocalProxies) -> None:
    proxies.ends()
    proxies.start("http://127.0.0.1:1", "gl_proxy_key")
    for address in ("127.0.0.1", "127.0.0.2"):
        wait_for(lambda: accepts(address, proxies.tunnel_port), lambda: log_of(proxies))  # noqa: B023
    one = replace(proxies, count=1)
    one.start("http://127.0.0.1:1", "gl_proxy_key")
    assert [accepts(address, proxies.tunnel_port) for address in ("127.0.0.1", "127.0.0.2")] == [True, False]
    assert proxies.stop()
    assert not accepts("127.0.0.1", proxies.tunnel_port)


def test_one_that_runs_stays_until_its_settings_are_others(proxies: LocalProxies) -> None:
    proxies.ends()
    pids = []
    for port in (1, 1, 2):
        proxies.start(f"http://127.0.0.1:{port}", "gl_proxy_key")
        process = supervise.running("proxy-1", state=proxies.state)
        assert process is not None
        pids.append(process.pid)
    assert pids[0] == pids[1] != pids[2]


def test_without_proxies_nothing_is_told(tmp_path: Path) -> None:
    assert LocalProxies(tmp_path).context() == {}


def log_of(proxies: LocalProxies) -> str:
    return "".join(supervise.log_tail(proxies.state / f"proxy-{number}.log") for number in (1, 2))
