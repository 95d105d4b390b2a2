"""What a build refuses, before it has taken anyone's time."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpulease_host.toolkit import building, packages, running
from gpulease_host.toolkit.errors import ToolkitError
from tests.host.toolkit.conftest import stand_in

DEBIAN_12 = "OpenSSH_9.2, OpenSSL 3.0.19 27 Jan 2026"
UBUNTU_22 = (
    "unknown option -- V\nOpenSSH_8.9p1 Ubuntu-3ubuntu0.10, OpenSSL 3.0.2 15 Mar 2022\nusage: sshd [-46DdeGiqTtV]"
)
UBUNTU_24 = "OpenSSH_9.6p1 Ubuntu-3ubuntu13.5, OpenSSL 3.0.13 30 Jan 2024"
DEBIAN_13 = "OpenSSH_10.0p2 Debian-7, OpenSSL 3.5.1 1 Jul 2025"


@pytest.mark.parametrize("said", [DEBIAN_12, UBUNTU_22, UBUNTU_24])
def test_an_sshd_of_one_program_will_do(said: str) -> None:
    building.refuse_openssh(said)


@pytest.mark.parametrize(("said", "version"), [(DEBIAN_13, "10.0"), ("OpenSSH_9.8p1, OpenSSL 3.3.1", "9.8")])
def test_an_sshd_whose_sessions_are_another_program_is_refused_with_what_to_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, version: str
) -> None:
    for name in packages.PROGRAMS.values():
        stand_in(tmp_path, name, f"echo '{said}' >&2")
    monkeypatch.setattr(packages, "SEARCH_PATH", str(tmp_path))
    with pytest.raises(ToolkitError, match=f"below 9.8, and here is {version}: take Debian 12"):
        building.build(tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_an_sshd_that_does_not_say_what_it_is_is_refused() -> None:
    with pytest.raises(ToolkitError, match="does not say its version, but: segmentation fault"):
        building.refuse_openssh("segmentation fault\n")


def test_the_sshd_of_this_machine_says_its_version() -> None:
    assert "OpenSSH_" in running.run([packages.program("sshd"), "-V"]).stderr
