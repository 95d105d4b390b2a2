"""The host's own tries: only whom the service's authority vouches for, only with the token, and never for long."""

from __future__ import annotations

import itertools
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gpulease_host.engine import Secrets
from gpulease_host.launch.instance_files import InstanceFiles, files_of
from gpulease_host.launch.reaching import SSH_SAID_CHARACTERS, why_jupyter_is_not_reached, why_ssh_is_not_reached
from gpulease_host.launch.tls import TlsFiles
from gpulease_host.toolkit import layout
from tests.host.launch.tenant import answering, dripped
from tests.host.notary import Notary

ADDRESS = "127.0.10.88"
"""Loopback like any other of 127.0.0.0/8; the port is fixed."""
TOKEN = "t" * 20
SHORT_S = 0.4
SHORT_ENOUGH_S = 2.0
SHUT = "ssh does not let anyone in yet: "
LATE = "JupyterLab does not answer yet (TimeoutError)."
NOTARY = Notary()


class Lab(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        is_known = self.headers["Authorization"] == f"token {TOKEN}"
        self.send_response(200 if is_known else 403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


def server_context(folder: Path, tls: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (folder / "served.crt").write_bytes(tls.certificate)
    (folder / "served.key").write_bytes(tls.key)
    context.load_cert_chain(folder / "served.crt", folder / "served.key")
    return context


@contextmanager
def serving(folder: Path, tls: TlsFiles) -> Iterator[None]:
    context = server_context(folder, tls)
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


def said_in_time(folder: Path, files: InstanceFiles, chunks: Iterable[bytes], *, after_handshake: bool = True) -> str:
    assert files.tls is not None
    context = server_context(folder, files.tls) if after_handshake else None
    began = time.monotonic()
    with answering((ADDRESS, layout.JUPYTER_PORT), chunks, context):
        reason = why_jupyter_is_not_reached(ADDRESS, files, SHORT_S)
    assert time.monotonic() - began < SHORT_ENOUGH_S
    return str(reason)


def test_an_answer_that_is_announced_for_ever_is_none(files: InstanceFiles, tmp_path: Path) -> None:
    forever = itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert said_in_time(tmp_path, files, forever) == "JupyterLab answers 100 to its own token."


def test_an_answer_in_drops_is_not_waited_for(files: InstanceFiles, tmp_path: Path) -> None:
    assert said_in_time(tmp_path, files, dripped(b"HTTP/1.1 2000")) == LATE


def test_a_handshake_in_drops_is_not_waited_for(files: InstanceFiles, tmp_path: Path) -> None:
    drops = dripped(b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb\x03")
    assert said_in_time(tmp_path, files, drops, after_handshake=False) == LATE


def test_a_line_that_does_not_end_is_not_read_on(files: InstanceFiles, tmp_path: Path) -> None:
    forever = itertools.repeat(b"HTTP/1.1 200 " + b"O" * 2000)
    assert said_in_time(tmp_path, files, forever) == "JupyterLab does not answer yet (TooMuchError)."


def test_what_is_not_http_is_said_to_be_none(files: InstanceFiles, tmp_path: Path) -> None:
    for line in (b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 2\xb2\xb2 OK\r\n", b"HTTP/1.1 2000 OK\r\n"):
        assert said_in_time(tmp_path, files, [line]) == "JupyterLab does not speak HTTP yet."


@pytest.mark.parametrize("after_handshake", [True, False])
def test_whoever_ends_the_connection_has_not_answered(
    files: InstanceFiles, tmp_path: Path, after_handshake: bool
) -> None:
    reason = said_in_time(tmp_path, files, [], after_handshake=after_handshake)
    assert reason == "JupyterLab does not answer yet (SSLEOFError)."


def said_by_ssh(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> str | None:
    """With this in place of the program: it passes on what the far end says."""
    program = folder / "ssh"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    began = time.monotonic()
    reason = why_ssh_is_not_reached(ADDRESS, files_of(folder, 11), SHORT_S)
    assert time.monotonic() - began < SHORT_ENOUGH_S
    return reason


def test_nothing_that_a_session_prints_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said_by_ssh(tmp_path, monkeypatch, "test /proc/self/fd/1 -ef /dev/null") is None


def test_a_session_is_reached_whatever_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said_by_ssh(tmp_path, monkeypatch, r"printf 'no text: \377' >&2") is None


def test_the_last_line_is_the_reason_whatever_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = said_by_ssh(tmp_path, monkeypatch, r"printf 'first\nno text: \377\n' >&2; exit 255")
    assert reason == f"{SHUT}no text: \N{REPLACEMENT CHARACTER}"
    assert said_by_ssh(tmp_path, monkeypatch, "exit 255") == f"{SHUT}it ended with 255"


def test_a_session_that_never_stops_talking_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = said_by_ssh(tmp_path, monkeypatch, r"exec tr '\000' x </dev/zero >&2")
    assert reason == SHUT + "x" * SSH_SAID_CHARACTERS


def test_a_session_that_says_nothing_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for script in ("exec sleep 30", "exec sleep 30 2>&-", "echo; exec sleep 30"):
        assert said_by_ssh(tmp_path, monkeypatch, script) == "ssh does not answer yet."
