"""Which programs sshd consists of, and what it is told, follow from what it says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpulease_host.toolkit import openssh, packages, running
from gpulease_host.toolkit.errors import ToolkitError
from tests.host.toolkit.conftest import stand_in

UNKNOWN_OPTION = "echo 'unknown option -- G' >&2; exit 1"
SESSION, AUTH = "SshdSessionPath /.gl/bin/sshd-session\n", "SshdAuthPath /.gl/bin/sshd-auth\n"
NO_PENALTIES = "PerSourcePenalties no\n"


def saying(folder: Path, *lines: str) -> Path:
    return stand_in(folder, "sshd", "\n".join(f"echo '{line}'" for line in ("port 22", *lines)))


def test_an_sshd_of_one_program_is_told_nothing_more(tmp_path: Path) -> None:
    for sshd in (stand_in(tmp_path, "old", UNKNOWN_OPTION), saying(tmp_path, "persourcemaxstartups none")):
        found = openssh.find(sshd)
        assert (found.programs, found.config()) == ([sshd], "")


def test_each_program_that_sshd_starts_is_found_and_named(tmp_path: Path) -> None:
    """As OpenSSH 9.8 and 9.9 are, and 10.0. Which case the options have differs between versions."""
    two = saying(tmp_path, "sshdsessionpath /usr/lib/openssh/sshd-session", "persourcepenalties crash:90")
    found = openssh.find(two)
    assert found.programs == [two, Path("/usr/lib/openssh/sshd-session")]
    assert found.config() == SESSION + NO_PENALTIES
    three = saying(tmp_path, "sshdsessionpath /a/b", "SshdAuthPath /c/d", "PerSourcePenalties crash:90.000000")
    found = openssh.find(three)
    assert found.programs == [three, Path("/a/b"), Path("/c/d")]
    assert found.config() == SESSION + AUTH + NO_PENALTIES


@pytest.mark.parametrize(("program", "option"), [("sshd-session", "SshdSessionPath"), ("sshd-auth", "SshdAuthPath")])
def test_an_sshd_that_starts_a_program_from_a_fixed_place_is_refused(tmp_path: Path, program: str, option: str) -> None:
    sshd = stand_in(tmp_path, "sshd", f"{UNKNOWN_OPTION}\n# /usr/lib/{program}\0")
    with pytest.raises(ToolkitError, match=f"sshd starts {program} without an option {option}"):
        openssh.find(sshd)


def test_the_sshd_of_this_machine_has_every_option_that_it_is_told(tmp_path: Path) -> None:
    """It reads the whole of it before it finds that it has no host key."""
    sshd = packages.program("sshd")
    config = tmp_path / "sshd_config"
    config.write_text((packages.INSIDE / "sshd_config").read_text() + openssh.find(sshd).config())
    said = running.run([sshd, "-t", "-f", config]).stderr
    assert "option" not in said
    assert "no hostkeys available" in said


def test_the_programs_of_this_machines_sshd_are_there() -> None:
    found = openssh.find(packages.program("sshd"))
    assert all(each.is_file() for each in found.programs)
