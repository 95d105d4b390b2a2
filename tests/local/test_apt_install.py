"""Packages are installed once another apt is done, and what cannot be installed says why."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from local.dockerd_packages import APT_INSTALL

LISTS = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)"
FRONTEND = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (unattended-upgr)"
WAITING = "Another apt is at work"


def run_with(folder: Path, *answers: str, patience_s: int = 60) -> subprocess.CompletedProcess[str]:
    """An apt-get that fails with each of these once, and then does what it is told."""
    (folder / "answers").mkdir()
    for number, answer in enumerate(answers):
        (folder / "answers" / str(number)).write_text(answer + "\n")
    program = folder / "apt-get"
    program.write_text(
        f"""#!/bin/sh
next=$(ls {folder}/answers | head -n 1)
[ -z "$next" ] || {{ cat {folder}/answers/$next >&2; rm {folder}/answers/$next; exit 100; }}
echo "$@" >> {folder}/done
"""
    )
    program.chmod(0o755)
    sleep = folder / "sleep"
    sleep.write_text("#!/bin/sh\n")
    sleep.chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "APT_WAIT_S": str(patience_s)}
    command = ["sh", str(APT_INSTALL), "docker.io", "iptables"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def done(folder: Path) -> list[str]:
    path = folder / "done"
    return path.read_text().splitlines() if path.exists() else []


INSTALL = "-q install -y --no-install-recommends docker.io iptables"


@pytest.mark.parametrize("locks", [(), (LISTS,), (LISTS, LISTS, FRONTEND)])
def test_it_waits_for_another_apt_and_says_so_once(tmp_path: Path, locks: tuple[str, ...]) -> None:
    ran = run_with(tmp_path, *locks)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.count(WAITING) == bool(locks)
    assert done(tmp_path) == ["-q update", INSTALL]


def test_it_gives_up_on_one_that_never_ends(tmp_path: Path) -> None:
    ran = run_with(tmp_path, *[LISTS] * 9, patience_s=4)
    assert ran.returncode == 1
    assert "try again when it is done" in ran.stderr
    assert not done(tmp_path)


def test_a_source_that_fails_does_not_keep_packages_from_being_installed(tmp_path: Path) -> None:
    ran = run_with(tmp_path, "E: The repository 'http://example' does not have a Release file.")
    assert ran.returncode == 0
    assert "Release file" in ran.stderr
    assert done(tmp_path) == [INSTALL]


def test_a_package_that_cannot_be_had_is_told_with_status_1(tmp_path: Path) -> None:
    ran = run_with(tmp_path, LISTS, "W: no update", "E: Unable to locate package docker.io")
    assert ran.returncode == 1
    assert "Unable to locate package" in ran.stderr
