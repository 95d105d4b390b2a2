"""A program is started again when it dies, also when it leaves something behind that holds its port."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.ports import free_port
from proxy.children import MOST_DELAY_S, Child
from proxy.log import Log
from proxy.supervisor import find_program
from tests.proxy.rig import accepts, wait_for

NGINX = """daemon off;
pid {folder}/nginx.pid;
error_log stderr error;
worker_processes 2;
events {{}}
http {{ access_log off; server {{ listen 127.0.0.1:{port}; return 204; }} }}
"""
FORKING = "import os, time; os.fork(); os.write(1, b'up\\n'); time.sleep(60)"


class Scene:
    def __init__(self) -> None:
        self.now = 1000.0
        self.said = io.StringIO()
        self.children: list[Child] = []

    def child(self, *command: str) -> Child:
        self.children.append(Child("program", command, lambda: self.now, Log(self.said, lambda: self.now)))
        self.children[-1].keep()
        return self.children[-1]

    def die(self, child: Child) -> None:
        """Alone, as when memory runs out."""
        pid = child.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: child.pid is None, self.said.getvalue)


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    for each in made.children:
        each.stop()


def members(group: int) -> list[str]:
    """The processes of a group."""
    found = subprocess.run(["pgrep", "-g", str(group)], capture_output=True, text=True, check=False)
    return found.stdout.split()


def test_nginx_whose_master_was_killed_serves_again_at_its_port(scene: Scene, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, port=port))
    nginx = scene.child(find_program("nginx"), "-p", str(tmp_path), "-e", "stderr", "-c", str(tmp_path / "nginx.conf"))
    wait_for(lambda: accepts("127.0.0.1", port), scene.said.getvalue)
    scene.die(nginx)
    assert accepts("127.0.0.1", port)  # its workers are still there
    nginx.keep()
    wait_for(lambda: not accepts("127.0.0.1", port), scene.said.getvalue)
    scene.now += MOST_DELAY_S
    nginx.keep()
    wait_for(lambda: accepts("127.0.0.1", port), scene.said.getvalue)
    assert nginx.pid is not None


@pytest.mark.parametrize("dies_first", [False, True])
def test_a_program_that_is_stopped_leaves_nothing_behind(scene: Scene, dies_first: bool) -> None:
    child = scene.child(sys.executable, "-c", FORKING)
    wait_for(lambda: scene.said.getvalue().count('"told": "up"') == 2, scene.said.getvalue)
    group = child.pid
    assert group is not None
    assert len(members(group)) == 2
    if dies_first:
        scene.die(child)
    child.stop()
    wait_for(lambda: members(group) == [], scene.said.getvalue)
