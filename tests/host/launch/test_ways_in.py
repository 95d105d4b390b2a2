"""What ssh gives a renter, and what it refuses: sessions, forwarding, keys that come and go, a restart."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from gpulease_host.engine import Port
from gpulease_host.toolkit import layout
from local.images import BUSYBOX
from local.ports import free_port
from tests.host.docker_engine.bench import GROUP_ROOT, wait_until
from tests.host.launch.conftest import OpenPlace, Place
from tests.host.launch.visitor import Visitor, answers, wait_for_port

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def processes(place: Place, program: str) -> list[int]:
    """Of the container, by what they run, as this machine numbers them."""
    found = []
    for pid in place.bench.pids(place.order):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().replace("\0", " ")
        except OSError:
            continue
        if program in words:
            found.append(pid)
    return found


def _said_by(port: int) -> bytes:
    """The program behind it answers one connection, and needs a moment until the next."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as connection:
        return connection.recv(100)
    return b""


def fingerprint_of_host(place: Place) -> str:
    known = place.visitor.known_hosts
    known.unlink(missing_ok=True)
    place.visitor.said("true")
    return known.read_text()


def test_a_renter_works_over_ssh_and_nobody_else_gets_in(open_place: OpenPlace, tmp_path: Path) -> None:
    place = open_place(BUSYBOX, ports=(udp := Port(5000, "udp", free_port()),))
    visitor = place.visitor
    terminal = visitor.ssh(options=["-tt"], stdin="tty; exit\n")
    assert "/dev/pts/" in terminal.stdout
    assert "lastlog" not in terminal.stdout + terminal.stderr
    assert visitor.said(f"echo $GPULEASE_TCP_PORT_{layout.SSH_PORT} $GPULEASE_UDP_PORT_5000") == (
        f"{visitor.port} {udp.host}"
    )
    stranger = Visitor.new(tmp_path, visitor.port, "stranger")
    assert "Permission denied (publickey)" in stranger.ssh("true").stderr
    password = visitor.ssh("true", options=["-o", "PubkeyAuthentication=no"])
    assert "Permission denied (publickey)" in password.stderr
    probe = Visitor(place.files.probe_key, visitor.known_hosts, visitor.port)
    assert probe.ssh("id; touch /tmp/never").stdout == ""
    assert visitor.ssh("ls /tmp/never").returncode != 0


def test_privileges_are_as_few_as_without_ssh(open_place: OpenPlace) -> None:
    place = open_place(BUSYBOX)
    status = place.visitor.said("grep -E '^(NoNewPrivs|CapBnd|Seccomp):' /proc/self/status").split()
    facts = dict(zip(status[::2], status[1::2], strict=True))
    bits = (0, 1, 3, 5, 6, 7, 10, 18, 29)
    assert facts == {"NoNewPrivs:": "1", "Seccomp:": "2", "CapBnd:": f"{sum(1 << bit for bit in bits):016x}"}
    assert place.visitor.ssh("touch /.gl/x /.gl-own/x").returncode != 0


def test_nobody_inside_ends_the_first_process(open_place: OpenPlace) -> None:
    place = open_place(BUSYBOX, onstart="exit 3\r\n")
    visitor, first = place.visitor, processes(place, "gpulease-init")[0]
    assert visitor.said("cat /proc/1/comm") == "gpulease-init"
    for command in ("kill -INT 1", "kill -TERM 1", "kill -KILL 1", "kill -USR1 1", "killall -TERM gpulease-init"):
        visitor.ssh(command)
    for command in ("reboot", "poweroff", "halt", "shutdown"):
        answered = visitor.ssh(f"/.gl/power/{command}")
        assert answered.returncode == 1
        assert "with the API" in answered.stderr
    for command in ("reboot", "poweroff", "halt"):  # busybox's shell takes its own, whatever is in PATH
        assert "with the API" in visitor.ssh(options=["-tt"], stdin=f"{command}; sleep 1; exit\n").stdout
    assert processes(place, "gpulease-init") == [first]
    assert "with the API" in place.log
    seen = place.bench.seen(place.order)
    assert (seen.status, seen.onstart_exit_code) == ("running", 3)
    assert str(seen.image_digest).startswith("sha256:")
    place.stop()
    assert place.bench.seen(place.order).exit_code == 128 + signal.SIGTERM


def test_ports_are_forwarded_both_ways_and_back_only_to_loopback(open_place: OpenPlace) -> None:
    place = open_place(BUSYBOX, onstart="nc -ll -p 7000 -e echo hello &")
    local = free_port()
    behind = socket.create_server(("127.0.0.1", 0))
    remote = behind.getsockname()[1]
    forward = ["-N", "-o", "ExitOnForwardFailure=yes", "-L", f"127.0.0.1:{local}:127.0.0.1:7000"]
    session = place.visitor.open(options=[*forward, "-R", f"0.0.0.0:7001:127.0.0.1:{remote}"])
    try:
        wait_for_port(local)
        wait_until(lambda: _said_by(local) == b"hello\n", 20)
        asked = place.visitor.open("nc 127.0.0.1 7001")
        connection, _ = behind.accept()
        connection.sendall(b"from home\n")
        connection.close()
        assert asked.communicate(timeout=20)[0] == "from home\n"
        listening = place.visitor.said("netstat -ltn | grep 7001")
        assert "127.0.0.1:7001" in listening
        assert "0.0.0.0:7001" not in listening
    finally:
        session.terminate()
        session.wait()
        behind.close()


