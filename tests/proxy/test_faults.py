"""The proxy does not limp on without one of its threads."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.ports import free_port
from proxy.__main__ import read_key
from proxy.settings import Settings, SettingsError
from tests.proxy.rig import ROOT
from tests.proxy.service import KEY

RUN = """
import sys
from proxy import desk, warden
from proxy.__main__ import main

def break_down(*_):
    raise RuntimeError("a secret")

if sys.argv.pop(1) == "warden":
    warden.Warden.end_gone = break_down
else:
    desk.key_options = desk.Hosts.jupyter_port = break_down
sys.exit(main())
"""
ASK = """
import socket, sys, time
for _ in range(200):
    try:
        desk = socket.socket(socket.AF_UNIX)
        desk.connect(sys.argv[1])
        desk.sendall(b"GET /route HTTP/1.0\\r\\nX-Instance: 70\\r\\n\\r\\n")
        desk.recv(1)
        break
    except OSError:
        time.sleep(0.05)
"""


def config(folder: Path, key: str = KEY) -> Path:
    (folder / "key").write_text(key)
    named = {
        "api_url": f"http://127.0.0.1:{free_port()}",
        "api_key_file": str(folder / "key"),
        "state": str(folder / "state"),
        "zone": "jupyter.example",
        "user": getpass.getuser(),
        "tunnel_address": "127.0.0.1",
        "tunnel_port": free_port(),
    }
    (folder / "config.json").write_text(json.dumps(named))
    return folder / "config.json"


@pytest.mark.parametrize("part", ["warden", "desk"])
def test_a_fault_of_a_part_ends_the_program_and_is_logged_without_what_it_says(tmp_path: Path, part: str) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUN, part, "--config", str(config(tmp_path))]
    asking = subprocess.Popen([sys.executable, "-c", ASK, str(tmp_path / "state/desk.sock")])
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)
    finally:
        asking.kill()
        asking.wait()
    assert done.returncode == 70
    assert '"event": "fault in a thread"' in done.stderr
    assert "RuntimeError" in done.stderr
    assert "a secret" not in done.stderr


@pytest.mark.parametrize("key", ["", "one\ntwo", "one two", "schlüssel", b"\xff\xfe".decode("latin-1")])
def test_what_cannot_be_an_api_key_is_refused_at_the_start(tmp_path: Path, key: str) -> None:
    settings = Settings.load(config(tmp_path, key))
    with pytest.raises(SettingsError, match="api_key_file") as refusal:
        read_key(settings)
    assert not key or key not in str(refusal.value)


def test_a_key_with_a_line_end_is_read_without_it(tmp_path: Path) -> None:
    assert read_key(Settings.load(config(tmp_path, KEY + "\n"))) == KEY
