"""The engine as the daemon gets it: a driver that does not answer keeps neither it nor its duties away."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpulease_host.docker_engine import open_engine
from gpulease_host.known_gpus import read_known
from gpulease_host.nvml_process import GpuDriverError
from gpulease_host.settings import Settings
from gpulease_host.toolkit.background import ToolkitKeeper
from tests.host.docker_engine.bench import wait_until
from tests.host.nvml_stub import LOST, MISMATCH, NvmlStub
from tests.host.orders import HOST_ID, order

PATIENCE_S = 60


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPULEASE_HOST_DIR", str(tmp_path))
    monkeypatch.setattr(ToolkitKeeper, "attend", lambda _self: None)  # nothing is built here


def test_a_host_opens_its_engine_without_a_driver_and_starts_nothing(nvml: NvmlStub) -> None:
    nvml.say(init=MISMATCH)
    engine = open_engine(HOST_ID, 0)
    told = "the driver was updated while the old one is loaded"
    wait_until(lambda: told in str(engine.why_not_startable(order())), PATIENCE_S)
    nvml.unsay("init")
    wait_until(lambda: engine.why_not_startable(order()) is None, PATIENCE_S)


def test_the_gpus_of_a_host_are_remembered_in_its_folder(nvml: NvmlStub, tmp_path: Path) -> None:
    nvml.say(count=2)
    engine = open_engine(HOST_ID, 0)
    wait_until(lambda: engine.why_not_startable(order()) is None, PATIENCE_S)
    path = Settings.from_environment({"GPULEASE_HOST_DIR": str(tmp_path)}).gpus_path
    assert list(read_known(path)) == ["GPU-00000000", "GPU-00000001"]
    for damaged in (b"", b"{}", b'{"v": 1, "gpus": [{"index": 0}]}', b'{"v": 1, "gpus": [7]}'):
        path.write_bytes(damaged)
        assert read_known(path) == {}


def test_a_machine_is_registered_with_the_gpus_that_answer(nvml: NvmlStub, capsys: pytest.CaptureFixture[str]) -> None:
    nvml.say(count=2, **{"1.handle": LOST})
    open_engine(0, 0)
    assert "GPU 1 is left out" in capsys.readouterr().err
    nvml.say(init=MISMATCH)
    with pytest.raises(GpuDriverError, match="the driver was updated"):
        open_engine(0, 0)
