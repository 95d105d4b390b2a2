"""Runs the cells of a notebook in the image's own Python, 3.8 or newer, with nothing but its standard library.

Told by JSON lines on one pipe and answering on another; what cells print goes to the process's own output, so that
libraries written in C are heard too. `kernel_bridge` is at the other end.

    {"id": 7, "do": "execute", …}    ──►
                                     ◄──    {"show": …}, {"result": …}     as they come, from any thread
                                     ◄──    {"ask": "name? ", "question": 3}
    {"answer": "Ada", "question": 3} ──►
                                     ◄──    {"id": 7, "status": "ok"}
"""

from __future__ import annotations

import ast
import base64
import builtins
import getpass
import io
import json
import linecache
import os
import rlcompleter
import shlex
import signal
import sys
import threading
import traceback
import types
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    Message = dict[str, Any]

PLOTS = "matplotlib.pyplot"
MIME_METHODS = {
    "text/html": "_repr_html_",
    "text/markdown": "_repr_markdown_",
    "text/latex": "_repr_latex_",
    "image/svg+xml": "_repr_svg_",
    "image/png": "_repr_png_",
    "image/jpeg": "_repr_jpeg_",
    "application/json": "_repr_json_",
}


class Runner:
    def __init__(self, told: TextIO, answers: TextIO) -> None:
        self._told = told
        self._answers = answers
        self._saying = threading.RLock()
        self._questions = 0
        self.module = types.ModuleType("__main__")
        sys.modules["__main__"] = self.module
        self.names: dict[str, Any] = self.module.__dict__
        self.names.update({"__builtins__": builtins, "display": self.display, "_": None})
        builtins.input = self.ask
        getpass.getpass = lambda prompt="Password: ", *_: self.ask(prompt, hidden=True)

    def serve(self) -> None:
        """Until the other end is gone; nothing that is asked ends it. An interrupt between cells is nobody's."""
        while True:
            try:
                line = self._told.readline()
            except KeyboardInterrupt:
                continue
            if not line:
                return
            message = json.loads(line)
            if "do" in message:  # else somebody answers a question of a cell that was interrupted
                self.say({**self._answer(message), "id": message["id"]})

    def say(self, message: Message) -> None:
        line = json.dumps(message) + "\n"
        with self._saying:  # threads of cells show values too
            self._answers.write(line)
            self._answers.flush()

    def do_execute(self, message: Message) -> Message:
        name = f"<cell {message['count']}>"
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self._run(plain_python(message["code"]), name, message)
            self._show_plots()
            answer: Message = {"status": "ok"}
        except SystemExit:
            answer = {"status": "ok", "note": "To end the kernel, use the menu: exit does nothing in a cell."}
        except BaseException as error:  # noqa: BLE001 - whatever a cell raises is its result
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second interrupt would leave it without an answer
            answer = failure(error, name)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # a cell may have put anything there, or closed it
                stream.flush()
        return answer

    def do_complete(self, message: Message) -> Message:
        text = message["code"][: message["cursor"]]
        start = len(text)
        while start and (text[start - 1].isalnum() or text[start - 1] in "_."):
            start -= 1
        try:
            found = rlcompleter.Completer(self.names)
            word = text[start:]
            matches = (found.attr_matches if "." in word else found.global_matches)(word) if word else []
        except Exception:  # noqa: BLE001 - a property may raise anything
            matches = []
        return {"matches": sorted({each.rstrip("()") for each in matches}), "start": start, "end": message["cursor"]}

    def do_inspect(self, message: Message) -> Message:
        code, cursor = message["code"], message["cursor"]
        start = end = cursor
        while start and (code[start - 1].isalnum() or code[start - 1] in "_."):
            start -= 1
        while end < len(code) and (code[end].isalnum() or code[end] == "_"):
            end += 1
        import pydoc

        try:
            value = eval(code[start:end], self.names)  # the cell's own names, at its author's wish
            return {"text": pydoc.plain(pydoc.render_doc(value))}
        except Exception:  # noqa: BLE001 - there is nothing to show then
            return {"text": None}

    def do_is_complete(self, message: Message) -> Message:
        import codeop

        try:
            code = codeop.compile_command(plain_python(message["code"]), symbol="exec")
        except (SyntaxError, ValueError, OverflowError):
            return {"status": "invalid"}
        return {"status": "incomplete" if code is None else "complete"}

    def display(self, *values: Any) -> None:
        """Show values richly, as the last expression of a cell is."""
        for value in values:
            sys.stdout.flush()
            self.say({"show": bundle(value)})

    def ask(self, prompt: object = "", hidden: bool = False) -> str:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("A thread cannot ask: only the cell itself hears the answer.")
        sys.stdout.flush()
        self._questions += 1
        self.say({"ask": str(prompt), "hidden": hidden, "question": self._questions})
        while True:
            line = self._told.readline()
            if not line:
                raise EOFError("Nobody is there to answer.")
            told = json.loads(line)
            if told.get("question") == self._questions:
                answer: str = told["answer"]
                return answer

    def _answer(self, message: Message) -> Message:
        try:
            answer: Message = getattr(self, f"do_{message['do']}")(message)
        except BaseException as error:  # noqa: BLE001 - as of a name that is looked at, or an interrupt at the very end
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            return failure(error, "")
        return answer

    def _run(self, source: str, name: str, message: Message) -> None:
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        tree = ast.parse(source, name)
        last: ast.Expr | None = None
        if tree.body and isinstance(tree.body[-1], ast.Expr) and not source.rstrip().endswith(";"):
            last = tree.body.pop()  # type: ignore[assignment]
        exec(compile(tree, name, "exec"), self.names)
        if last is None:
            return
        value = eval(compile(ast.Expression(last.value), name, "eval"), self.names)
        if value is not None and not message["silent"]:
            self.names["_"] = value
            sys.stdout.flush()
            self.say({"result": bundle(value)})

    def _show_plots(self) -> None:
        plots = sys.modules.get(PLOTS)
        if plots is None:
            return
        for number in plots.get_fignums():
            picture = io.BytesIO()
            plots.figure(number).savefig(picture, format="png", bbox_inches="tight")
            png = base64.b64encode(picture.getvalue()).decode()
            self.say({"show": {"image/png": png, "text/plain": "<Figure>"}})
        plots.close("all")


