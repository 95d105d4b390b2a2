"""Local proxies run as those of a deployment do, two on one machine, each known by a key that stays."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from gpulease_host.tunnels.proxies import parse_proxies
from infra.config import choose_stage
from local import supervise
from local.ports import free_port
from local.proxies import DEMO_NUMBERS, LocalProxies, ProxyError
from local.proxy_folder import ProxyFolder
from tests.proxy.rig import accepts, wait_for


@pytest.fixture
def proxies(tmp_path: Path) -> Iterator[LocalProxies]:
    """Of a site in a folder that is closed to their account, as one in root's home is."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    made = LocalProxies(closed / "up-proxies", 2, free_port(), free_port())
    yield made
    made.stop()


def test_what_is_told_of_them_suits_the_stage_and_the_host_and_stays(proxies: LocalProxies) -> None:
    ends = proxies.ends()
    stage = choose_stage({"stage": "local", **proxies.context()})
    assert json.loads(stage.tunnel_ends) == ends
    assert stage.proxy is not None
    assert (stage.proxy.addresses, stage.proxy.https_port) == (("127.0.0.1", "127.0.0.2"), proxies.https_port)
    assert len({each.host_key for each in parse_proxies({"v": 1, "proxies": ends})}) == 2
    assert proxies.ends() == ends


def test_two_run_beside_each_other_and_are_stopped_again(proxies: LocalProxies) -> None:
    started(proxies)
    assert [accepts(address, proxies.tunnel_port) for address in ("127.0.0.1", "127.0.0.2")] == [True, True]
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


def test_their_account_owns_secrets_and_may_change_nothing_else(proxies: LocalProxies) -> None:
    started(proxies)
    theirs = pwd.getpwnam(proxies.account).pw_uid
    secrets = ("api_key", "zone.key", "state", "state/host_key")
    placed = proxies.folder / "proxy-1"
    for path in (placed, *placed.rglob("*")):
        name, about = str(path.relative_to(placed)), path.stat()
        if name in secrets:
            assert about.st_uid == theirs and not stat.S_IMODE(about.st_mode) & 0o077, name
        elif not name.startswith("state/"):  # which is the proxy's own
            assert not stat.S_IMODE(about.st_mode) & 0o022, name
            assert about.st_uid == theirs if name == "zone.crt" else about.st_uid == os.geteuid(), name


def test_what_they_read_goes_with_them_and_their_keys_stay(proxies: LocalProxies) -> None:
    started(proxies)
    ends, authority = proxies.ends(), proxies.zone_authority.read_bytes()
    proxies.stop()
    assert not proxies.folder.exists()
    started(proxies)
    assert (proxies.ends(), proxies.zone_authority.read_bytes()) == (ends, authority)


def test_one_that_was_killed_is_started_over_what_it_left(proxies: LocalProxies) -> None:
    process = started(proxies)
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: supervise.running("proxy-1", state=proxies.state) is None, lambda: "it lives")
    assert started(proxies).pid != process.pid


def test_two_sites_share_nothing(proxies: LocalProxies) -> None:
    other = LocalProxies(proxies.state.with_name("demo-proxies"), 1, free_port(), free_port(), DEMO_NUMBERS)
    try:
        started(proxies)
        started(other)
        assert other.folder != proxies.folder
        pids = [started(each).pid for each in (proxies, other)]
        assert other.stop()
        assert pids[0] == started(proxies).pid
        assert accepts("127.0.0.1", proxies.tunnel_port)
    finally:
        other.stop()


def test_one_that_cannot_start_says_why(proxies: LocalProxies) -> None:
    with pytest.raises(ProxyError, match="A proxy did not start: api_key_file holds no API key"):
        proxies.start("http://127.0.0.1:1", "not a key")


def test_another_program_at_its_port_is_not_taken_for_the_proxy(
    proxies: LocalProxies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.proxies.END_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", proxies.tunnel_port)), pytest.raises(ProxyError, match="Another program"):
        proxies.start("http://127.0.0.1:1", "gl_proxy_key")
    assert supervise.running("proxy-1", state=proxies.state) is None


def test_nothing_is_written_where_their_account_may_put_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"state/host_key": b"key", "state/host_key.pub": b"public", "api_key": b"api"}
    other, chown = tmp_path / "other", shutil.chown

    def put_links(path: Path, user: str) -> None:
        """As fast as a process of the account could be."""
        for name in secrets:
            with suppress(FileExistsError, FileNotFoundError):
                (path.parent / name).symlink_to(other)
        chown(path, user)

    monkeypatch.setattr(shutil, "chown", put_links)
    folder = ProxyFolder(tmp_path / "run" / "proxy-1", LocalProxies(tmp_path).account)
    for _ in range(2):
        folder.fill({}, secrets)
        assert {name: (folder.path / name).read_bytes() for name in secrets} == secrets
        assert not other.exists()


def test_without_proxies_nothing_is_told(tmp_path: Path) -> None:
    assert LocalProxies(tmp_path).context() == {}


def started(proxies: LocalProxies) -> supervise.Process:
    proxies.start("http://127.0.0.1:1", "gl_proxy_key")
    process = supervise.running("proxy-1", state=proxies.state)
    assert process is not None
    return process
