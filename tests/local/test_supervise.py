"""Only what was started here is stopped here, and leftovers of a crash are no obstacle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local import supervise

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


def test_a_process_is_started_found_and_stopped(tmp_path: Path) -> None:
    started = supervise.start("sleeper", SLEEP, state=tmp_path)
    assert supervise.running("sleeper", state=tmp_path) == started
    assert supervise.start("sleeper", SLEEP, state=tmp_path) == started
    assert supervise.stop("sleeper", state=tmp_path)
    assert supervise.running("sleeper", state=tmp_path) is None
    assert not supervise.stop("sleeper", state=tmp_path)


def test_a_process_that_runs_other_code_is_replaced(tmp_path: Path) -> None:
    old = supervise.start("sleeper", SLEEP, state=tmp_path, code="a")
    assert supervise.start("sleeper", SLEEP, state=tmp_path, code="a") == old
    new = supervise.start("sleeper", SLEEP, state=tmp_path, code="b")
    assert new.pid != old.pid
    assert supervise.running("sleeper", state=tmp_path) == new
    assert supervise.stop("sleeper", state=tmp_path)


def test_a_recycled_pid_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL)
    try:
        (tmp_path / "sleeper.pid").write_text(json.dumps({"pid": stranger.pid, "started": 1}))
        assert not supervise.stop("sleeper", state=tmp_path)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_what_kill_9_left_is_replaced(tmp_path: Path) -> None:
    first = supervise.start("sleeper", SLEEP, state=tmp_path)
    os.kill(first.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while supervise.running("sleeper", state=tmp_path) is not None:
        assert time.monotonic() < deadline
    second = supervise.start("sleeper", SLEEP, state=tmp_path)
    assert second.pid != first.pid
    assert supervise.stop("sleeper", state=tmp_path)


def test_a_process_that_ignores_the_polite_signal_ends_all_the_same(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    process = supervise.start("deaf", [sys.executable, "-c", deaf], state=tmp_path)
    deadline = time.monotonic() + 5
    while "up" not in supervise.log_tail(process.log):
        assert time.monotonic() < deadline
    assert supervise.stop("deaf", state=tmp_path, timeout_s=0.2)


@pytest.mark.parametrize("content", ["", "not json", "{"])
def test_a_damaged_pid_file_names_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "sleeper.pid").write_text(content)
    assert supervise.running("sleeper", state=tmp_path) is None
    assert not supervise.stop("sleeper", state=tmp_path)
