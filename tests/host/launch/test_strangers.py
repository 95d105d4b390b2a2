"""Strangers at the owner's address, as behind a proxy or a published port: their failures are not the owner's."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.images import BUSYBOX
from tests.host.launch.conftest import OpenPlace
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
