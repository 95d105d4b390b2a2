"""Programs that the kernel does not begin: a real runtime starts the container, and writes why into its log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from gpulease_host.decide import Facts, Settle, decide
from gpulease_host.docker_engine import exec_failures
from gpulease_host.docker_engine.exec_failures import CARRIAGE_RETURN, MISSING, NO_INTERPRETER, OTHER_KIND, why_missing
from gpulease_host.engine import Container, Port, PortTakenError
from gpulease_host.records import Record
from local.images import BUSYBOX
from local.ports import free_port
from tests.host.docker_engine.bench import Bench, name_of
from tests.host.orders import NOW, order

IMAGE = "gpulease/exec-failure"
MakeImage = Callable[[str], str]


@pytest.fixture
def image_of(bench: Bench) -> Iterator[MakeImage]:
    """An image whose entrypoint is a script of this text, as printf writes it."""

    def make(text: str) -> str:
        script = f"printf '{text}' > /start.sh && chmod 755 /start.sh"
        made = bench.client.create_container(BUSYBOX, ["sh", "-c", script])["Id"]
        bench.client.start(made)
        assert bench.client.wait(made)["StatusCode"] == 0
        bench.client.commit(made, IMAGE, "1", changes='ENTRYPOINT ["/start.sh"]')
        bench.client.remove_container(made)
        return f"{IMAGE}:1"

    yield make
    bench.clear()
    bench.client.remove_image(f"{IMAGE}:1")


@pytest.mark.docker
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("#!/bin/sh\\r\\necho hello\\r\\n", CARRIAGE_RETURN),
        ("#!/no/such\\necho hello\\n", NO_INTERPRETER),
        ("echo hello\\n", OTHER_KIND),
        ("#!/bin/sh\\nexit 3\\n", None),
    ],
)
def test_a_program_that_never_began_says_why(bench: Bench, image_of: MakeImage, text: str, told: str | None) -> None:
    found = bench.order(image=image_of(text))
    bench.start(found)
    assert bench.exited(found).error == told


@pytest.mark.docker
def test_a_container_that_never_ran_is_made_anew_under_other_numbers_and_one_that_ran_is_not(bench: Bench) -> None:
    first = bench.order(ports=(Port(8080, "tcp", free_port()),))
    other = bench.order(ports=first.ports, gpu=1)
    bench.start(first, "sleep", "300")
    with pytest.raises(PortTakenError):
        bench.start(other, "sleep", "300")
    moved = replace(other, generation=2, ports=(Port(8080, "tcp", free_port()),))
    bench.start(moved, "sleep", "300")
    bindings = bench.client.inspect_container(name_of(moved))["NetworkSettings"]["Ports"]
    assert bindings["8080/tcp"][0]["HostPort"] == str(moved.ports[0].host)
    ran = bench.docker_id(moved)
    bench.engine.stop(moved.instance_id, 0)
    bench.start(replace(moved, generation=3, ports=(Port(8080, "tcp", free_port()),)), "sleep", "300")
    assert bench.docker_id(moved) == ran, "what is written in it stays"


def test_a_first_line_says_what_is_missing() -> None:
    assert why_missing(b"#!/bin/sh\r\nx") == CARRIAGE_RETURN
    assert why_missing(b"#!/no/such\nx\r\n") == NO_INTERPRETER
    assert why_missing(b"\x7fELF") == why_missing(None) == MISSING


@pytest.mark.parametrize("said", ["exec /a: b: no such file or directory", "exec /start.sh: exec format error"])
def test_the_runtimes_line_is_known(said: str) -> None:
    assert exec_failures.SAID.fullmatch(said)


@pytest.mark.parametrize("said", ["/start.sh: no such file or directory", "no such file or directory", "Exec failed"])
def test_a_programs_own_words_are_not_the_runtimes(said: str) -> None:
    assert not exec_failures.SAID.fullmatch(said)


def test_an_instance_that_never_began_ends_with_that_reason() -> None:
    ended = Container(11, 11, 1, 1, "exited", 1, False, NOW, "run", OTHER_KIND, ())
    record = Record(order(), "running", token=1, begun=True, run_id="r")
    action = decide(record, Facts(ended, NOW, "r", confirmed=True, fenced_by=None))
    assert isinstance(action, Settle)
    assert (action.after.status, action.after.reason, action.after.exit_code) == ("exited", OTHER_KIND, 1)
