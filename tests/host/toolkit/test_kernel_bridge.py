"""Between Jupyter and the image's Python: each request gets its own answer, whatever comes in between."""

from __future__ import annotations

import importlib.util
import os
import resource
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from gpulease_host.toolkit import packages

MANY_FILES = 1100
"""So that its descriptors have numbers which not every way to wait for them takes."""
BRIDGE = packages.INSIDE / "kernel_bridge.py"
Message = dict[str, Any]
SHOWS_WHEN_LOOKED_AT = """
class Shows:
    def __dir__(self):
        {does}
        return ["real"]
shows = Shows()
"""


class Jupyter:
    """What ipykernel gives a kernel, as far as the bridge needs it; it notes what is published."""

    execution_count = 1
    iopub_socket = None

    def __init__(self) -> None:
        self.session = self
        self.published: list[tuple[str, Message]] = []
        self.typed: BaseException | str = "Ada"

    def send(self, socket: object, kind: str, content: Message, parent: object, ident: object) -> None:
        self.published.append((kind, content))

    def get_parent(self, channel: str) -> Message:
        return {}

    def raw_input(self, prompt: str) -> str:
        if isinstance(self.typed, BaseException):
            raise self.typed
        return self.typed

    def _topic(self, kind: str) -> bytes:
        return kind.encode()

    def shown(self) -> list[str]:
        return [content["data"]["text/plain"] for kind, content in self.published if kind == "display_data"]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, held in (("", {}), (".kernelbase", {"Kernel": Jupyter}), (".kernelapp", {"IPKernelApp": None})):
        module = ModuleType(f"ipykernel{name}")
        vars(module).update(held)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    spec = importlib.util.spec_from_file_location("bridge_under_test", BRIDGE)
    assert spec is not None
    assert spec.loader is not None
    bridge: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bridge)
    bridge.WITHIN, bridge.RUNNER = "/usr/bin/env", str(packages.INSIDE / "kernel_runner.py")
    bridge.BridgeKernel.python = sys.executable
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * MANY_FILES)), hard))
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(MANY_FILES)]
    kernel = bridge.BridgeKernel()
    for each in taken:
        os.close(each)
    yield kernel
    os.close(kernel._child._tell)
    assert kernel._child._process.wait(timeout=20) == 0


def run(kernel: Any, code: str) -> str:
    status: str = kernel.do_execute(code, silent=False, allow_stdin=True)["status"]
    return status


def matches(kernel: Any, code: str) -> list[str]:
    found: list[str] = kernel.do_complete(code, len(code))["matches"]
    return found


def test_what_is_shown_between_a_request_and_its_answer_is_shown_and_no_answer(kernel: Any) -> None:
    assert run(kernel, SHOWS_WHEN_LOOKED_AT.format(does="display(7)")) == "ok"
    assert matches(kernel, "shows.re") == ["shows.real"]
    assert kernel.shown() == ["7"]
    assert kernel.do_is_complete("x = 1") == {"status": "complete", "indent": ""}
    assert run(kernel, "1 / 0") == "error"
    assert matches(kernel, "shows.re") == ["shows.real"]


def test_nobody_is_asked_outside_of_a_cell(kernel: Any) -> None:
    assert run(kernel, SHOWS_WHEN_LOOKED_AT.format(does="display(input('name? '))")) == "ok"
    assert matches(kernel, "shows.re") == ["shows.real"]
    assert kernel.shown() == ["''"]
    assert run(kernel, "display(input('name? '))") == "ok"
    assert kernel.shown() == ["''", "'Ada'"]


def test_a_look_that_fails_finds_nothing_and_the_next_request_is_answered(kernel: Any) -> None:
    assert run(kernel, SHOWS_WHEN_LOOKED_AT.format(does="raise SystemExit")) == "ok"
    assert matches(kernel, "shows.re") == []
    assert kernel.do_inspect("shows", 2)["found"]
    assert kernel.do_is_complete("if x:")["status"] == "incomplete"


def test_a_python_that_has_ended_answers_everything_with_that(kernel: Any) -> None:
    assert run(kernel, "import os; os._exit(0)") == "error"
    assert kernel.published[-1][1]["ename"] == "KernelError"
    assert matches(kernel, "x") == []
    assert kernel.do_is_complete("x")["status"] == "unknown"
    assert run(kernel, "1") == "error"
