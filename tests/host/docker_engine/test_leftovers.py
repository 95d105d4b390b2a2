"""What is removed of a machine when its last host leaves: our rules and no others, and not under another daemon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gpulease_host.docker_engine.firewall import FORWARD_CHAIN, INPUT_CHAIN
from gpulease_host.docker_engine.leftovers import has_daemon, remove_rules

SAVED = f"""*filter
:INPUT ACCEPT [0:0]
:{INPUT_CHAIN} - [0:0]
:{FORWARD_CHAIN} - [0:0]
-A INPUT -i gl-+ -j {INPUT_CHAIN}
-A INPUT -p tcp -j MINE
-A DOCKER-USER -i gl-+ -j {FORWARD_CHAIN}
-A DOCKER-USER -j RETURN
-A FORWARD -i gl-+ -j {FORWARD_CHAIN}
COMMIT
"""


@dataclass
class FakeTables:
    """Answers what a program of iptables has saved; notes what is changed."""

    saved: dict[str, str]
    changes: list[str] = field(default_factory=list)

    def run(self, command: Sequence[str], text: str) -> tuple[int, str]:
        if command[0].endswith("-save"):
            return 0, self.saved.get(command[0], "")
        if command[0] != "cat":
            self.changes.append(" ".join(word for word in command if word not in ("-w", "10")))
        return 0, ""


@pytest.mark.parametrize("program", ["iptables", "ip6tables", "iptables-nft"])
def test_every_jump_to_our_chains_goes_and_then_the_chains(tmp_path: Path, program: str) -> None:
    tables = FakeTables({f"{program}-save": SAVED})
    remove_rules(tables.run, tmp_path / "lock")
    assert tables.changes == [
        f"{program} -D INPUT -i gl-+ -j {INPUT_CHAIN}",
        f"{program} -D DOCKER-USER -i gl-+ -j {FORWARD_CHAIN}",
        f"{program} -D FORWARD -i gl-+ -j {FORWARD_CHAIN}",
        f"{program} -F {INPUT_CHAIN}",
        f"{program} -X {INPUT_CHAIN}",
        f"{program} -F {FORWARD_CHAIN}",
        f"{program} -X {FORWARD_CHAIN}",
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
