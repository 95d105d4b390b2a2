"""GPUs as NVML reports them: the real bindings, in a process of their own, on a double of NVIDIA's library."""

from __future__ import annotations

import select
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpulease_host.inventory import DockerFacts, describe
from gpulease_host.inventory_nvml import GONE, UNTOLD, NvmlGpus
from gpulease_host.nvml_process import AGAIN_S, GIVE_UP_S, HANGS, NOT_YET, GpuDriverError, NvmlProcess
from tests.host.fakes import FakeClock
from tests.host.nvml_stub import CRASH, HANG, LOST, MISMATCH, NOT_SUPPORTED, NvmlStub

PATIENCE_S = 60.0
"""On a machine that has much else to do."""
FACTS = DockerFacts("20.10.24", 1, disk_enforced=False, unenforced=())


class Host:
    """Its daemon's GPUs; `restart` is a new start of the daemon."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.known_path: Path | None = folder / "gpus.json"
        self.process: NvmlProcess | None = None
        self.restart()

    def restart(self) -> None:
        self.close()
        self.process = NvmlProcess(PATIENCE_S, self.clock)
        self.gpus = NvmlGpus(self.process.ask, self.known_path)

    def close(self) -> None:
        if self.process is not None:
            self.process.close()

    def reasons(self) -> list[str | None]:
        return [check.reason for check in self.gpus.checks()]

    def inventory(self) -> dict[str, Any]:
        return describe(self.gpus, FACTS, memory_bytes=1, disk_bytes=1)


@pytest.fixture
def host(nvml: NvmlStub, tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.close()


def uuids(host: Host) -> list[str]:
    return [gpu.uuid for gpu in host.gpus.gpus()]


def test_gpus_are_what_the_driver_says(host: Host, nvml: NvmlStub) -> None:
    nvml.say(count=2, **{"0.minor": 1, "1.minor": 0, "1.get_minor": NOT_SUPPORTED})
    assert [(gpu.index, gpu.uuid, gpu.name, gpu.memory_bytes >> 20, gpu.minor) for gpu in host.gpus.gpus()] == [
        (0, "GPU-00000000", "NVIDIA GeForce RTX 3090", 24576, 1),
        (1, "GPU-00000001", "NVIDIA GeForce RTX 3090", 24576, None),
    ]
    assert (host.gpus.driver_version(), host.gpus.simulated, host.gpus.fault()) == ("550.54.14", False, None)
    assert host.reasons() == [None, None], "whatever the driver keeps for itself"


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"0.pid": 42}, "processes use it: 42"),
        ({"0.graphics_pid": 43}, "processes use it: 43"),
        ({"0.used_mib": 8}, None),
        ({"0.used_mib": 3072}, "3072 MiB of its memory are in use"),
        ({"0.mode": 3}, "its compute, MIG or ECC mode was changed"),
        ({"0.mig_mode": 1, "0.mig": 0}, "its compute, MIG or ECC mode was changed"),
        ({"0.ecc_mode": 1, "0.ecc": 0}, "its compute, MIG or ECC mode was changed"),
    ],
)
def test_a_gpu_with_something_left_on_it_is_not_clean(
    host: Host, nvml: NvmlStub, answers: dict[str, int], reason: str | None
) -> None:
    assert host.reasons() == [None] * 4
    nvml.say(**answers)
    assert host.reasons() == [reason, None, None, None]


CALLS = (
    "get_uuid",
    "get_name",
    "get_minor",
    "memory",
    "memory_v2",
    "compute",
    "graphics",
    "compute_mode",
    "mig",
    "ecc",
)


@pytest.mark.parametrize("call", ["handle", "all", *CALLS])
@pytest.mark.parametrize("code", [LOST, 77])
def test_what_fails_for_one_gpu_puts_that_one_out_of_use(host: Host, nvml: NvmlStub, call: str, code: int) -> None:
    assert host.reasons() == [None] * 4
    nvml.say(**{f"2.{call}": code})
    for _ in range(2):  # also for a daemon that starts then
        first, second, third, fourth = host.reasons()
        assert (first, second, fourth) == (None, None, None)
        assert third is not None
        assert third.startswith("the driver does not answer for it: ")
        assert host.inventory()["driver_version"] == "550.54.14"
        assert uuids(host) == [f"GPU-{index:08d}" for index in range(4)]
        host.restart()
    nvml.unsay(f"2.{call}")
    assert host.reasons() == [None] * 4


@pytest.mark.parametrize("call", CALLS[1:])
def test_what_a_gpu_does_not_support_is_an_answer(host: Host, nvml: NvmlStub, call: str) -> None:
    nvml.say(**{f"0.{call}": NOT_SUPPORTED})
    assert host.reasons() == [None] * 4


def test_a_library_without_the_newer_call_for_memory_is_asked_by_the_older(host: Host, nvml: NvmlStub) -> None:
    nvml.say(**{"0.memory_v2": 13, "1.memory_v2": 13, "0.reserved_mib": 0, "1.reserved_mib": 0, "1.used_mib": 100})
    assert host.reasons() == [None, "100 MiB of its memory are in use", None, None]


def test_a_gpu_of_which_neither_processes_nor_memory_are_told_is_not_clean(host: Host, nvml: NvmlStub) -> None:
    nvml.say(**{f"0.{call}": NOT_SUPPORTED for call in ("compute", "graphics", "memory", "memory_v2")})
    assert host.reasons() == [UNTOLD, None, None, None]
    assert host.inventory()["gpus"][0]["memory_bytes"] == 0, "unknown"


def test_what_is_lost_says_so_and_what_to_do(host: Host, nvml: NvmlStub) -> None:
    host.reasons()
    nvml.say(**{"2.handle": LOST})
    assert host.reasons()[2] == (
        "the driver does not answer for it: GPU is lost; reboot this machine; if that does not help, look at the card "
        "and its power"
    )


def test_a_gpu_that_the_driver_does_not_count_any_more_is_gone_and_the_others_keep_their_places(
    host: Host, nvml: NvmlStub
) -> None:
    host.reasons()
    nvml.say(count=3, **{"0.uuid": "GPU-00000001", "1.uuid": "GPU-00000002", "2.uuid": "GPU-00000003", "0.minor": 1})
    host.restart()
    assert host.reasons() == [GONE, None, None, None]
    assert [(gpu.index, gpu.uuid, gpu.minor) for gpu in host.gpus.gpus()][:2] == [
        (0, "GPU-00000000", 0),
        (1, "GPU-00000001", 1),
    ]


def test_a_driver_version_that_is_not_told_is_unknown_and_nothing_else(host: Host, nvml: NvmlStub) -> None:
    nvml.say(driver_version=999)
    assert host.inventory()["driver_version"] is None
    assert host.reasons() == [None] * 4


@pytest.mark.parametrize("call", ["init", "count_call"])
@pytest.mark.parametrize("code", [9, MISMATCH, 77])
def test_a_driver_that_does_not_answer_puts_every_known_gpu_out_of_use_until_it_does(
    host: Host, nvml: NvmlStub, call: str, code: int
) -> None:
    before = host.inventory()
    nvml.say(**{call: code})
    host.restart()
    assert host.inventory()["gpus"] == before["gpus"]
    assert all(reason and reason.startswith("NVIDIA's driver does not answer: ") for reason in host.reasons())
    assert host.gpus.fault() == host.reasons()[0]
    nvml.unsay(call)
    assert host.gpus.fault() is None
    assert host.reasons() == [None] * 4
    assert host.inventory() == before


def test_a_library_that_differs_from_the_driver_says_what_to_do(host: Host, nvml: NvmlStub) -> None:
    nvml.say(init=MISMATCH)
    fault = host.gpus.fault()
    assert fault is not None
    assert fault.endswith("the driver was updated while the old one is loaded: reboot this machine")


def test_a_daemon_that_has_never_seen_its_gpus_finds_them_once_the_driver_answers(host: Host, nvml: NvmlStub) -> None:
    nvml.say(init=MISMATCH)
    assert host.inventory()["gpus"] == []
    assert host.reasons() == []
    nvml.unsay("init")
    assert host.reasons() == [None] * 4
    assert len(host.inventory()["gpus"]) == 4


def test_a_driver_that_was_replaced_is_read_with_its_own_library(host: Host, nvml: NvmlStub) -> None:
    """What a process has loaded stays, so what it says of a fault is asked of another one after a while."""
    host.reasons()
    assert host.process is not None
    first = host.process._process
    nvml.say(**{"1.handle": 999})
    host.reasons()
    assert host.process._process is first
    host.clock.now += AGAIN_S
    host.reasons()
    host.reasons()
    second = host.process._process
    assert second is not first
    nvml.unsay("1.handle")
    host.clock.now += AGAIN_S
    assert host.reasons() == [None] * 4
    assert host.process._process is second, "it has told of no fault since"


def test_a_library_that_crashes_takes_nothing_along(host: Host, nvml: NvmlStub) -> None:
    host.reasons()
    nvml.say(**{"3.memory": CRASH})
    assert all(reason and "its library crashed" in reason for reason in host.reasons())
    nvml.unsay("3.memory")
    assert "its library crashed" in str(host.gpus.fault()), "it is not begun anew at once"
    host.clock.now += AGAIN_S
    assert host.gpus.fault() is None
    assert host.reasons() == [None] * 4


def test_a_driver_that_hangs_is_waited_for_once_and_given_up(nvml: NvmlStub, tmp_path: Path) -> None:
    nvml.say(init=HANG)
    clock = FakeClock()
    process = NvmlProcess(0.1, clock)
    gpus = NvmlGpus(process.ask, tmp_path / "gpus.json")
    assert gpus.fault() == NOT_YET
    clock.now += GIVE_UP_S
    assert gpus.fault() == HANGS
    nvml.unsay("init")
    assert gpus.fault() == HANGS, "it is not begun anew at once"
    clock.now += AGAIN_S
    process._wait_s = 30.0
    assert gpus.fault() is None
    process.close()


def test_an_answer_that_comes_late_is_asked_for_again(nvml: NvmlStub, tmp_path: Path) -> None:
    """It is of then. A driver that nobody keeps open takes its time when it is opened."""
    process = NvmlProcess(0.0, FakeClock())
    gpus = NvmlGpus(process.ask, tmp_path / "gpus.json")
    assert gpus.fault() == NOT_YET
    reader = process._process
    assert reader is not None
    assert reader.stdout is not None
    assert select.select([reader.stdout], [], [], 60)[0]
    nvml.say(**{"0.pid": 42})
    process._wait_s = 30.0
    assert [check.reason for check in gpus.checks()] == ["processes use it: 42", None, None, None]
    process.close()


def test_there_is_never_a_second_reader_beside_one_that_does_not_end() -> None:
    class Held:
        def wait(self, timeout: float) -> None:
            raise subprocess.TimeoutExpired("reader", timeout)

    process = NvmlProcess(0.0, FakeClock())
    process._former = Held()  # type: ignore[assignment]
    for _ in range(2):
        with pytest.raises(GpuDriverError, match="does not let go"):
            process.ask()
    assert process._process is None


def test_a_machine_without_a_driver_cannot_be_registered(nvml: NvmlStub) -> None:
    nvml.say(init=9)
    process = NvmlProcess(PATIENCE_S)
    with pytest.raises(GpuDriverError, match="Driver Not Loaded"):
        NvmlGpus(process.ask).check_answered()
    process.close()


def test_a_gpu_that_does_not_answer_is_left_out_of_a_registration(nvml: NvmlStub) -> None:
    nvml.say(count=3, **{"1.memory": LOST})
    process = NvmlProcess(PATIENCE_S)
    gpus = NvmlGpus(process.ask)
    gpus.check_answered()
    assert [(gpu.index, gpu.uuid) for gpu in gpus.gpus()] == [(0, "GPU-00000000"), (1, "GPU-00000002")]
    (sentence,) = gpus.left_out()
    assert sentence.startswith("GPU 1 is left out, because the driver does not answer for it: GPU is lost")
    nvml.say(**{"0.all": LOST, "2.all": LOST})
    none = NvmlGpus(process.ask)
    with pytest.raises(GpuDriverError, match=r"GPU 0 is left out.* GPU 2 is left out"):
        none.check_answered()
    process.close()
