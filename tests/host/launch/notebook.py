"""A browser's part in JupyterLab: requests with a token, and the websocket of a kernel."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gpulease_host.launch.tls import authority_of

Message = dict[str, Any]
TIMEOUT_S = 60


@dataclass(frozen=True)
class Notebook:
    port: int
    token: str
    certificate: str

    def get(self, path: str, token: str | None = None) -> tuple[int, bytes]:
        return self.ask("GET", path, token=token)

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=TIMEOUT_S, context=self._context())
        shown = self.token if token is None else token
        headers = {"Authorization": f"token {shown}"} if shown else {}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    @contextmanager
    def kernel(self) -> Iterator[KernelSession]:
        status, body = self.ask("POST", "/api/kernels", {"name": "python3"})
        assert status == 201, body
        kernel_id = json.loads(body)["id"]
        session = KernelSession(self.socket(f"/api/kernels/{kernel_id}/channels"), kernel_id, self)
        try:
            yield session
        finally:
            session.socket.close()
            session.notebook.ask("DELETE", f"/api/kernels/{kernel_id}")

    def socket(self, path: str) -> WebSocket:
        return WebSocket.open(self.connect(), path, self.token)

    def connect(self) -> ssl.SSLSocket:
        raw = socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S)
        return self._context().wrap_socket(raw, server_hostname="127.0.0.1")

    def _context(self) -> ssl.SSLContext:
        """Trusts the authority behind this certificate, and checks the address."""
        return ssl.create_default_context(cadata=authority_of(self.certificate))


@dataclass
class WebSocket:
    """RFC 6455, as far as short texts need it."""

    stream: ssl.SSLSocket

    @classmethod
    def open(cls, stream: ssl.SSLSocket, path: str, token: str) -> WebSocket:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", f"Authorization: token {token}", "", ""]
        stream.sendall("\r\n".join(lines).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += stream.recv(1)
        assert b" 101 " in head.split(b"\r\n")[0], head
        return cls(stream)

    def send(self, text: str) -> None:
        body, mask = text.encode(), os.urandom(4)
        length = bytes([0x80 | len(body)]) if len(body) < 126 else b"\xfe" + struct.pack(">H", len(body))
        self.stream.sendall(b"\x81" + length + mask + bytes(each ^ mask[i % 4] for i, each in enumerate(body)))

    def receive(self) -> str:
        """The next text; what else comes is answered by nobody and skipped."""
        while True:
            kind, length = self._exactly(2)
            length &= 0x7F
            if length == 126:
                (length,) = struct.unpack(">H", self._exactly(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", self._exactly(8))
            body = self._exactly(length)
            assert kind & 0x0F != 8, "the server closed the websocket"
            if kind & 0x0F == 1:
                return body.decode()

    def close(self) -> None:
        self.stream.close()

    def _exactly(self, size: int) -> bytes:
        body = b""
        while len(body) < size:
            chunk = self.stream.recv(size - len(body))
            assert chunk, "the connection ended"
            body += chunk
        return body


@dataclass
class Outcome:
    """All that one cell led to."""

    status: str = ""
    stdout: str = ""
    stderr: str = ""
    result: Message = field(default_factory=dict)
    shown: list[Message] = field(default_factory=list)
    error: Message = field(default_factory=dict)


@dataclass
class KernelSession:
    socket: WebSocket
    kernel_id: str
    notebook: Notebook

    def run(self, code: str) -> Outcome:
        return self.outcome(self.submit(code))

    def submit(self, code: str) -> str:
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": True}
        return self._send("execute_request", content)

    def complete(self, code: str) -> list[str]:
        asked = self._send("complete_request", {"code": code, "cursor_pos": len(code)})
        matches: list[str] = self._reply(asked, "complete_reply")["matches"]
        return matches

    def outcome(self, asked: str, typed: str = "") -> Outcome:
        """Until the cell's reply and its idle status are both here."""
        outcome = Outcome()
        missing = {"execute_reply", "idle"}
        while missing:
            message = json.loads(self.socket.receive())
            if message["parent_header"].get("msg_id") != asked:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                setattr(outcome, content["name"], getattr(outcome, content["name"]) + content["text"])
            elif kind == "execute_result":
                outcome.result = content["data"]
            elif kind == "display_data":
                outcome.shown.append(content["data"])
            elif kind == "error":
                outcome.error = content
            elif kind == "input_request":
                self._send("input_reply", {"value": typed}, "stdin")
            elif kind == "execute_reply":
                outcome.status = content["status"]
                missing.discard(kind)
            elif kind == "status":
                missing.discard(content["execution_state"])
        return outcome

    def interrupt(self) -> None:
        status, body = self.notebook.ask("POST", f"/api/kernels/{self.kernel_id}/interrupt")
        assert status == 204, body

    def _reply(self, asked: str, kind: str) -> Message:
        while True:
            message = json.loads(self.socket.receive())
            if message["parent_header"].get("msg_id") == asked and message["msg_type"] == kind:
                content: Message = message["content"]
                return content

    def _send(self, kind: str, content: Message, channel: str = "shell") -> str:
        message_id = os.urandom(8).hex()
        header = {"msg_id": message_id, "msg_type": kind, "username": "t", "session": "t", "version": "5.3"}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": channel}
        self.socket.send(json.dumps({**message, "buffers": []}))
        return message_id
