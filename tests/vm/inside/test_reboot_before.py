"""Before the guest is rebooted: it is installed as a host, and an instance runs. Then test_reboot_after.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.vm.inside import machine
from tests.vm.inside.machine import CONTAINER, UNIT, paste, run, show, state_of, wait_for
from tests.vm.inside.service import Service, serving

pytestmark = [
    pytest.mark.skipif(
        "GPULEASE_IN_GUEST" not in os.environ or not Path("/run/systemd/system").is_dir(), reason="needs systemd"
    ),
    pytest.mark.timeout(1800),
]


def test_an_instance_runs_on_an_installed_host() -> None:
    with serving(Service()) as service:
        machine.prepare()
        assert "Done: this machine is host" in paste(machine.JOINING)
        service.want_instance()
        service.remember()
        run(f"systemctl restart {UNIT}")
        wait_for(lambda: state_of(CONTAINER).startswith("true"), "The start of an instance")
        assert show("UnitFileState") == "enabled"
        machine.write(str(machine.WORK / "running"), state_of(CONTAINER))
