"""The tests of `make test`, in two halves side by side: those that compute, and those that mostly wait for real parts.

`python -m tests.run`. What the first half says comes when the second is done, so that neither disturbs the other's.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

REAL = "docker or cloud"
HALVES = (f"not slow and not ({REAL})", f"not slow and ({REAL})")


def pytest_of(half: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--durations", "10", "-m", half]


def main() -> int:
    """The exit code of the half that failed, if one did."""
    computing, waiting = HALVES
    with tempfile.TemporaryFile("w+") as said:
        aside = subprocess.Popen(pytest_of(computing), stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            code = subprocess.run(pytest_of(waiting), check=False).returncode
            if aside.poll() is None:
                print("The tests that compute go on …", flush=True)
            code = code or aside.wait()
        finally:
            aside.kill()
        said.seek(0)
        print(said.read(), flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
