"""The quick path: `gpulease-host accept` over a real socket to a daemon on fakes."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpulease_host.accept import SOCKET_NAME
from gpulease_host.journal import Journal
from gpulease_host.unix_socket import SocketServer
from gpulease_host.wire import order_to_wire
from tests.host.orders import HOST_ID, NOW, order
from tests.host.rig import Rig

HOST = Path(__file__).parents[2] / "host"
HEAVY = {
    "requests",
    "boto3",
    "jwt",
    "cryptography",
    "docker",
    "dataclasses",
    "typing",
    "argparse",
    "inspect",
    "asyncio",
}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Rig]:
    """In a folder whose path is too long for a socket's name."""
    folder = tmp_path / ("deep" * 30)
    folder.mkdir()
    Journal.create(folder / "journal", HOST_ID)
    rig = Rig(folder).boot()
    server = SocketServer(folder, rig.daemon.intake.answer)
    server.start()
    yield rig
    server.stop()


def encoded(**changes: Any) -> str:
    body = {"v": 1, "host_id": HOST_ID, "not_after": NOW + 120, "orders": [order_to_wire(order())]} | changes
    return base64.urlsafe_b64encode(json.dumps(body).encode()).rstrip(b"=").decode()


def gpulease_host(folder: Path, *arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            *options,
            "-c",
            "import sys; from gpulease_host.cli import main; sys.exit(main())",
            *arguments,
        ],
        env={"PYTHONPATH": str(HOST), "GPULEASE_HOST_DIR": str(folder), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_accepted_order_is_in_the_journal_before_it_is_answered(served: Rig) -> None:
    done = gpulease_host(served.folder, "accept", encoded())
    assert (done.returncode, json.loads(done.stdout)) == (0, {"v": 1, "accepted": [11], "refused": []})
    assert '"instance_id":11' in (served.folder / "journal").read_text()


def test_a_refused_order_of_a_taken_command_says_why(served: Rig) -> None:
    bad = order_to_wire(order(instance_id=12)) | {"generation": 0}
    done = gpulease_host(served.folder, "accept", encoded(orders=[order_to_wire(order()), bad]))
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["accepted"]) == (0, [11])
    assert answer["refused"][0]["instance_id"] == 12


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (encoded(host_id=8), "host 8"),
        (encoded(not_after=NOW - 1), "too late"),
        (encoded(v=2), "version 2"),
        ("!!!", "base64url"),
        ("e30", "version None"),
        ("x" * 7, "base64url"),
        ("x\ny", "more than one line"),
        ("", "base64url"),
    ],
)
def test_what_is_not_taken_fails_with_one_line(served: Rig, given: str, reason: str) -> None:
    done = gpulease_host(served.folder, "accept", given)
    assert done.returncode == 1
    assert done.stdout == ""
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1
    assert served.state()["instances"] == []


@pytest.mark.parametrize("command", [("accept", encoded()), ("status",)])
def test_without_a_daemon_it_fails_with_one_line(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = gpulease_host(tmp_path, *command)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no daemon answers" in done.stderr


def test_status_is_the_whole_state(served: Rig) -> None:
    served.give(order())
    answer = json.loads(gpulease_host(served.folder, "status").stdout)
    assert answer["state"]["instances"][0]["status"] == "running"


def test_only_root_reaches_the_socket(served: Rig) -> None:
    assert (served.folder / SOCKET_NAME).stat().st_mode & 0o777 == 0o600


def test_the_quick_path_imports_next_to_nothing(served: Rig) -> None:
    done = gpulease_host(served.folder, "accept", encoded(), options=("-X", "importtime"))
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    ours = {each for each in imported if each.startswith("gpulease_host")}
    assert ours == {"gpulease_host", "gpulease_host.cli", "gpulease_host.accept"}
    assert not HEAVY & imported


@pytest.mark.parametrize("arguments", [(), ("dance",), ("accept",), ("accept", "a", "b")])
def test_wrong_use_prints_the_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = gpulease_host(tmp_path, *arguments)
    assert done.returncode == 2
    assert "usage: gpulease-host" in done.stderr


def test_a_daemon_without_registration_says_what_to_do(tmp_path: Path) -> None:
    done = gpulease_host(tmp_path, "daemon")
    assert done.returncode == 1
    assert "gpulease-host register" in done.stderr
