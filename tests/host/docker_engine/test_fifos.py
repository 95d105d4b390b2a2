"""What Docker waits for in a container's files is opened once, and nothing else of the machine is touched."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from gpulease_host.docker_engine import fifos


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "etc").mkdir(parents=True)
    return tmp_path / "root"


def reads(fifo: Path) -> threading.Thread:
    """Somebody who waits in it, as Docker does."""
    thread = threading.Thread(target=fifo.read_bytes, daemon=True)
    thread.start()
    return thread


def wait_for(thread: threading.Thread, root: Path) -> None:
    for _ in range(200):
        fifos.open_once(root)
        thread.join(0.05)
        if not thread.is_alive():
            return
    pytest.fail("nobody let it go")


def test_who_waits_in_a_fifo_is_let_go(root: Path) -> None:
    os.mkfifo(root / "etc" / "group")
    wait_for(reads(root / "etc" / "group"), root)


def test_what_takes_long_is_let_go_again_and_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fifos, "EVERY_S", 0.01)
    os.mkfifo(root / "etc" / "passwd")
    with fifos.opened_meanwhile(lambda: root):
        for _ in range(2):
            (root / "etc" / "passwd").read_bytes()


def test_links_are_followed_as_the_container_sees_them(root: Path) -> None:
    (root / "f").mkdir()
    os.mkfifo(root / "f" / "fifo")
    (root / "etc" / "passwd").symlink_to("../../../../f/fifo")
    wait_for(reads(root / "f" / "fifo"), root)


def test_a_fifo_of_the_machine_is_left_alone(root: Path) -> None:
    outside = root.parent / "outside"
    os.mkfifo(outside)
    (root / "etc" / "passwd").symlink_to(outside)
    thread = reads(outside)
    fifos.open_once(root)
    thread.join(0.2)
    assert thread.is_alive()
    outside.write_bytes(b"")
    thread.join(10)


def test_what_is_no_fifo_or_has_no_reader_or_is_not_there_is_no_error(root: Path) -> None:
    (root / "etc" / "passwd").write_text("root")
    os.mkfifo(root / "etc" / "group")
    fifos.open_once(root)
    fifos.open_once(root / "none")
    assert (root / "etc" / "passwd").read_text() == "root"
