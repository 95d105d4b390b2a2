"""A registered host folder, a daemon on it, and a double of NVIDIA's library."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpulease_host.journal import Journal
from tests.host import nvml_stub
from tests.host.orders import HOST_ID
from tests.host.rig import Rig


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Journal.create(tmp_path / "journal", HOST_ID)
    return tmp_path


@pytest.fixture
def rig(folder: Path) -> Rig:
    return Rig(folder).boot()


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nvml_stub.build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def nvml(nvml_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nvml_stub.NvmlStub:
    """In the environment of whatever is started from now on."""
    stub = nvml_stub.NvmlStub(nvml_library, tmp_path / "nvml-answers")
    for name, value in stub.environment().items():
        monkeypatch.setenv(name, value)
    return stub
