"""A small static program in a container, which tries what no tenant may do; `data/attack.c` says what it can."""

from __future__ import annotations

import errno
import io
import subprocess
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from gpulease_host.engine import Order
from tests.host.docker_engine.bench import Bench, name_of

SOURCE = Path(__file__).parent / "data" / "attack.c"
DONE = "done"


@dataclass(frozen=True)
class Attacker:
    """Root in the container of an order."""

    bench: Bench
    order: Order

    def says(self, *words: str) -> list[str]:
        status, output = self.bench.sh(self.order, " ".join(("/attack", *words)))
        assert status == 0, output
        return output.splitlines()

    def tries(self, *words: str) -> str:
        """What the kernel answered: the name of an error, or DONE."""
        return outcome(self.says(*words)[-1].split()[-1])


def attacker_in(bench: Bench, order: Order) -> Attacker:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("attack")
        entry.size, entry.mode = len(_program()), 0o755
        tar.addfile(entry, io.BytesIO(_program()))
    bench.client.put_archive(name_of(order), "/", archive.getvalue())
    return Attacker(bench, order)


def outcome(number: str) -> str:
    return DONE if number == "0" else errno.errorcode[int(number)]


@cache
def _program() -> bytes:
    with TemporaryDirectory() as folder:
        made = Path(folder) / "attack"
        subprocess.run(["gcc", "-static", "-O1", "-o", str(made), str(SOURCE)], check=True)
        return made.read_bytes()
