"""What the machine does wrong is an error of the step that met it, told in a sentence, and no end of the daemon."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from gpulease_host.docker_engine import firewall, firewall_checks, iptables, networks, routes, shares
from gpulease_host.docker_engine.bridges import _rules_of
from gpulease_host.docker_engine.docker_api import DockerApi
from gpulease_host.docker_engine.machine import weighs_io
from gpulease_host.docker_engine.storage import Storage
from gpulease_host.engine import DiskError, EngineError

NO_TEXT = "import sys; sys.stdout.buffer.write(b'a\\xff'); sys.exit(int(sys.argv[1]))"


@pytest.mark.parametrize("status", [0, 3])
def test_what_a_program_prints_need_be_no_text(status: int) -> None:
    assert iptables.run_program([sys.executable, "-c", NO_TEXT, str(status)], "") == (status, "a\ufffd")


def test_a_program_that_cannot_be_run_or_does_not_end_has_a_status_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad").write_text("no program")
    (tmp_path / "bad").chmod(0o755)
    assert iptables.run_program([str(tmp_path / "none")], "")[0] == 127
    assert iptables.run_program([str(tmp_path / "bad")], "")[0] == 126
    monkeypatch.setattr(iptables, "PROGRAM_TIMEOUT_S", 0.1)
    status, said = iptables.run_program(["sleep", "30"], "")
    assert status == 124
    assert "sleep has not ended" in said


@pytest.mark.parametrize("status", [4, 124])
def test_docker_is_not_said_to_have_no_rules_where_nobody_could_read_them(status: int) -> None:
    def busy(command: Sequence[str], text: str) -> tuple[int, str]:
        return (status, "Another app is currently holding the xtables lock") if "-S" in command else (0, text)

    def saves_nothing(command: Sequence[str], text: str) -> tuple[int, str]:
        return (1, text) if "-save" in command[0] and "--version" not in command else (0, text)

    for run in (busy, saves_nothing):
        with pytest.raises(iptables.UnreadableError):
            firewall_checks.why_docker_sets_no_rules(run, {})


@pytest.mark.parametrize("printed", ["Warning: odd\n[]", "3", '["a"]', '[{"dev": "eth0"}]', '[{"dst": "10.0.0.0/99"}]'])
def test_routes_that_nobody_understands_are_an_error(printed: str) -> None:
    with pytest.raises(routes.RoutesError):
        routes.routes(lambda _command, _text: (0, printed))


def test_a_way_out_that_goes_away_meanwhile_is_an_error(tmp_path: Path) -> None:
    way_out = routes.routes(lambda _command, _text: (0, '[{"dst": "default", "dev": "eth7"}]'))
    with pytest.raises(routes.RoutesError):
        routes.default_mtu(way_out, tmp_path)


def test_a_data_root_that_is_gone_is_an_error_and_weighs_nothing(tmp_path: Path) -> None:
    with pytest.raises(DiskError):
        Storage("overlay2", False, tmp_path / "gone").free_bytes()
    assert not weighs_io(tmp_path / "gone")


def test_a_lock_that_cannot_be_had_is_an_error(tmp_path: Path) -> None:
    lock = tmp_path / "none" / "lock"
    with pytest.raises(firewall.FirewallError):
        firewall.Firewall(lambda _command, _text: (0, ""), lambda: [], lock).ensure()
    with pytest.raises(EngineError):
        networks.ContractNetworks(DockerApi("unix:///none"), 7, "10.213.0.0/16", lock, lambda: []).ensure(1)


def test_resolvers_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    def fail() -> NoReturn:
        raise PermissionError("/proc/self/ns/net")

    with pytest.raises(firewall.FirewallError, match="ns/net"):
        firewall.Firewall(lambda _command, _text: (0, ""), fail, tmp_path / "lock").ensure()


@pytest.mark.parametrize(
    "fault", [OSError("I/O error"), ValueError("no number"), KeyError("Id"), EngineError("refused")]
)
def test_what_nobody_thought_of_is_the_fault_of_its_step_alone(fault: Exception) -> None:
    done: list[str] = []

    def fail() -> NoReturn:
        raise fault

    with pytest.raises(EngineError, match=r"at |refused"):
        shares.do_all(fail, lambda: done.append("the others"))
    assert done == ["the others"]


def test_somebody_elses_rule_that_cannot_be_read_hinders_no_removal() -> None:
    saved = '*filter\n-A INPUT -m comment --comment "it\n-A FORWARD -i gl-1 -j ACCEPT\nCOMMIT\n'
    assert list(_rules_of("gl-1", saved)) == [("filter", ["FORWARD", "-i", "gl-1", "-j", "ACCEPT"])]
