"""The service as an installed machine sees it, on one port of loopback, before a reboot of the guest and after it."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from gpulease_host.engine import Limits, Order, OrderedGpu
from gpulease_host.machine_key import MachineKey
from gpulease_host.wire import order_to_wire, parse_order
from infra.host_package import build_host_package, join_installer
from infra.paths import HOST
from rental.adapters.host_package import HostPackage as ServedPackage
from tests.host.http_api import HttpApi, Reply
from tests.host.orders import order

PORT = 18_777
URL = f"http://127.0.0.1:{PORT}"
IMAGE = "gpulease-trial:1"
MIB = 1 << 20
LIMITS = Limits("1/2", 500, 256 * MIB, 512 * MIB, 64 * MIB, 256, 256 * MIB, 500)
MEMORY = Path("/root/installing/orders.json")
KEY = Path("/var/lib/gpulease/machine.key")


class Service(HttpApi):
    """Knows its host by the key that it registered with, hands out `package`, and wants what `orders` say."""

    def __init__(self) -> None:
        super().__init__(MachineKey.load(KEY) if KEY.exists() else MachineKey.generate())
        self.package = build_host_package()
        self.url = URL

    def answer(self, path: str, authorization: str, body: bytes) -> Reply:
        if path == "/v1/host/register":
            self.key = MachineKey.load(KEY)
        return super().answer(path, authorization, body)

    def shown(self, path: str) -> bytes | None:
        if path == "/v1/health":
            return b"{}"
        if path == "/v1/host/package":
            return self.package.body
        if path == "/v1/host/install.sh":
            package = ServedPackage(self.package.file_name, self.package.body, join_installer())
            return package.installer(URL).encode()
        return None

    def release(self) -> None:
        """Another version: of the same program, and a line more in its installer."""
        with tempfile.TemporaryDirectory() as folder:
            source = shutil.copytree(HOST, Path(folder) / "host", ignore=shutil.ignore_patterns("__pycache__"))
            with (source / "install.sh").open("a") as file:
                file.write("# A later version.\n")
            self.package = build_host_package(source)

    def want_instance(self) -> Order:
        """One on the first of the GPUs that the host declared."""
        (registered,) = [asked for path, asked in self.seen if path == "/v1/host/register"][-1:]
        gpu = registered["inventory"]["gpus"][0]
        now = int(time.time())
        wanted = replace(
            order(end_at=now + 86_400, gpus=(0,)), image=IMAGE, gpus=(OrderedGpu(0, gpu["uuid"]),), limits=LIMITS
        )
        self.orders[wanted.instance_id] = wanted
        return wanted

    def remember(self) -> None:
        """Orders, over a reboot of the guest."""
        MEMORY.write_text(json.dumps([order_to_wire(each) for each in self.orders.values()]))

    def recall(self) -> None:
        self.orders = {each.instance_id: each for each in map(parse_order, json.loads(MEMORY.read_text()))}


@contextmanager
def serving(service: Service) -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            content = service.shown(self.path)
            self._send(404 if content is None else 200, content or b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = service.answer(self.path, self.headers.get("Authorization", ""), body)
            self._send(status, answer if isinstance(answer, bytes) else json.dumps(answer).encode())

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(timestamp or time.time(), usegmt=True)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.2,), daemon=True).start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
