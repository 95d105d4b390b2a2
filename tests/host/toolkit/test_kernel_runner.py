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
    asked: int = 0

    def ask(self, do: str, **message: Any) -> None:
        self.asked += 1
        self.say(id=self.asked, do=do, **message)

    def say(self, **message: Any) -> None:
        self.tell.write(json.dumps(message) + "\n")
        self.tell.flush()

    def next(self) -> Message:
        """An answer is to what was asked last, and given without its number."""
        heard: Message = json.loads(self.hear.readline())
        if "id" in heard:
            assert heard.pop("id") == self.asked
        return heard

    def run(self, code: str) -> list[Message]:
        """All that is said until the cell has ended, that last."""
        self.count += 1
        self.ask("execute", code=code, count=self.count, silent=False)
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
    cells.ask("execute", code="display(1)\nwhile True: pass", count=9, silent=False)
    assert "show" in cells.next()
    cells.process.send_signal(signal.SIGINT)
    assert cells.next()["ename"] == "KeyboardInterrupt"
    assert cells.value("x") == "5"


def test_questions_go_to_the_person(cells: Cells) -> None:
    cells.ask("execute", code="import getpass\ninput('name ') + getpass.getpass('word ')", count=1, silent=False)
    assert cells.next() == {"ask": "name ", "hidden": False, "question": 1}
    cells.say(answer="Ada", question=1)
    assert cells.next() == {"ask": "word ", "hidden": True, "question": 2}
    cells.say(answer="Ada again", question=1)
    cells.say(answer="secret", question=2)
    assert cells.next()["result"]["text/plain"] == "'Adasecret'"


def test_an_answer_to_a_question_that_was_interrupted_is_nobodys(cells: Cells) -> None:
    cells.ask("execute", code="x = 5\ninput()", count=1, silent=False)
    question = cells.next()["question"]
    cells.process.send_signal(signal.SIGINT)
    assert cells.next()["ename"] == "KeyboardInterrupt"
    cells.say(answer="", question=question)
    assert cells.value("x") == "5"


def test_a_thread_cannot_take_what_is_told_to_the_cell(cells: Cells) -> None:
    code = """
import concurrent.futures
with concurrent.futures.ThreadPoolExecutor() as pool:
    pool.submit(input).result()
"""
    assert cells.run(code)[-1]["ename"] == "RuntimeError"


@pytest.mark.parametrize("raised", ["1 / 0", "raise_(SystemExit)", "[].missing", "raise_(KeyboardInterrupt)"])
def test_a_failure_whose_text_fails_is_told_and_loses_no_variable(cells: Cells, raised: str) -> None:
    code = f"""
kept = 5
def raise_(error): raise error
class Odd(Exception):
    def __str__(self): return {raised}
raise Odd
"""
    (failed,) = cells.run(code)
    assert (failed["status"], failed["ename"], failed["evalue"]) == ("error", "Odd", "<its text cannot be shown>")
    assert "raise Odd" in "".join(failed["traceback"])
    assert cells.value("kept") == "5"


def test_a_second_interrupt_does_not_cut_short_what_is_said_of_the_first(cells: Cells) -> None:
    code = """
import os, signal
class Slow(Exception):
    def __str__(self):
        os.kill(os.getpid(), signal.SIGINT)
        return "told"
raise Slow
"""
    cells.ask("execute", code=code, count=1, silent=False)
    cells.say(id=2, do="is_complete", code="1")
    failed = cells.next()
    assert (failed["status"], failed.get("evalue")) == ("error", "told")


def test_what_a_look_at_a_name_raises_ends_nothing(cells: Cells) -> None:
    look = "raise SystemExit"
    cells.run(f"class Odd:\n @property\n def trap(self): {look}\n def __dir__(self): {look}\nodd = Odd()")
    cells.ask("complete", code="odd.", cursor=4)
    assert cells.next()["status"] == "error"
    cells.ask("inspect", code="odd.trap", cursor=8)
    assert cells.next()["status"] == "error"
    assert cells.value("type(odd).__name__") == "'Odd'"


def test_outputs_that_a_cell_has_closed_end_nothing(cells: Cells) -> None:
    assert cells.run("import sys; x = 5; sys.stdout = None; sys.stderr.close()") == [{"status": "ok"}]
    cells.ask("is_complete", code="x = 1")
    assert cells.next() == {"status": "complete"}


def test_threads_that_show_values_at_once_spoil_no_line(cells: Cells) -> None:
    """With a pipe that takes half of a line, and the rest a moment later."""
    code = """
import concurrent.futures, time
class Halves:
    def __init__(self, pipe): self.pipe = pipe
    def write(self, line):
        self.pipe.write(line[:9]); self.pipe.flush(); time.sleep(0.01); self.pipe.write(line[9:])
    def flush(self): self.pipe.flush()
runner = display.__self__
pipe, runner._answers = runner._answers, Halves(runner._answers)
with concurrent.futures.ThreadPoolExecutor(5) as pool: list(pool.map(display, range(5)))
runner._answers = pipe
"""
    *shown, ended = cells.run(code)
    assert ended == {"status": "ok"}
    assert sorted(each["show"]["text/plain"] for each in shown) == ["0", "1", "2", "3", "4"]


def test_values_show_all_that_they_are(cells: Cells) -> None:
    code = "class V:\n    def _repr_html_(self): return '<i>'\n    def _repr_png_(self): return b'\\x89PNG'\nV()"
    shown = cells.run(code)[0]["result"]
    assert (shown["text/html"], shown["image/png"]) == ("<i>", "iVBORw==")
    broken = "class B:\n    def __getattr__(self, name): raise RuntimeError\n    def __repr__(self): return 'B'\nB()"
    assert cells.run(broken)[0]["result"] == {"text/plain": "B"}


def test_completion_help_and_whether_a_cell_is_whole(cells: Cells) -> None:
    cells.run("text = 'abc'")
    cells.ask("complete", code="x = text.upp", cursor=12)
    assert cells.next() == {"matches": ["text.upper"], "start": 4, "end": 12}
    cells.ask("inspect", code="text.upper", cursor=7)
    assert "uppercase" in cells.next()["text"]
    for code, status in (("if x:", "incomplete"), ("x = 1", "complete"), ("x ==== 1", "invalid")):
        cells.ask("is_complete", code=code)
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
