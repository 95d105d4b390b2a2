"""Cells in a Python of which nothing is known but its standard library."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TextIO

import pytest

from gpulease_host.toolkit import packages

RUNNER = packages.INSIDE / "kernel_runner.py"
Message = dict[str, Any]


@dataclass
class Cells:
    process: subprocess.Popen[str]
    tell: TextIO
    hear: TextIO
    count: int = 0

    def say(self, **message: Any) -> None:
        self.tell.write(json.dumps(message) + "\n")
        self.tell.flush()

    def next(self) -> Message:
        heard: Message = json.loads(self.hear.readline())
        return heard

    def run(self, code: str) -> list[Message]:
        """All that is said until the cell has ended, that last."""
        self.count += 1
        self.say(do="execute", code=code, count=self.count, silent=False)
        said = [self.next()]
        while "status" not in said[-1]:
            said.append(self.next())
        return said

    def value(self, code: str) -> str:
        result, ended = self.run(code)
        assert ended == {"status": "ok"}
        return str(result["result"]["text/plain"])


def interpreters() -> list[str]:
    """This one, and whatever else this machine has from 3.8 on."""
    named = (shutil.which(f"python3.{minor}") for minor in range(8, 16))
    works = [each for each in named if each and subprocess.run([each, "-c", ""], capture_output=True).returncode == 0]
    return [sys.executable, *works]


@pytest.fixture(params=interpreters())
def cells(request: pytest.FixtureRequest) -> Iterator[Cells]:
    told, tell = os.pipe()
    hear, said = os.pipe()
    process = subprocess.Popen(
        [request.param, "-S", str(RUNNER), str(told), str(said)],
        pass_fds=(told, said),
        stdout=subprocess.PIPE,
        text=True,
    )
    os.close(told)
    os.close(said)
    with os.fdopen(tell, "w") as write, os.fdopen(hear) as read, process:
        yield Cells(process, write, read)
        write.close()


def test_it_is_written_for_python_3_8() -> None:
    ast.parse(RUNNER.read_text(), feature_version=(3, 8))


def test_names_stay_and_the_last_value_is_shown_unless_a_semicolon_hides_it(cells: Cells) -> None:
    assert cells.run("a = 20") == [{"status": "ok"}]
    assert cells.value("a + 1") == "21"
    assert cells.value("_ * 2") == "42"
    assert cells.run("a + 1;") == [{"status": "ok"}]
    assert cells.run("None") == [{"status": "ok"}]


def test_a_failure_shows_the_cells_lines_and_none_of_ours(cells: Cells) -> None:
    (failed,) = cells.run("def f():\n    raise KeyError('k')\nf()")
    trace = "".join(failed["traceback"])
    assert (failed["status"], failed["ename"]) == ("error", "KeyError")
    assert "raise KeyError('k')" in trace
    assert "kernel_runner" not in trace
    assert cells.run("1 +")[0]["ename"] == "SyntaxError"


def test_leaving_is_no_way_out(cells: Cells) -> None:
    assert "menu" in cells.run("import sys; sys.exit(1)")[0]["note"]
    assert cells.value("1") == "1"


def test_an_interrupt_ends_the_cell_and_only_that(cells: Cells) -> None:
    assert cells.value("x = 5; x") == "5"
    cells.process.send_signal(signal.SIGINT)
    assert cells.value("x") == "5"
    cells.say(do="execute", code="display(1)\nwhile True: pass", count=9, silent=False)
    assert "show" in cells.next()
    cells.process.send_signal(signal.SIGINT)
    assert cells.next()["ename"] == "KeyboardInterrupt"
    assert cells.value("x") == "5"


def test_questions_go_to_the_person(cells: Cells) -> None:
    cells.say(do="execute", code="import getpass\ninput('name ') + getpass.getpass('word ')", count=1, silent=False)
    assert cells.next() == {"ask": "name ", "hidden": False}
    cells.say(answer="Ada")
    assert cells.next() == {"ask": "word ", "hidden": True}
    cells.say(answer="secret")
    assert cells.next()["result"]["text/plain"] == "'Adasecret'"


def test_values_show_all_that_they_are(cells: Cells) -> None:
    code = "class V:\n    def _repr_html_(self): return '<i>'\n    def _repr_png_(self): return b'\\x89PNG'\nV()"
    shown = cells.run(code)[0]["result"]
    assert (shown["text/html"], shown["image/png"]) == ("<i>", "iVBORw==")
    broken = "class B:\n    def __getattr__(self, name): raise RuntimeError\n    def __repr__(self): return 'B'\nB()"
    assert cells.run(broken)[0]["result"] == {"text/plain": "B"}


def test_completion_help_and_whether_a_cell_is_whole(cells: Cells) -> None:
    cells.run("text = 'abc'")
    cells.say(do="complete", code="x = text.upp", cursor=12)
    assert cells.next() == {"matches": ["text.upper"], "start": 4, "end": 12}
    cells.say(do="inspect", code="text.upper", cursor=7)
    assert "uppercase" in cells.next()["text"]
    for code, status in (("if x:", "incomplete"), ("x = 1", "complete"), ("x ==== 1", "invalid")):
        cells.say(do="is_complete", code=code)
        assert cells.next() == {"status": status}


def test_the_few_lines_that_are_no_python(cells: Cells) -> None:
    assert cells.run("for i in range(2):\n    !true $i") == [{"status": "ok"}]
    assert cells.run("%matplotlib inline") == [{"status": "ok"}]
    assert cells.run("%%bash\nexit 0")[-1]["status"] == "ok"
    assert cells.value("%cd /\n__import__('os').getcwd()") == "'/'"
    (refused,) = cells.run("%timeit 1")
    assert "%pip install ipykernel" in refused["evalue"]
    assert cells.value("5 % 3") == "2"


def test_what_is_defined_in_cells_can_be_pickled(cells: Cells) -> None:
    assert cells.value("import pickle\nclass P: pass\ntype(pickle.loads(pickle.dumps(P()))).__name__") == "'P'"


def test_it_ends_with_whoever_speaks_to_it(cells: Cells) -> None:
    cells.tell.close()
    assert cells.process.wait(timeout=20) == 0