def test_a_key_that_is_taken_away_ends_its_sessions_and_no_others(open_place: OpenPlace, tmp_path: Path) -> None:
    place = open_place(BUSYBOX)
    second = Visitor.new(tmp_path, place.visitor.port, "second")
    assert second.ssh("true").returncode != 0
    engine, instance_id = place.bench.engine, place.order.instance_id
    engine.set_ssh_keys(instance_id, [place.visitor.public, second.public])
    kept, ended = place.visitor.open("cat"), second.open("cat")
    assert second.said("echo in") == "in"
    wait_until(lambda: len(processes(place, "cat")) >= 2, 20)
    engine.set_ssh_keys(instance_id, [place.visitor.public])
    ended.wait(timeout=20)
    assert "Permission denied" in second.ssh("true").stderr
    out, _ = kept.communicate("still here\n", timeout=20)
    assert out == "still here\n"
    assert engine.why_not_reached(place.order) is None


def test_host_keys_stay_over_stop_and_start_and_onstart_runs_once_each_time(open_place: OpenPlace) -> None:
    place = open_place(BUSYBOX, onstart="echo ran >> /root/starts; echo $PPID > /root/parent")
    before = fingerprint_of_host(place)
    wait_until(lambda: place.log.count("onstart ended") == 1, 20)
    place.stop()
    assert place.bench.seen(place.order).exit_code == 0
    place.start()
    wait_until(lambda: place.log.count("onstart ended") == 2, 20)
    assert fingerprint_of_host(place) == before
    assert before.split(" ", 1)[1].strip() == place.bench.engine.ssh_host_key(place.order.instance_id)
    assert place.visitor.said("cat /root/starts").split() == ["ran", "ran"]


def test_what_dies_is_reaped_and_sshd_starts_again(open_place: OpenPlace) -> None:
    place = open_place(BUSYBOX)
    place.visitor.said("for i in 1 2 3; do (sleep 0.1 &) ; done")
    (first,) = processes(place, "/.gl/bin/sshd -D")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: "sshd ended with -9 and is started again" in place.log, 20)
    wait_until(lambda: answers(place.visitor.port) and place.visitor.ssh("true").returncode == 0, 20)
    assert place.visitor.ssh("ps | grep '[Zz]ombie'; ps -o stat | grep Z").stdout == ""


def test_a_container_without_room_for_a_process_goes_on_until_there_is(open_place: OpenPlace) -> None:
    place = open_place(BUSYBOX)
    v2 = (GROUP_ROOT / "cgroup.controllers").exists()
    most = GROUP_ROOT / ("" if v2 else "pids") / place.bench.group_of(place.order) / "pids.max"
    before = most.read_text()
    most.write_text("1")
    (sshd,) = processes(place, "/.gl/bin/sshd -D")
    os.kill(sshd, signal.SIGKILL)
    wait_until(lambda: place.log.count("sshd could not be started and is tried again") >= 2, 20)
    most.write_text(before)
    wait_until(lambda: answers(place.visitor.port) and place.visitor.ssh("true").returncode == 0, 20)
    assert place.bench.seen(place.order).status == "running"


def test_a_stop_reaches_every_process_in_time_to_finish(open_place: OpenPlace) -> None:
    script = "trap 'sleep 1; echo finished > /root/end; exit' TERM; while true; do sleep 0.1; done"
    place = open_place(BUSYBOX, onstart=script)
    place.stop()
    place.start()
    assert place.visitor.said("cat /root/end") == "finished"


def test_no_file_of_the_host_is_seen_beside_the_toolkit_and_the_instances_own(
    open_place: OpenPlace, tmp_path: Path
) -> None:
    """Root in the container looks everywhere, also from the mounted folders upwards."""
    (tmp_path / "credentials").write_text("[default]\naws_secret_access_key = planted-and-only-here\n")
    place = open_place(BUSYBOX)
    names = [layout.HOST_KEY_FILE, place.files.probe_key.name, "known_host", "credentials", "docker.sock", "journal"]
    wanted = " -o ".join(f"-name {name}" for name in names)
    found = place.visitor.said(f"find / '(' -path /proc -o -path /sys ')' -prune -o ! -type d '(' {wanted} ')' -print")
    assert found.split() == [f"{layout.INSTANCE}/{layout.HOST_KEY_FILE}"]
    assert "planted" not in place.visitor.said(f"cat {layout.INSTANCE}/../credentials 2>&1; env")


def test_an_instance_that_is_removed_leaves_no_keys(open_place: OpenPlace) -> None:
    place = open_place(BUSYBOX)
    assert oct(place.files.folder.stat().st_mode)[-3:] == "700"
    assert place.files.inside.exists()
    place.bench.engine.remove(place.order.contract_id, place.order.instance_id)
    assert not place.files.folder.exists()
