"""Which run of machine and Docker this is."""

from __future__ import annotations

from pathlib import Path

from gpulease_host.engine import DiskError
from gpulease_host.settings import Settings
from gpulease_host.world import read_run_id
from tests.host.orders import order
from tests.host.rig import Rig


def test_another_boot_socket_or_docker_process_is_another_run(tmp_path: Path) -> None:
    boot, socket, pid = tmp_path / "boot", tmp_path / "sock", tmp_path / "pid"
    boot.write_text("a\n")
    seen = [read_run_id(socket, boot, [pid])]
    assert read_run_id(socket, boot, [pid]) == seen[0]
    for path, content in ((socket, ""), (pid, "12"), (boot, "b\n")):
        path.write_text(content)
        seen.append(read_run_id(socket, boot, [pid]))
    renewed = tmp_path / "renewed"
    renewed.write_text("12")
    renewed.replace(pid)
    seen.append(read_run_id(socket, boot, [pid]))
    assert len(set(seen)) == 5


def test_the_docker_socket_is_the_one_the_engine_uses() -> None:
    assert Settings.from_environment({"DOCKER_HOST": "unix:///x/y.sock"}).docker_socket == Path("/x/y.sock")
    assert Settings.from_environment({}).docker_socket == Path("/var/run/docker.sock")


def test_disk_use_that_cannot_be_read_of_one_instance_is_still_read_of_the_others(rig: Rig) -> None:
    rig.give(order(11), order(12, gpus=(1,)))
    rig.pass_time(31)
    assert rig.daemon.world.disk_used_bytes == {11: 1, 12: 1}

    def read(instance_id: int) -> int:
        if instance_id == 11:
            raise DiskError("its layer cannot be read")
        return 2

    rig.engine.disk_used_bytes = read  # type: ignore[method-assign]
    rig.daemon.world.refresh()
    assert rig.daemon.world.disk_used_bytes == {11: 1, 12: 2}
