"""What the tests inside a guest compare: a missing command is no answer, wherever in a pipe it stands."""

from __future__ import annotations

import pytest

from tests.vm.inside.machine import COMMANDS, lines_of

ABSENT = "gpulease-no-such-command"


@pytest.mark.parametrize("command", [ABSENT, f"{ABSENT} -a | sort", f"echo a | {ABSENT} | sort"])
def test_a_missing_command_fails_a_snapshot(command: str) -> None:
    with pytest.raises(AssertionError, match="not found"):
        lines_of(command)


def test_a_command_that_finds_nothing_has_no_lines() -> None:
    assert lines_of("echo a | grep b") == set()
    assert lines_of("printf 'b\\na\\n'; false") == {"a", "b"}


def test_no_complaint_of_a_shell_is_thrown_away_but_that_of_ls() -> None:
    assert [name for name, command in COMMANDS.items() if "2>" in command] == ["control groups"]