def plain_python(code: str) -> str:
    """`!command` and the few `%` lines that notebooks open with, as Python; the rest as it is."""
    if code.startswith("%%bash") or code.startswith("%%sh"):
        return f"__import__('subprocess').run(['sh', '-c', {code.partition(chr(10))[2]!r}])\n"
    try:
        ast.parse(code)
        return code
    except SyntaxError:
        return "\n".join(_plain_line(line) for line in code.split("\n"))


def _plain_line(line: str) -> str:
    text = line.strip()
    indent = line[: len(line) - len(line.lstrip())]
    if text.startswith("!"):
        return f"{indent}__import__('subprocess').call({text[1:]!r}, shell=True); None"
    if text.startswith("%pip "):
        words = [sys.executable, "-m", "pip", *shlex.split(text[5:])]
        return f"{indent}__import__('subprocess').call({words!r}); None"
    if text.startswith("%cd "):
        return f"{indent}__import__('os').chdir(__import__('os').path.expanduser({text[4:].strip()!r}))"
    if text.startswith("%matplotlib"):
        return f"{indent}pass"
    if text.startswith("%"):
        reason = f"{text.split()[0]} needs ipykernel in the image: %pip install ipykernel, then restart the kernel"
        return f"{indent}raise NotImplementedError({reason!r})"
    return line


def bundle(value: Any) -> dict[str, Any]:
    """All that a value says of itself, by media type."""
    found: dict[str, Any] = {"text/plain": repr(value)}
    if isinstance(value, type):
        return found
    for media, method in MIME_METHODS.items():
        try:
            shown = getattr(value, method)()
        except Exception:  # noqa: BLE001 - a value may answer to any name, and raise
            continue
        if isinstance(shown, bytes):
            found[media] = base64.b64encode(shown).decode()
        elif isinstance(shown, str) or (media == "application/json" and isinstance(shown, (dict, list))):
            found[media] = shown
    return found


def failure(error: BaseException, name: str) -> Message:
    """The traceback from the cell on; what is above it is this program."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != name:
        trace = trace.tb_next
    kind = type(error).__name__
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - it may raise anything
        text = "<its text cannot be shown>"
    try:
        lines: list[str] = traceback.format_exception(type(error), error, trace)
    except BaseException:  # noqa: BLE001 - so may what it is made of
        lines = [f"{kind}: {text}\n"]
    return {"status": "error", "ename": kind, "evalue": text, "traceback": lines}


def main() -> None:
    told, answers = int(sys.argv[1]), int(sys.argv[2])
    for descriptor in (told, answers):
        os.set_inheritable(descriptor, False)
    sys.argv = [""]
    sys.path[0] = ""
    os.environ.setdefault("MPLBACKEND", "agg")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(told, encoding="utf-8") as read, os.fdopen(answers, "w", encoding="utf-8") as write:
        Runner(read, write).serve()


if __name__ == "__main__":
    main()
