"""What the machine's own driver says, where there is one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gpulease_host.inventory_nvml import NvmlGpus
from gpulease_host.known_gpus import read_known
from gpulease_host.nvml_process import NvmlProcess

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="this machine has no NVIDIA driver"),
]


def test_the_gpus_of_this_machine_are_those_that_nvidias_own_program_names(tmp_path: Path) -> None:
    program = shutil.which("nvidia-smi")
    if program is None:
        pytest.skip("nvidia-smi is not here")
    listed = subprocess.run(
        [program, "--query-gpu=uuid,name", "--format=csv,noheader"], capture_output=True, text=True, check=True
    )
    process = NvmlProcess(60.0)
    gpus = NvmlGpus(process.ask, tmp_path / "gpus.json")
    assert [f"{gpu.uuid}, {gpu.name}" for gpu in gpus.gpus()] == listed.stdout.splitlines()
    assert gpus.fault() is None
    assert gpus.driver_version()
    assert not [check.reason for check in gpus.checks() if (check.reason or "").startswith("the driver")]
    assert list(read_known(tmp_path / "gpus.json").values()) == list(gpus.gpus())
    process.close()
