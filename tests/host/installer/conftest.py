"""Machines of paper, fresh and joined."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.host.installer.rig import JOINING, PaperMachine


@pytest.fixture
def machine(tmp_path: Path) -> PaperMachine:
    return PaperMachine(tmp_path)


@pytest.fixture
def host(machine: PaperMachine) -> PaperMachine:
    """A machine that has joined."""
    done = machine.run(*JOINING)
    assert done.status == 0, done.said
    return machine
