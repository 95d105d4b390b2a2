"""A double of NVIDIA's library, compiled once a session, for the real bindings: a file says what it answers."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from local import dockerd_packages

SOURCE = Path(__file__).with_name("nvml.c")
PROGRAMS = {"gcc": "gcc", "libc6-dev": "gencat"}  # the second brings headers, and a program with them
HANG, CRASH = -1, -2
LOST, MISMATCH, NOT_SUPPORTED = 15, 18, 3


def build(folder: Path) -> Path:
    """The folder with `libnvidia-ml.so.1` in it; skips where there is no compiler and none may be installed."""
    try:
        dockerd_packages.provide_programs(PROGRAMS)
    except dockerd_packages.MissingPackagesError as error:
        pytest.skip(f"the double of NVIDIA's library needs a C compiler: {error}")
    compiler = shutil.which("gcc", path=dockerd_packages.ROOT_PATH)
    assert compiler is not None
    command = [compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(folder / "libnvidia-ml.so.1"), str(SOURCE)]
    subprocess.run(command, check=True)
    return folder


@dataclass
class NvmlStub:
    """What the library answers from the next call on, in processes that are started with its environment."""

    library: Path
    answers: Path
    said: dict[str, str] = field(default_factory=dict)

    def say(self, **answers: object) -> None:
        """By name, or for a GPU as in `say(**{"2.handle": LOST})`."""
        self.said |= {name: str(value) for name, value in answers.items()}
        self._write()

    def unsay(self, *names: str) -> None:
        for name in names:
            del self.said[name]
        self._write()

    def environment(self) -> dict[str, str]:
        return {"LD_LIBRARY_PATH": str(self.library), "NVML_ANSWERS": str(self.answers)}

    def _write(self) -> None:
        """Replaced as a whole: it is read meanwhile."""
        beside = self.answers.with_name("answers.new")
        beside.write_text("".join(f"{name} {value}\n" for name, value in self.said.items()))
        beside.replace(self.answers)
