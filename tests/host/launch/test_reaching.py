"""The host's own request to a notebook: only whom the service's authority vouches for, and only with the token."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gpulease_host.engine import Secrets
from gpulease_host.launch.instance_files import InstanceFiles, files_of
from gpulease_host.launch.reaching import why_jupyter_is_not_reached
from gpulease_host.launch.tls import TlsFiles
from gpulease_host.toolkit import layout
from tests.host.notary import Notary

ADDRESS = "127.0.10.88"
"""Loopback like any other of 127.0.0.0/8; the port is fixed."""
TOKEN = "t" * 20
NOTARY = Notary()


class Lab(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        is_known = self.headers["Authorization"] == f"token {TOKEN}"
        self.send_response(200 if is_known else 403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@contextmanager
def serving(folder: Path, tls: TlsFiles) -> Iterator[None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (folder / "served.crt").write_bytes(tls.certificate)
    (folder / "served.key").write_bytes(tls.key)
    context.load_cert_chain(folder / "served.crt", folder / "served.key")
    server = ThreadingHTTPServer((ADDRESS, layout.JUPYTER_PORT), Lab)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def files(tmp_path: Path) -> InstanceFiles:
    found = files_of(tmp_path, 11)
    found.prepare("jupyter", Secrets(jupyter_token=TOKEN), "/root")
    found.set_tls(NOTARY.files(11))
    return found


def test_a_notebook_with_its_certificate_is_reached(files: InstanceFiles, tmp_path: Path) -> None:
    assert files.tls is not None
    with serving(tmp_path, files.tls):
        assert why_jupyter_is_not_reached(ADDRESS, files) is None


def test_it_is_reached_with_a_renewed_one_too(files: InstanceFiles, tmp_path: Path) -> None:
    with serving(tmp_path, NOTARY.files(11)):
        assert why_jupyter_is_not_reached(ADDRESS, files) is None


def test_another_authoritys_is_not_believed(files: InstanceFiles, tmp_path: Path) -> None:
    with serving(tmp_path, Notary().files(11)):
        reason = why_jupyter_is_not_reached(ADDRESS, files)
    assert reason == "JupyterLab does not answer yet (SSLCertVerificationError)."


def test_one_that_does_not_know_the_token_is_not_reached(files: InstanceFiles, tmp_path: Path) -> None:
    files.prepare("jupyter", Secrets(jupyter_token="u" * 20), "/root")
    assert files.tls is not None
    with serving(tmp_path, files.tls):
        assert why_jupyter_is_not_reached(ADDRESS, files) == "JupyterLab answers 403 to its own token."


def test_without_a_certificate_nothing_is_asked(tmp_path: Path) -> None:
    assert why_jupyter_is_not_reached(ADDRESS, files_of(tmp_path, 12)) == "JupyterLab has no certificate or token yet."
