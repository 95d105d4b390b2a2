"""Proxies and what is behind them, in folders that the account of the tunnels can reach."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.ports import free_port
from tests.proxy.echo import Echo
from tests.proxy.rig import ProxyRig, TunnelKey
from tests.proxy.service import ServiceDouble


@pytest.fixture
def service() -> Iterator[ServiceDouble]:
    double = ServiceDouble()
    yield double
    double.close()


@pytest.fixture
def make_proxy(service: ServiceDouble) -> Iterator[Callable[..., ProxyRig]]:
    rigs: list[ProxyRig] = []

    def make(address: str = "127.0.0.1", tls: tuple[Path, Path] | None = None) -> ProxyRig:
        folder = Path(tempfile.mkdtemp(prefix="gpulease-proxy-"))
        folder.chmod(0o755)
        rigs.append(ProxyRig(folder, address, service, tls))
        return rigs[-1].start()

    yield make
    for rig in rigs:
        rig.close()


@pytest.fixture
def proxy(make_proxy: Callable[..., ProxyRig]) -> ProxyRig:
    return make_proxy()


@pytest.fixture
def keys(tmp_path: Path) -> Callable[[str], TunnelKey]:
    return lambda name: TunnelKey.make(tmp_path / name)


@pytest.fixture
def echo() -> Iterator[Echo]:
    """What stands for a container's port: it says its name and answers each line."""
    server = Echo("container")
    yield server
    server.close()


@pytest.fixture
def ended() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that are ended with the test."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for each in processes:
        each.kill()
        each.wait()


@pytest.fixture
def certificate_folder() -> Iterator[Path]:
    """Where the account of the tunnels can read."""
    folder = Path(tempfile.mkdtemp(prefix="gpulease-zone-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def port() -> int:
    return free_port()
