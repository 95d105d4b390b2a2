"""What is removed of a machine when its last host leaves: our rules and no others, and not under another daemon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from gpulease_host.docker_engine import leftovers
from gpulease_host.docker_engine.data_root import MARKS, DockerDataRoot
from gpulease_host.docker_engine.docker_api import DockerApi
from gpulease_host.docker_engine.firewall import FORWARD_CHAIN, INPUT_CHAIN
from gpulease_host.docker_engine.leftovers import forget_slice, has_daemon, remove_all_rules


@dataclass
class FakeTables:
    """Answers `-S` of a chain; notes what is changed."""

    listed: dict[str, str]
    changes: list[str] = field(default_factory=list)

    def run(self, command: Sequence[str], text: str) -> tuple[int, str]:
        if "-S" in command:
            return 0, self.listed.get(command[-1], "")
        self.changes.append(" ".join(word for word in command if word not in ("-w", "10")))
        return 0, ""


def test_every_jump_to_our_chains_goes_and_then_the_chains(tmp_path: Path) -> None:
    tables = FakeTables(
        {
            "INPUT": f"-P INPUT ACCEPT\n-A INPUT -i gl-+ -j {INPUT_CHAIN}\n-A INPUT -p tcp -j MINE\n",
            "DOCKER-USER": f"-A DOCKER-USER -i gl-+ -j {FORWARD_CHAIN}\n" * 2 + "-A DOCKER-USER -j RETURN\n",
        }
    )
    remove_all_rules(tables.run, tmp_path / "lock")
    assert [change for change in tables.changes if change.startswith("iptables ")] == [
        f"iptables -D INPUT -i gl-+ -j {INPUT_CHAIN}",
        *[f"iptables -D DOCKER-USER -i gl-+ -j {FORWARD_CHAIN}"] * 2,
        f"iptables -F {INPUT_CHAIN}",
        f"iptables -X {INPUT_CHAIN}",
        f"iptables -F {FORWARD_CHAIN}",
        f"iptables -X {FORWARD_CHAIN}",
    ]


@pytest.mark.parametrize(
    ("command", "found"),
    [
        (b"/opt/gpulease/bin/python\0/opt/gpulease/bin/gpulease-host\0daemon\0", True),
        (b"/opt/gpulease/bin/python\0/opt/gpulease/bin/gpulease-host\0leave\0", False),
        (b"sleep\0daemon\0", False),
        (b"", False),
    ],
)
def test_another_daemon_on_the_machine_is_seen(tmp_path: Path, command: bytes, found: bool) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cmdline").write_bytes(command)
    assert has_daemon(tmp_path) is found


@dataclass
class FakeApi:
    root: Path

    def info(self, timeout_s: float | None = None) -> dict[str, str]:
        return {"DockerRootDir": str(self.root)}


def test_a_hosts_mark_goes_and_those_of_others_stay(tmp_path: Path) -> None:
    ours, theirs = (DockerDataRoot(cast(DockerApi, FakeApi(tmp_path)), number) for number in (1, 2))
    ours.mark("a")
    theirs.mark("b")
    ours.unmark()
    assert [each.name for each in (tmp_path / MARKS).iterdir()] == ["2"]
    ours.unmark()
    theirs.unmark()
    theirs.unmark()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("program", [None, "#!/bin/sh\nexec sleep 60\n"], ids=["missing", "silent"])
def test_a_systemd_that_does_not_answer_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str | None
) -> None:
    if program:
        (tmp_path / "systemctl").write_text(program)
        (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path) + (":/usr/bin:/bin" if program else ""))
    monkeypatch.setattr(leftovers, "SYSTEMCTL_TIMEOUT_S", 0.2)
    forget_slice("gpulease.slice")
