"""Strangers at the owner's address, as behind a proxy or a published port: their failures are not the owner's."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.images import BUSYBOX
from tests.host.launch.conftest import OpenPlace
from tests.host.launch.visitor import Visitor

pytestmark = pytest.mark.docker
FAILURES = 50
AT_ONCE = 8
SOON_S = 5.0


def test_the_owner_gets_in_after_failed_logins_from_the_same_address(open_place: OpenPlace, tmp_path: Path) -> None:
    place = open_place(BUSYBOX)
    stranger = Visitor.new(tmp_path, place.visitor.port, "stranger")
    for _ in range(FAILURES):
        socket.create_connection(("127.0.0.1", place.visitor.port), 5).close()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        tried = list(pool.map(lambda _: stranger.ssh("true").stderr, range(FAILURES)))
    assert [said for said in tried if "Permission denied (publickey)" not in said] == []
    began = time.monotonic()
    assert place.visitor.said("echo in") == "in"
    assert time.monotonic() - began < SOON_S
    assert place.bench.engine.why_not_reached(place.order) is None
