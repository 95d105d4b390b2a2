"""A container of the host's own, started as a client's is: whatever keeps it from starting is the host's fault.

Its image is made here and holds one program, which waits: so neither a registry nor anybody's image is in question.
"""

from __future__ import annotations

import io
import platform
import struct
import tarfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from gpulease_host.docker_engine.container_config import container_name
from gpulease_host.docker_engine.docker_api import DockerApi
from gpulease_host.docker_engine.known_containers import KnownContainers
from gpulease_host.docker_engine.networks import ContractNetworks
from gpulease_host.docker_engine.ways_in import NobodyGotInError
from gpulease_host.engine import EngineError, Limits, Order, OrderedGpu, Port

MIB = 1 << 20
LIMITS = Limits("0", 10, 16 * MIB, 64 * MIB, 1 * MIB, 16, 64 * MIB, 10)
LOGIN_LIMITS = Limits("0", 100, 6 * MIB, 256 * MIB, 1 * MIB, 64, 64 * MIB, 100)
"""Of RAM as good as nothing is its own: where that is scarce, it dies before any tenant within its share."""
LOGIN_S, LOOK_S = 60.0, 0.5
"""How long a login is tried, on a machine as busy as tenants can make it."""
ANY_PORT = 0
"""Docker takes one that is free: that publishing works is tried, not a number of a contract's."""
PROGRAM = "wait"
LOADED_AT = 0x400000
# Machine code that sleeps for good, and the number by which ELF knows the processor.
CODE = {
    "x86_64": (62, bytes.fromhex("b822000000 0f05 ebf7")),  # pause(), again and again
    "aarch64": (183, struct.pack("<7I", *[0xD2800000 | n for n in range(4)], 0xD2800928, 0xD4000001, 0x17FFFFFA)),
}


def program(processor: str) -> bytes:
    """A static ELF file of one segment. Raises KeyError for a processor that it is not written for."""
    machine, code = CODE[processor]
    size = 64 + 56 + len(code)
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, LOADED_AT + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, LOADED_AT, LOADED_AT, size, size, 0x1000) + code


def file_system(processor: str) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name in ("dev", "etc", "proc", "run", "sys", "tmp"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
        content = program(processor)
        file = tarfile.TarInfo(PROGRAM)
        file.size, file.mode = len(content), 0o755
        archive.addfile(file, io.BytesIO(content))
    return written.getvalue()


class TrialContainer:
    """It has the host's own id as its contract's and instance's, which no contract ever has."""

    def __init__(
        self,
        api: DockerApi,
        networks: ContractNetworks,
        known: KnownContainers,
        remove_files: Callable[[int], None],
        host_id: int,
    ) -> None:
        self._api = api
        self._networks = networks
        self._known = known
        self._remove_files = remove_files
        self._host_id = host_id

    def run(self, gpus: Sequence[OrderedGpu], start: Callable[[Order], None]) -> None:
        """Raises what `start` raises. Nothing stays, also of an earlier one that broke off."""
        self._run(self._order(gpus), start)

    def log_in(self, start: Callable[[Order], None], why_not_reached: Callable[[Order], str | None]) -> None:
        """In mode ssh, and without a GPU. Raises NobodyGotInError, and what `start` raises."""

        def start_and_log_in(order: Order) -> None:
            start(order)
            until = time.monotonic() + LOGIN_S
            while (why := why_not_reached(order)) is not None:
                if time.monotonic() > until:
                    raise NobodyGotInError(why)
                time.sleep(LOOK_S)

        self._run(replace(self._order(()), mode="ssh", limits=LOGIN_LIMITS), start_and_log_in)

    def _run(self, order: Order, start: Callable[[Order], None]) -> None:
        self.clear()
        try:
            self._api.import_image(order.image, self._file_system(), [f'ENTRYPOINT ["/{PROGRAM}"]'])
            start(order)
        finally:
            self.clear()

    def _file_system(self) -> bytes:
        processor = platform.machine()
        if processor not in CODE:
            raise EngineError(f"There is no trial container for {processor}.")
        return file_system(processor)

    def clear(self) -> None:
        """What cannot be removed now is removed with the next one."""
        order = self._order(())
        with suppress(EngineError):
            self._api.remove_container(container_name(order.instance_id))
        with suppress(EngineError):
            self._remove_files(order.instance_id)
        with suppress(EngineError):
            self._networks.remove_if_unused(order.contract_id)
        with suppress(EngineError):
            self._api.remove_image(order.image)
        self._known.forget(order.instance_id)

    def _order(self, gpus: Sequence[OrderedGpu]) -> Order:
        return Order(
            contract_id=self._host_id,
            instance_id=self._host_id,
            generation=1,
            desired="running",
            token=None,
            end_at=0,
            delete_after=0,
            image=f"gpulease/trial:{self._host_id}",
            mode="args",
            ports=(Port(8080, "tcp", ANY_PORT),),
            gpus=tuple(gpus),
            limits=LIMITS,
        )
