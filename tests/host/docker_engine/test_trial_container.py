"""The host's own container, on a real Docker: started as a client's is, and gone without a trace."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gpulease_host.docker_engine.image_memory import ImageMemory
from gpulease_host.docker_engine.leftovers import DockerLeftovers
from gpulease_host.docker_engine.networks import ContractNetworks
from gpulease_host.docker_engine.trial_container import CODE, TrialContainer, program
from gpulease_host.engine import EngineError, HostFaultError, NotStartedError, Order, OrderedGpu
from tests.host.docker_engine.bench import Bench


def gpus_of(bench: Bench) -> list[OrderedGpu]:
    return [OrderedGpu(gpu.index, gpu.uuid) for gpu in bench.gpus.gpus()]


def everything(bench: Bench) -> tuple[list[str], list[str], list[str]]:
    client = bench.client
    return (
        sorted(each["Id"] for each in client.containers(all=True)),
        sorted(each["Name"] for each in client.networks()),
        sorted(each["Id"] for each in client.images()),
    )


@pytest.mark.parametrize("processor", CODE)
def test_the_program_is_one_segment_that_begins_behind_its_heads(processor: str) -> None:
    written = program(processor)
    assert written[:4] == b"\x7fELF"
    assert int.from_bytes(written[24:32], "little") == 0x400000 + 120
    assert written[120:] == CODE[processor][1]


def test_the_program_waits(tmp_path: Path) -> None:
    file = tmp_path / "wait"
    file.write_bytes(program(platform.machine()))
    file.chmod(0o700)
    with subprocess.Popen([file]) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        process.kill()
    assert process.returncode == -9


@pytest.mark.docker
def test_a_trial_succeeds_and_leaves_nothing(bench: Bench) -> None:
    before = everything(bench)
    bench.engine.try_start(gpus_of(bench))
    assert everything(bench) == before
    assert bench.engine.containers() == []


def trial(start: Callable[[Order], None], why_not_reached: Callable[[Order], str | None]) -> list[str]:
    """What was done, with stand-ins for Docker."""
    done: list[str] = []

    class Docker:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *_: done.append(name)

    docker: Any = Docker()
    with suppress(EngineError):
        TrialContainer(docker, docker, docker, docker.remove_files, 7).log_in(start, why_not_reached)
    return done


def test_a_login_is_tried_until_somebody_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpulease_host.docker_engine.trial_container.LOOK_S", 0.0)
    answers, started = ["not yet", "not yet", None], list[Order]()
    done = trial(started.append, lambda order: answers.pop(0))
    assert answers == []
    assert [(each.mode, each.gpus) for each in started] == [("ssh", ())]
    assert done[-5:] == ["remove_container", "remove_files", "remove_if_unused", "remove_image", "forget"]


def test_a_login_that_never_succeeds_ends_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpulease_host.docker_engine.trial_container.LOGIN_S", 0.0)
    monkeypatch.setattr("gpulease_host.docker_engine.trial_container.LOOK_S", 0.0)
    done = trial(lambda order: None, lambda order: "not yet")
    assert done[-5:] == ["remove_container", "remove_files", "remove_if_unused", "remove_image", "forget"]


@pytest.mark.docker
def test_a_trial_passes_over_what_an_earlier_one_left(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything(bench)
    with monkeypatch.context() as patched:
        patched.setattr(bench.engine._trial, "clear", lambda: None)
        bench.engine.try_start(gpus_of(bench))
    assert everything(bench) != before
    assert bench.engine.containers() == [], "it is nobody's"
    bench.engine.try_start(gpus_of(bench))
    assert everything(bench) == before


@pytest.mark.docker
def test_who_leaves_takes_a_trial_that_broke_off_along(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything(bench)
    with monkeypatch.context() as patched:
        patched.setattr(bench.engine._trial, "clear", lambda: None)
        bench.engine.try_start(gpus_of(bench))
    DockerLeftovers(bench.engine, bench.engine._api, ImageMemory(None, time.time)).remove_networks()
    assert everything(bench) == before


@pytest.mark.docker
def test_a_trial_finds_that_no_network_can_be_made(bench: Bench) -> None:
    full = ContractNetworks(bench.engine._api, 1, "127.0.0.0/28")
    bench.engine._networks = bench.engine._starts_of_nobody._networks = full
    with pytest.raises(HostFaultError) as caught:
        bench.engine.try_start(gpus_of(bench))
    assert caught.value.code == "network_pool_used_up"


@pytest.mark.docker
@pytest.mark.parametrize(
    ("entrypoint", "code"),
    [("/no/such", "program_missing"), ("/etc/passwd", "program_not_executable"), ("/etc", "program_not_executable")],
)
def test_what_a_real_runtime_says_of_a_clients_program_is_understood(bench: Bench, entrypoint: str, code: str) -> None:
    with pytest.raises(NotStartedError) as caught:
        bench.start(bench.order(), entrypoint=[entrypoint])
    assert caught.value.code == code
