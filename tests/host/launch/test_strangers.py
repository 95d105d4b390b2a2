"""Strangers at the owner's address, as behind a proxy or a published port: their failures are not the owner's."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.images import BUSYBOX
from local.ports import free_port
from tests.host.docker_engine.bench import wait_until
from tests.host.launch.conftest import OpenPlace, Place
from tests.host.launch.visitor import Visitor

pytestmark = pytest.mark.docker
FAILURES = 50
AT_ONCE = 8
"""Fewer than sshd lets wait before it turns some away."""
PATIENCE_S = 60.0
"""Only guards against waiting for ever: a slow machine needs seconds for a login. A ban would refuse at once."""


def knock(port: int) -> None:
    """Come and go without a word, and wait until sshd has noticed."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1024):
            pass


def test_the_owner_gets_in_after_failed_logins_from_the_same_address(open_place: OpenPlace, tmp_path: Path) -> None:
    place = open_place(BUSYBOX)
    stranger = Visitor.new(tmp_path, place.visitor.port, "stranger")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda _: knock(place.visitor.port), range(FAILURES)))
        tried = list(pool.map(lambda _: stranger.ssh("true").stderr, range(FAILURES)))
    assert [said for said in tried if "Permission denied (publickey)" not in said] == []
    assert place.visitor.said("echo in") == "in"
    assert place.bench.engine.why_not_reached(place.order) is None


HOLDERS = 100


class Holder(threading.Thread):
    """Holds a connection without logging in, and comes again as soon as it is ended."""

    def __init__(self, port: int, stopping: threading.Event, says: bytes) -> None:
        super().__init__(daemon=True)
        self._port, self._stopping, self._says = port, stopping, says
        self.connected = threading.Event()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._port), PATIENCE_S) as connection:
                    connection.settimeout(0.5)
                    connection.sendall(self._says)
                    self._hold(connection)
            except OSError:
                self._stopping.wait(0.05)

    def _hold(self, connection: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                if not connection.recv(1024):
                    return
                self.connected.set()
            except TimeoutError:
                continue


@pytest.mark.parametrize("says", [b"", b"SSH-2.0-x\r\n"], ids=["nothing", "that they speak ssh"])
def test_the_owner_gets_in_while_strangers_hold_a_hundred_connections(open_place: OpenPlace, says: bytes) -> None:
    """Who says a word has a second process of sshd's, which must go with the first."""
    place = open_place(BUSYBOX)
    assert place.visitor.said("echo in") == "in"
    stays = place.visitor.open("cat", options=("-R", "0:127.0.0.1:9", "-L", f"{free_port()}:127.0.0.1:9"))
    stopping = threading.Event()
    holders = [Holder(place.visitor.port, stopping, says) for _ in range(HOLDERS)]
    for holder in holders:
        holder.start()
    try:
        assert all(holder.connected.wait(PATIENCE_S) for holder in holders[:90])
        failed = [done.stderr for _ in range(10) if (done := place.visitor.ssh("true")).returncode != 0]
        assert failed == []
        wait_until(lambda: "wait without logging in" in place.log, PATIENCE_S)
        assert place.visitor.said("echo in") == "in"
    finally:
        stopping.set()
    wait_until(lambda: processes_of_strangers(place) == [], PATIENCE_S)
    assert stays.communicate("still here", timeout=PATIENCE_S)[0] == "still here"


def processes_of_strangers(place: Place) -> list[str]:
    """Of sshd before login."""
    said = place.visitor.said("for each in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$each 2>/dev/null; echo; done")
    return [line for line in said.splitlines() if "[net]" in line or "[accepted]" in line or "sshd-auth" in line]
