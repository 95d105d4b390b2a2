"""What sessions find around them is the image's, whatever the image has put in the way."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gpulease_host.toolkit.inside import environment
from gpulease_host.toolkit.inside.environment import keep_path_at_login, write_environment

DEBIAN_PROFILE = 'PATH="/usr/bin:/bin"\nexport PATH\nfor i in {part}/*.sh; do . "$i"; done\n'


def _login_path(profile: Path, path: str) -> str:
    script = f". {profile}; echo $PATH"
    done = subprocess.run(["/bin/sh", "-c", script], env={"PATH": path}, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_login_shells_keep_the_path_of_the_image(tmp_path: Path) -> None:
    profile, part = tmp_path / "profile", tmp_path / "profile.d" / "zz-gpulease.sh"
    profile.write_text(DEBIAN_PROFILE.format(part=part.parent))
    for _ in range(2):
        keep_path_at_login("/opt/it's/bin:/usr/bin", profile, part)
        assert _login_path(profile, "/bin") == "/opt/it's/bin:/usr/bin:/usr/bin:/bin"
    assert profile.read_text() == DEBIAN_PROFILE.format(part=part.parent)


def test_a_path_that_login_shells_have_already_stays_as_it_is(tmp_path: Path) -> None:
    profile, part = tmp_path / "profile", tmp_path / "profile.d" / "zz-gpulease.sh"
    profile.write_text(f". {part}\n")
    keep_path_at_login("/opt/bin", profile, part)
    assert _login_path(profile, "/x:/opt/bin:/bin") == "/x:/opt/bin:/bin"


def test_an_image_without_a_profile_is_left_as_it_is(tmp_path: Path) -> None:
    keep_path_at_login("/opt/bin", tmp_path / "profile", tmp_path / "profile.d" / "zz-gpulease.sh")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("obstacle", ["fifo", "folder", "file in place of the folder"])
def test_whatever_an_image_has_in_place_of_the_profile_holds_nothing_up(tmp_path: Path, obstacle: str) -> None:
    profile, part = tmp_path / "profile", tmp_path / "profile.d" / "zz-gpulease.sh"
    os.mkfifo(profile)
    if obstacle == "fifo":
        part.parent.mkdir()
        os.mkfifo(part)
    elif obstacle == "folder":
        part.mkdir(parents=True)
    else:
        part.parent.touch()
    keep_path_at_login("/opt/bin", profile, part)
    assert part.is_file() == (obstacle == "fifo")


def test_sessions_find_the_answer_to_reboot_before_the_program_of_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "RUN", tmp_path)
    write_environment({"HOME": str(tmp_path), "PATH": "/image/bin"}, "/bin/sh")
    assert "export PATH=/.gl/power:/image/bin:/.gl/bin\n" in (tmp_path / "environment.sh").read_text()
