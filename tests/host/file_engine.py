"""An engine whose containers live in a file, so that they outlive a killed daemon as Docker's do.

Run as a module it is a real daemon process on that engine: `python -m tests.host.file_engine FOLDER API_URL RUN_ID`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpulease_host.api import Api, MachineAuth, Signer
from gpulease_host.daemon import Parts
from gpulease_host.engine import Container, Order, Secrets, StillWanted
from gpulease_host.key_ring import KeyRing
from gpulease_host.log import Log
from gpulease_host.run_daemon import serve
from gpulease_host.sender import Kind
from gpulease_host.settings import Settings, lock_folder
from gpulease_host.threads import end_on_fault
from gpulease_host.trusted_clock import TrustedClock
from tests.host.fakes import FakeClock, FakeDataRoot, FakeEngine
from tests.host.orders import HOST_ID

SLOW_S = 0.02
"""Each effect takes a while, so that a kill lands before, within and after it."""


class FileEngine(FakeEngine):
    """Each effect is in the file, as a whole, at one moment; what was called stands in `calls`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(FakeClock())
        self.data_root = FakeDataRoot(folder)
        self._file = folder / "containers.json"
        self._calls = folder / "calls"
        self._write_lock = threading.RLock()
        if self._file.exists():
            self.held = {each["instance_id"]: _container(each) for each in json.loads(self._file.read_text())}

    def start(self, order: Order, secrets: Secrets, still_wanted: StillWanted = lambda: True) -> None:
        self.clock.now = time.time()
        self._do(lambda: super(FileEngine, self).start(order, secrets, still_wanted))

    def stop(self, instance_id: int, grace_s: int = 10) -> None:
        self._do(lambda: super(FileEngine, self).stop(instance_id, grace_s))

    def kill(self, instance_id: int) -> bool:
        is_running = self.is_running(instance_id)
        self._do(lambda: super(FileEngine, self).kill(instance_id))
        return is_running

    def remove(self, contract_id: int, instance_id: int) -> None:
        self._do(lambda: super(FileEngine, self).remove(contract_id, instance_id))

    def events(self) -> Iterator[int]:
        while True:
            time.sleep(1)
            yield from ()

    def _do(self, effect: Any) -> None:
        time.sleep(SLOW_S)
        with self._write_lock:
            effect()
            beside = self._file.with_suffix(".new")
            beside.write_text(json.dumps([asdict(each) for each in self.held.values()]))
            beside.replace(self._file)
            with self._calls.open("a") as file:
                file.writelines(f"{time.time()} {line}\n" for line in [*self.calls, *self.violations])
            self.calls.clear()
            assert not self.violations
        time.sleep(SLOW_S)


class FileSink:
    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, kind: Kind, detail: dict[str, Any]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps({"kind": kind, **detail}) + "\n")


def _container(value: dict[str, Any]) -> Container:
    return Container(**{**value, "gpus": tuple(value["gpus"])})


def main(folder: Path, api_url: str, run_id: str) -> None:
    log = Log(sys.stderr, time.time)
    end_on_fault(log)
    settings = Settings(folder, 60, 1, folder / "credentials")
    keys = KeyRing.open(settings.key_path)
    clock = TrustedClock()

    def open_api(key: Signer) -> Api:
        return Api(api_url, MachineAuth(key, HOST_ID, clock), clock.hear)

    with lock_folder(settings.pid_path):
        serve(
            Parts(
                settings=settings,
                host_id=HOST_ID,
                keys=keys,
                engine=FileEngine(folder),
                api=open_api(keys),
                open_key_api=open_api,
                sink=FileSink(folder / "events"),
                read_run=lambda: run_id,
                boot_id=f"boot-{os.getpid()}",
                log=log,
                clock=clock,
            )
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
