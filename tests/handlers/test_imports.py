"""Importing an entry point does nothing but define: no environment, no network, no process."""

import subprocess
import sys
from pathlib import Path

import pytest

FUNCTIONS = Path(__file__).parents[2] / "functions"
MODULES = sorted(path.stem for path in (FUNCTIONS / "handlers").glob("*.py") if path.stem != "__init__")
SCRIPT = """
import sys
FORBIDDEN = ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.exec", "os.fork")
def watch(event, args):
    if event in FORBIDDEN:
        raise SystemExit(f"import does I/O: {event} {args}")
sys.addaudithook(watch)
sys.path.insert(0, sys.argv[1])
import importlib, threading
for name in sys.argv[2:]:
    importlib.import_module(f"handlers.{name}")
from rental.adapters import wiring
assert wiring.session.cache_info().currsize == 0, "a client was made at import"
assert threading.active_count() == 1, "a thread was started at import"
"""


def test_every_entry_point_imports_with_an_empty_environment() -> None:
    command = [sys.executable, "-c", SCRIPT, str(FUNCTIONS), *MODULES]
    done = subprocess.run(command, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["authorizer", "dispatch", "on_heartbeat", "on_instance_changed", "step", "sweep"])
def test_the_hot_functions_do_without_pydantic(module: str) -> None:
    script = "import sys; sys.path.insert(0, sys.argv[1]); import importlib; importlib.import_module(sys.argv[2])"
    script += "; sys.exit('pydantic' in sys.modules)"
    command = [sys.executable, "-c", script, str(FUNCTIONS), f"handlers.{module}"]
    assert subprocess.run(command, env={}, check=False).returncode == 0
