"""A machine with systemd as a host, from the line that its owner pastes to the reboots that it must survive.

The tests build on one another, in the order of the file: a guest is too slow to join anew for each.
"""

from __future__ import annotations

import json
import time
from typing import Any

from local.images import BUSYBOX
from tests.vm.guest import GuestError, Login, wait_until
from tests.vm.outside.conftest import GPUS, PYTHON, Service, list_host, paste, prepare_stand_in

OBEDIENT = ["sh", "-c", "trap exit TERM; sleep 3600 & wait"]
DOCKER = "unix:///var/run/docker.sock"
KEY = "/root/visitor"
DAY_S = 86_400
RTC_SET_TIME = 0x4024700A  # of linux/rtc.h
READ_LIMITS = (
    "import json, dataclasses; from local.demo.readings import read_limits; "
    "print(json.dumps(dataclasses.asdict(read_limits('{docker}', {instance}))))"
)


def limits_of(guest: Login, contract: dict[str, Any]) -> dict[str, Any]:
    """Read from the guest's kernel."""
    program = READ_LIMITS.format(docker=DOCKER, instance=contract["instances"][0]["id"])
    read: dict[str, Any] = json.loads(guest.output(f'{PYTHON} -c "{program}"'))
    return read


def over_ssh(guest: Login, contract: dict[str, Any], command: str) -> str:
    """As the client whose key it is, at the published port; the host key must be the one that the API tells."""
    access = contract["instances"][0]["access"]["ssh"]
    way = access["direct"]
    guest.write("/root/known_hosts", f"[{way['address']}]:{way['port']} {access['host_key']}\n")
    options = f"-F /dev/null -i {KEY} -o UserKnownHostsFile=/root/known_hosts -o BatchMode=yes -o ConnectTimeout=60"
    return guest.output(f"ssh {options} -p {way['port']} {way['user']}@{way['address']} {command!r}")


def over_ssh_once_up(service: Service, command: str) -> str:
    """What it said, or nothing while the instance is still on its way up."""
    try:
        return over_ssh(service.guest, service.await_instance("ssh", "running"), command)
    except GuestError:
        return ""


def set_hardware_clock(guest: Login, at: float) -> None:
    """What the machine comes up with. There is no program for it in a minimal Debian 13."""
    program = "import fcntl, struct, sys, time; t = time.gmtime(float(sys.argv[1])); clock = open('/dev/rtc0', 'wb'); "
    program += "fields = (t.tm_sec, t.tm_min, t.tm_hour, t.tm_mday, t.tm_mon - 1, t.tm_year - 1900, 0, 0, 0); "
    program += f"fcntl.ioctl(clock, {RTC_SET_TIME}, struct.pack('9i', *fields))"
    guest.run(f'python3 -c "{program}" {at}')


def clock_ahead_s(guest: Login) -> float:
    return float(guest.output("date +%s")) - time.time()


def containers(guest: Login, *, all_states: bool) -> list[str]:
    """Their names, asked of Docker itself: Debian 13 has its command line in a package of its own."""
    path = f"http://docker/containers/json?all={int(all_states)}"
    listed = json.loads(guest.output(f"curl -fsS --unix-socket /var/run/docker.sock '{path}'"))
    return [name for each in listed for name in each["Names"]]


def check_limits(guest: Login, contract: dict[str, Any]) -> None:
    read, share = limits_of(guest, contract), contract["share"]
    assert read["cpu_weight"] == 1000 // GPUS
    assert read["memory_baseline"] == share["memory_baseline_bytes"] // 4096 * 4096
    assert (read["pids"], read["cpu_cap"], read["shm_bytes"]) == (share["pids"], "none", share["shm_bytes"])


def test_the_pasted_line_makes_the_guest_a_host(service: Service) -> None:
    prepare_stand_in(service)
    program = f"from local import images; images.ensure('{DOCKER}')"
    service.guest.run(f'{PYTHON} -c "{program}"')
    admission = service.owner.post("/v1/hosts", {"label": "guest"})
    said = paste(service, admission["install"])
    assert f"Done: this machine is host {admission['id']}." in said.splitlines()[-1]
    service.host_id = admission["id"]
    host = service.await_report(0)
    assert (host["status"], len(host["inventory"]["gpus"]), host["inventory"]["cgroup_version"]) == ("active", GPUS, 2)
    assert service.guest.output("systemctl is-enabled gpulease-host") == "enabled"
    list_host(service)


