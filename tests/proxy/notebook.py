"""What stands for JupyterLab in a container: HTTPS with its own certificate, and a WebSocket that sends all back."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socketserver
import ssl
import threading
from pathlib import Path

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Notebook:
    def __init__(self, name: str, certificate: tuple[Path, Path]) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        notebook = self
        self.heads: list[str] = []

        class Answering(socketserver.StreamRequestHandler):
            def setup(self) -> None:
                self.request = context.wrap_socket(self.request, server_side=True)
                super().setup()

            def handle(self) -> None:
                head = b""
                while (line := self.rfile.readline()) not in (b"\r\n", b""):
                    head += line
                if not head:
                    return  # a client that did not believe the certificate: it says so only after the handshake
                notebook.heads.append(head.decode())
                with contextlib.suppress(OSError):
                    self.answer(head)

            def answer(self, head: bytes) -> None:
                fields = dict(line.split(": ", 1) for line in head.decode().splitlines()[1:])
                if fields.get("Upgrade") == "websocket":
                    accept = base64.b64encode(hashlib.sha1(fields["Sec-WebSocket-Key"].encode() + MAGIC).digest())
                    self.wfile.write(
                        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    )
                    self.wfile.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
                    while chunk := self.request.recv(65536):
                        self.wfile.write(chunk)
                    return
                cookie = "Set-Cookie: seen=1; Domain=jupyter.localhost; Path=/\r\n"
                body = f"I am {name}"
                self.wfile.write(f"HTTP/1.1 200 OK\r\n{cookie}Content-Length: {len(body)}\r\n\r\n{body}".encode())

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that does not believe the certificate goes away in the handshake."""

        self._server = Server(("127.0.0.1", 0), Answering)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
