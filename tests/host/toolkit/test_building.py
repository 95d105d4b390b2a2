"""What a build refuses, before it has taken anyone's time."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpulease_host.toolkit import building, packages
from gpulease_host.toolkit.errors import ToolkitError
from tests.host.toolkit.conftest import stand_in


def test_an_sshd_whose_programs_cannot_be_moved_is_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in packages.PROGRAMS.values():
        stand_in(tmp_path, name, "exit 1\n# /usr/lib/openssh/sshd-session\0")
    monkeypatch.setattr(packages, "SEARCH_PATH", str(tmp_path))
    with pytest.raises(ToolkitError, match="starts sshd-session without an option SshdSessionPath"):
        building.build(tmp_path / "root")
    assert not (tmp_path / "root").exists()