def test_a_container_has_its_share_of_the_machine(service: Service) -> None:
    contract = service.rent("plain", image=BUSYBOX, args=OBEDIENT, duration_s=7200)
    check_limits(service.guest, contract)


def test_ssh_leads_into_a_bare_image(service: Service) -> None:
    service.guest.run(f"ssh-keygen -q -t ed25519 -N '' -f {KEY}")
    keys = [service.guest.output(f"cat {KEY}.pub")]
    contract = service.rent("ssh", image=BUSYBOX, mode="ssh", ssh_keys=keys, duration_s=7200)
    assert over_ssh(service.guest, contract, "echo kept >/root/file; whoami") == "root"


def test_limits_survive_systemds_reload(service: Service) -> None:
    service.guest.run("systemctl daemon-reload")
    time.sleep(5)  # the daemon looks each second
    check_limits(service.guest, service.show("plain"))


def test_containers_run_on_while_docker_and_the_daemon_restart(service: Service) -> None:
    before = limits_of(service.guest, service.show("plain"))["pid"]
    since = time.time()
    service.guest.run("systemctl restart docker && systemctl restart gpulease-host")
    service.await_report(since + 1)
    assert limits_of(service.guest, service.await_instance("plain", "running"))["pid"] == before
    check_limits(service.guest, service.show("plain"))


def test_stop_and_start_keep_the_files(service: Service) -> None:
    path = f"/v1/contracts/{service.contracts['ssh']['id']}"
    service.client.post(f"{path}/stop")
    service.await_instance("ssh", "stopped")
    service.client.post(f"{path}/start")
    contract = service.await_instance("ssh", "running")
    assert over_ssh(service.guest, contract, "cat /root/file") == "kept"


def test_a_reboot_with_a_wrong_clock_brings_back_what_holds_lease_and_time(service: Service) -> None:
    """Nothing sets it before the contracts run again. Another contract's end falls into the reboot."""
    service.rent("short", image=BUSYBOX, args=OBEDIENT, duration_s=120)
    before, since = service.show("ssh"), time.time()
    set_hardware_clock(service.guest, time.time() + 3 * DAY_S)
    service.reboot()
    assert clock_ahead_s(service.guest) > 2 * DAY_S
    service.await_report(since + 30)
    after = service.await_instance("ssh", "running")
    assert after["instances"][0]["access"]["ssh"] == before["instances"][0]["access"]["ssh"]
    wait_until(lambda: over_ssh_once_up(service, "cat /root/file") == "kept", "Nobody gets in any more.")
    check_limits(service.guest, service.await_instance("plain", "running"))
    ended = service.await_instance("short", "stopped")  # within the grace, which outlasts the test
    assert ended["status"] == "expired"
    assert f"/gpulease-{ended['id']}" not in containers(service.guest, all_states=False)
    assert clock_ahead_s(service.guest) > 2 * DAY_S
    assert "3 days ahead" in service.guest.output("gpulease-host status")


def test_a_clock_that_is_set_right_ends_nothing(service: Service) -> None:
    service.guest.run(f"date -s @{time.time():.0f}")
    service.await_report(time.time() + 15)
    wait_until(lambda: "ahead" not in service.guest.output("gpulease-host status"), "It still says that it is wrong.")
    assert over_ssh(service.guest, service.await_instance("ssh", "running"), "cat /root/file") == "kept"
    check_limits(service.guest, service.await_instance("plain", "running"))


def test_an_early_end_leaves_nothing_of_the_contract(service: Service) -> None:
    names = [name for name in service.contracts if name != "short"]
    ended = [service.show(name) for name in names]
    for name, contract in zip(names, ended, strict=True):
        service.client.delete(f"/v1/contracts/{contract['id']}")
        service.await_instance(name, "removed")
    there = containers(service.guest, all_states=True)
    assert not [each for each in ended if f"/gpulease-{each['id']}" in there]
