"""A registry on loopback without a login that fails in one way: what Docker makes of it is real."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import json
import os
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Fault = Literal[
    "hangs", "hangs in a layer", "is slow", "breaks off once", "other platform", "no image", "corrupt", "rate limit"
]
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
LAYER_BYTES = 3 << 20
HELD_S = 60
TRICKLE_BYTES = 1 << 14
TRICKLE_S = 0.2
_NUMBERS = itertools.count()


class FaultyRegistry:
    """`gave_up` is set when Docker has closed the connection of a slow layer; one that hangs it never closes."""

    def __init__(self, fault: Fault, port: int) -> None:
        self.fault = fault
        self.image = f"127.0.0.1:{port}/faulty/image-{os.getpid()}-{next(_NUMBERS)}:1"
        self.gave_up = threading.Event()
        self.is_asked = threading.Event()
        self.is_over = threading.Event()
        self.has_broken_off = False
        content = _tar(os.urandom(LAYER_BYTES))
        self.layer = gzip.compress(content, 1)
        self.config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Cmd": ["sh"]},
                "rootfs": {"type": "layers", "diff_ids": [digest(content)]},
            }
        ).encode()

    def manifest(self) -> tuple[str, bytes]:
        config_type = "application/vnd.docker.container.image.v1+json"
        if self.fault == "no image":
            config_type = "application/vnd.cncf.helm.config.v1+json"
        layer_type = "application/vnd.docker.image.rootfs.diff.tar.gzip"
        body = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": config_type, "size": len(self.config), "digest": digest(self.config)},
            "layers": [{"mediaType": layer_type, "size": len(self.layer), "digest": digest(self.layer)}],
        }
        if self.fault != "other platform":
            return MANIFEST, json.dumps(body).encode()
        platform = {"architecture": "s390x", "os": "linux"}
        member = {"mediaType": MANIFEST, "size": 1, "digest": digest(b""), "platform": platform}
        listed = {"schemaVersion": 2, "mediaType": MANIFEST_LIST, "manifests": [member]}
        return MANIFEST_LIST, json.dumps(listed).encode()


@contextmanager
def serve(fault: Fault) -> Iterator[FaultyRegistry]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    registry = FaultyRegistry(fault, server.server_address[1])
    server.registry = registry  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        registry.is_over.set()
        server.shutdown()
        server.server_close()


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _tar(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("random")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # who asks over TLS first must see that this is HTTP

    @property
    def registry(self) -> FaultyRegistry:
        return self.server.registry  # type: ignore[attr-defined, no-any-return]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.path == "/v2/":
            self._send("application/json", b"{}")
        elif "/manifests/" in self.path:
            self._manifest()
        elif self.path.endswith(digest(self.registry.config)):
            self._send("application/octet-stream", self.registry.config)
        else:
            self._layer()

    def _manifest(self) -> None:
        if self.registry.fault == "hangs":
            self._hang()
        elif self.registry.fault == "rate limit":
            body = {"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit."}]}
            self._send("application/json", json.dumps(body).encode(), status=429)
        else:
            self._send(*self.registry.manifest())

    def _layer(self) -> None:
        layer, fault = self.registry.layer, self.registry.fault
        if fault == "corrupt":
            self._send("application/octet-stream", layer[:-1] + b"x")
        elif fault == "hangs in a layer":
            self._send("application/octet-stream", layer, most=len(layer) // 2)
            self._hang()
        elif fault == "is slow":
            self._trickle(layer)
        elif fault == "breaks off once" and not self.registry.has_broken_off:
            self.registry.has_broken_off = True
            self._send("application/octet-stream", layer, most=len(layer) // 2)
            self.close_connection = True
        elif (asked := self.headers.get("Range", "")).startswith("bytes="):
            start = int(asked.removeprefix("bytes=").partition("-")[0])
            extra = {"Content-Range": f"bytes {start}-{len(layer) - 1}/{len(layer)}"}
            self._send("application/octet-stream", layer[start:], status=206, extra=extra)
        else:
            self._send("application/octet-stream", layer)

    def _send(
        self,
        kind: str,
        body: bytes,
        *,
        status: int = 200,
        most: int | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Content-Digest", digest(body))
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:most])
            self.wfile.flush()

    def _hang(self) -> None:
        self.registry.is_asked.set()
        self.registry.is_over.wait(HELD_S)
        self.close_connection = True

    def _trickle(self, layer: bytes) -> None:
        self._send("application/octet-stream", layer, most=0)
        self.registry.is_asked.set()
        self.close_connection = True
        try:
            for start in range(0, len(layer), TRICKLE_BYTES):
                self.wfile.write(layer[start : start + TRICKLE_BYTES])
                if self.registry.is_over.wait(TRICKLE_S):
                    return
        except ConnectionError:
            self.registry.gave_up.set()
