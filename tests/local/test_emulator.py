"""The emulator is the one whose private names are used, and says so when it is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from local.cloud import emulator
from local.cloud.settings import CloudSettings, cloud_environment

ROOT = Path(__file__).resolve().parents[2]


def in_the_clouds_environment(code: str, state: Path) -> subprocess.CompletedProcess[str]:
    """Run code as the cloud's own process would, since the emulator keeps what it read at import."""
    settings = CloudSettings(str(state), 1, 2, "", "", "AKIATRIAL", "secret")
    (state / "tmp").mkdir()
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=cloud_environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_private_name_exists_in_the_pinned_version(tmp_path: Path) -> None:
    done = in_the_clouds_environment(
        "from local.cloud import emulator; emulator.check_private_names(); emulator.shorten_waits()", tmp_path
    )
    assert done.returncode == 0, done.stderr


def test_requirements_pin_the_same_version() -> None:
    assert f"ministack=={emulator.PINNED_VERSION}" in (ROOT / "requirements.txt").read_text().splitlines()


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator, "PINNED_VERSION", "9.9.9")
    with pytest.raises(emulator.EmulatorMismatchError, match=r"9\.9\.9 is needed"):
        emulator.check_private_names()


def test_a_missing_name_is_named(tmp_path: Path) -> None:
    code = (
        "from local.cloud import emulator\n"
        "emulator.PRIVATE_NAMES = {'ministack.services.sqs': ('_queues', 'moved_away')}\n"
        "emulator.check_private_names()"
    )
    done = in_the_clouds_environment(code, tmp_path)
    assert "has no ministack.services.sqs.moved_away." in done.stderr


def test_only_one_module_names_the_emulators_parts() -> None:
    users = [path for path in (ROOT / "local").rglob("*.py") if "ministack." in path.read_text()]
    assert [path.relative_to(ROOT).as_posix() for path in users] == ["local/cloud/emulator.py"]
