"""Speaks Jupyter's protocol for a Python that cannot: the cells run in the image's Python, in `kernel_runner`.

Jupyter's messages need a compiled library, which the toolkit has for its own Python only. So this process answers them
and passes code over a pipe.

    JupyterLab ──ZeroMQ──► bridge (toolkit's Python) ──pipes──► runner (image's Python)
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel

Message = dict[str, Any]
WITHIN = "/.gl/bin/within"
RUNNER = "/.gl/inside/kernel_runner.py"
OPTION = "--image-python="
GONE = "The image's Python ended. Restart the kernel."


class Child:
    """The runner, with one thread that hears all it says: answers in order, output before the answer that follows."""

    def __init__(self, python: str, on_output: Callable[[str, str], None]) -> None:
        told, self._tell = os.pipe()
        answers, said = os.pipe()
        # Born deaf to interrupts: one that comes before its first cell must not end it.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._process = subprocess.Popen(
            [WITHIN, python, RUNNER, str(told), str(said)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(told, said),
        )
        signal.signal(signal.SIGINT, before)
        os.close(told)
        os.close(said)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._answers = answers
        self._outputs = {self._process.stdout.fileno(): "stdout", self._process.stderr.fileno(): "stderr"}
        self._decoders: dict[int, bytes] = {each: b"" for each in self._outputs}
        self._rest = b""
        self.heard: queue.Queue[Message] = queue.Queue()
        self._on_output = on_output
        threading.Thread(target=self._hear, daemon=True).start()

    def tell(self, message: Message) -> None:
        line = json.dumps(message).encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._tell, line) :]
        except BrokenPipeError:
            self.heard.put({"gone": True})

    def _hear(self) -> None:
        for each in self._outputs:
            fcntl.fcntl(each, fcntl.F_SETFL, fcntl.fcntl(each, fcntl.F_GETFL) | os.O_NONBLOCK)
        open_ones = {self._answers, *self._outputs}
        waiting = select.poll()  # which takes descriptors of any number, as select does not
        for each in open_ones:
            waiting.register(each, select.POLLIN)
        while self._answers in open_ones:
            ready = {descriptor for descriptor, _ in waiting.poll()}
            ended = {each for each in ready & self._outputs.keys() if not self._drain(each)}
            if self._answers in ready:
                chunk = os.read(self._answers, 1 << 16)
                for each in open_ones & self._outputs.keys():
                    self._drain(each)
                if not chunk:
                    ended.add(self._answers)
                self._take(chunk)
            for each in ended:
                waiting.unregister(each)
            open_ones -= ended
        self.heard.put({"gone": True})

    def _drain(self, descriptor: int) -> bool:
        """Pass on what is there; whether more may come."""
        while True:
            try:
                chunk = os.read(descriptor, 1 << 16)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            self._on_output(self._outputs[descriptor], self._decoded(descriptor, chunk))

    def _decoded(self, descriptor: int, chunk: bytes) -> str:
        """A character may have been cut in two."""
        whole = self._decoders[descriptor] + chunk
        for cut in range(4):
            head = whole[: len(whole) - cut]
            try:
                text = head.decode()
            except UnicodeDecodeError:
                continue
            self._decoders[descriptor] = whole[len(head) :]
            return text
        self._decoders[descriptor] = b""
        return whole.decode("utf-8", "replace")

    def _take(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self.heard.put(json.loads(line))


class BridgeKernel(Kernel):  # type: ignore[misc]
    implementation = "gpulease"
    implementation_version = "1"
    banner = "The image's own Python"
    language_info = {
        "name": "python",
        "version": "3",
        "mimetype": "text/x-python",
        "file_extension": ".py",
        "pygments_lexer": "python3",
        "codemirror_mode": {"name": "python", "version": 3},
    }
    python = ""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._asker: Message = {}
        self._requests = itertools.count(1)
        self._child = Child(self.python, self._publish_output)

    def do_execute(self, code: str, silent: bool, *, allow_stdin: bool = False, **_: Any) -> Message:
        self._asker = self.get_parent("shell")
        self._allow_stdin = allow_stdin
        request = {"do": "execute", "code": code, "count": self.execution_count, "silent": silent}
        answer = self._ask(request, self._ask_person)
        if answer.get("note"):
            self._publish_output("stderr", answer["note"] + "\n")
        if answer["status"] == "ok":
            return {"status": "ok", "execution_count": self.execution_count, "payload": [], "user_expressions": {}}
        told = {name: answer[name] for name in ("ename", "evalue", "traceback")}
        if not silent:
            self._publish("error", told)
        return {"status": "error", "execution_count": self.execution_count, **told}

    def do_complete(self, code: str, cursor_pos: int) -> Message:
        answer = self._ask({"do": "complete", "code": code, "cursor": cursor_pos})
        start, end = answer.get("start", cursor_pos), answer.get("end", cursor_pos)
        return {
            "status": "ok",
            "matches": answer.get("matches", []),
            "cursor_start": start,
            "cursor_end": end,
            "metadata": {},
        }

    def do_inspect(self, code: str, cursor_pos: int, *_: Any) -> Message:
        text = self._ask({"do": "inspect", "code": code, "cursor": cursor_pos}).get("text")
        data = {} if text is None else {"text/plain": text}
        return {"status": "ok", "found": text is not None, "data": data, "metadata": {}}

    def do_is_complete(self, code: str) -> Message:
        status = self._ask({"do": "is_complete", "code": code})["status"]
        return {"status": "unknown" if status == "error" else status, "indent": ""}

    def _ask(self, request: Message, answer_to: Callable[[Message], str] = lambda _question: "") -> Message:
        """Until its answer is there, pass on what cells and their threads show, and have questions answered."""
        request_id = next(self._requests)
        self._child.tell({**request, "id": request_id})
        while True:
            message = self._next()
            if "show" in message:
                self._publish("display_data", {"data": message["show"], "metadata": {}})
            elif "result" in message:
                content = {"data": message["result"], "metadata": {}, "execution_count": self.execution_count}
                self._publish("execute_result", content)
            elif "ask" in message:
                self._child.tell({"answer": answer_to(message), "question": message["question"]})
            elif "gone" in message:
                self._child.heard.put(message)  # for whatever is asked next
                return {"status": "error", "ename": "KernelError", "evalue": GONE, "traceback": [GONE]}
            elif message.get("id") == request_id:
                return message

    def _next(self) -> Message:
        """An interrupt goes to the whole process group: the runner stops its cell, and says so."""
        while True:
            try:
                return self._child.heard.get()
            except KeyboardInterrupt:
                continue

    def _ask_person(self, message: Message) -> str:
        if not self._allow_stdin:
            return ""
        try:
            ask = self.getpass if message["hidden"] else self.raw_input
            return str(ask(message["ask"]))
        except (KeyboardInterrupt, EOFError):
            return ""

    def _publish_output(self, name: str, text: str) -> None:
        if text:
            self._publish("stream", {"name": name, "text": text})

    def _publish(self, kind: str, content: Message) -> None:
        self.session.send(self.iopub_socket, kind, content, parent=self._asker, ident=self._topic(kind))


def main() -> None:
    given = [each for each in sys.argv[1:] if each.startswith(OPTION)]
    BridgeKernel.python = given[0].removeprefix(OPTION)
    rest = [each for each in sys.argv[1:] if not each.startswith(OPTION)]
    IPKernelApp.launch_instance(argv=rest, kernel_class=BridgeKernel)


if __name__ == "__main__":
    main()
