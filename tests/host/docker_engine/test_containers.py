"""Containers from order to removal, on a real Docker Engine."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from gpulease_host.docker_engine.container_config import CONTRACT_LABEL, HOST_LABEL, INSTANCE_LABEL
from gpulease_host.engine import EngineError, ImageMissingError
from local import images
from local.images import BUSYBOX
from tests.host.docker_engine.bench import Bench, client_of, name_of, wait_until

pytestmark = pytest.mark.docker
IMAGE_WITH_ENTRYPOINT = "gpulease/test-entrypoint:1"


@pytest.fixture(scope="session")
def entrypoint_image(docker_host: str) -> str:
    changes = ['ENTRYPOINT ["echo", "entrypoint"]', 'CMD ["command"]', "ENV NVIDIA_VISIBLE_DEVICES=all"]
    images.build(client_of(docker_host), IMAGE_WITH_ENTRYPOINT, changes=changes)
    return IMAGE_WITH_ENTRYPOINT


@pytest.mark.parametrize(
    ("entrypoint", "args", "said"),
    [
        (None, None, "entrypoint command\n"),
        (None, ["other"], "entrypoint other\n"),
        (["echo", "mine"], None, "mine\n"),
        (["echo", "mine"], ["too"], "mine too\n"),
    ],
)
def test_entrypoint_and_args_are_as_docker_has_them(
    bench: Bench, entrypoint_image: str, entrypoint: list[str] | None, args: list[str] | None, said: str
) -> None:
    order = bench.order(image=entrypoint_image)
    bench.start(order, *(args or ()), entrypoint=entrypoint)
    bench.exited(order)
    assert bench.client.logs(name_of(order)).decode() == said


def test_the_environment_is_the_clients_without_what_would_choose_gpus_or_libraries(bench: Bench) -> None:
    order = bench.order(gpu=2)
    env = {"A": "b c", "NVIDIA_VISIBLE_DEVICES": "all", "nvidia_x": "1", "LD_PRELOAD": "/x.so"}
    bench.start(order, "env", env=env)
    bench.exited(order)
    said = dict(line.split("=", 1) for line in bench.client.logs(name_of(order)).decode().splitlines())
    assert said["A"] == "b c"
    assert said["NVIDIA_VISIBLE_DEVICES"] == bench.gpus.gpus()[2].uuid
    assert not {"nvidia_x", "LD_PRELOAD"} & said.keys()


def test_an_image_that_asks_for_all_gpus_gets_its_own(bench: Bench, entrypoint_image: str) -> None:
    order = bench.order(image=entrypoint_image, gpu=3)
    bench.start(order, entrypoint=["sh", "-c", "echo $NVIDIA_VISIBLE_DEVICES"])
    bench.exited(order)
    assert bench.client.logs(name_of(order)).decode().strip() == bench.gpus.gpus()[3].uuid


def test_an_image_says_nothing_that_a_client_may_not(bench: Bench, docker_host: str) -> None:
    """Read where the hook reads it: in the container's first environment."""
    of_image = {"LD_PRELOAD": "/proc/self/cwd/x.so", "NVIDIA_IMEX_CHANNELS": "0", "NVIDIA_MIG_CONFIG_DEVICES": "all"}
    kept = {"LD_LIBRARY_PATH": "/usr/local/nvidia/lib", "NVIDIA_DRIVER_CAPABILITIES": "compute", "OF_IMAGE": "1"}
    changes = [f"ENV {name}={value}" for name, value in {**of_image, **kept}.items()]
    images.build(client_of(docker_host), "gpulease/test-variables:1", changes=changes)
    order = bench.order(image="gpulease/test-variables:1")
    for _ in range(2):
        bench.start(order, "env")
        bench.exited(order)
    said = [line for line in bench.client.logs(name_of(order)).decode().splitlines()]
    assert [said.count(f"{name}={value}") for name, value in kept.items()] == [2, 2, 2]
    assert not {line.partition("=")[0] for line in said} & of_image.keys()


def test_an_image_that_says_too_much_of_itself_is_refused(bench: Bench, docker_host: str) -> None:
    """Docker repeats its labels in every list of containers."""
    name = "gpulease/test-much:1"
    images.build(client_of(docker_host), name, changes=[f"LABEL x{each}={'y' * 4000}" for each in range(70)])
    with pytest.raises(ImageMissingError, match="more than 256 KiB"):
        bench.start(bench.order(image=name), "true")


def test_the_gpu_hook_gets_exactly_the_ordered_gpus(own_bench: Bench) -> None:
    order = own_bench.order(gpu=1)
    container_id = own_bench.start(order, "sleep", "600")
    directory = _hook_directory(own_bench)
    holders = {gpu.uuid: (directory / gpu.uuid) for gpu in own_bench.gpus.gpus()}
    given = [uuid for uuid, file in holders.items() if file.exists() and container_id in file.read_text()]
    assert given == [own_bench.gpus.gpus()[1].uuid]


def test_a_gpu_nobody_declared_is_refused_and_leaves_no_running_container(own_bench: Bench) -> None:
    order = own_bench.order()
    own_bench.start(order, "true")
    own_bench.exited(order)
    (_hook_directory(own_bench) / order.gpus[0].uuid).unlink()
    with pytest.raises(Exception, match="unknown device"):
        own_bench.client.start(name_of(order))


def test_a_gpu_is_dirty_while_a_container_runs_on_it(bench: Bench) -> None:
    order = bench.run("sleep", "600", gpu=1)
    assert [check.clean for check in bench.engine.gpu_checks()] == [True, False, True, True]
    assert f"instance {order.instance_id}" in (bench.engine.gpu_checks()[1].reason or "")
    bench.engine.stop(order.instance_id, grace_s=0)
    assert all(check.clean for check in bench.engine.gpu_checks())


def test_privileges_are_the_listed_few(bench: Bench) -> None:
    order = bench.run("sleep", "600")
    status = Path(f"/proc/{bench.pids(order)[0]}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"
    # CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, KILL 5, SETGID 6, SETUID 7, NET_BIND_SERVICE 10, SYS_CHROOT 18, AUDIT_WRITE 29
    assert int(fields["CapBnd"], 16) == sum(1 << bit for bit in (0, 1, 3, 5, 6, 7, 10, 18, 29))


@pytest.mark.parametrize(("command", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137)])
def test_exit_codes_come_through_and_nothing_restarts(bench: Bench, command: str, code: int) -> None:
    order = bench.run("sh", "-c", command)
    ended = bench.exited(order)
    if command.startswith("kill"):  # the first process of a container ignores its own signals
        assert ended.exit_code in (0, code)
    else:
        assert ended.exit_code == code
    assert not ended.oom_killed


def test_start_again_keeps_the_data_and_start_twice_changes_nothing(bench: Bench) -> None:
    order = bench.run("sleep", "600")
    bench.sh(order, "echo kept > /file")
    before = bench.start(order, "sleep", "600")
    bench.engine.stop(order.instance_id, grace_s=0)
    assert bench.seen(order).status == "exited"
    assert bench.start(order, "sleep", "600") == before
    assert bench.sh(order, "cat /file") == (0, "kept\n")


def test_two_threads_that_start_one_order_make_one_container(bench: Bench) -> None:
    order = bench.order()
    failures: list[EngineError] = []

    def start() -> None:
        try:
            bench.start(order, "sleep", "600")
        except EngineError as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert bench.seen(order).status == "running"


def test_what_a_container_is_can_be_told_from_docker_alone(bench: Bench) -> None:
    order = bench.run("sleep", "600", generation=4, token=9, gpu=2)
    seen = bench.seen(order)
    assert (seen.contract_id, seen.generation, seen.token) == (order.contract_id, 4, 9)
    assert seen.gpus == (bench.gpus.gpus()[2].uuid,)
    assert seen.started_at is not None
    assert abs(time.time() - seen.started_at) < 30


def test_a_container_with_some_of_our_labels_decides_nothing_for_others(bench: Bench) -> None:
    """As one that somebody runs by hand, from an image that was committed of ours."""
    order = bench.run("sleep", "600")
    labels = bench.client.inspect_container(name_of(order))["Config"]["Labels"]
    damaged = labels | {INSTANCE_LABEL: "none", CONTRACT_LABEL: "none"}
    for found in (damaged, {HOST_LABEL: labels[HOST_LABEL]}):
        made = bench.client.create_container(BUSYBOX, ["sleep", "600"], labels=found)["Id"]
        try:
            bench.client.start(made)
            assert [each.instance_id for each in bench.engine.containers()] == [order.instance_id]
            assert next(bench.engine.events()) == order.instance_id
            assert bench.engine.gpu_checks()
            assert bench.engine.watch({order.instance_id: order.limits}) == []
        finally:
            bench.client.remove_container(made, force=True)


def test_remove_leaves_nothing_and_may_be_repeated(bench: Bench) -> None:
    order = bench.run("sleep", "600")
    for _ in range(2):
        bench.engine.remove(order.contract_id, order.instance_id)
    assert bench.leftovers(order) == []
    bench.engine.stop(order.instance_id)


def test_the_network_stays_for_the_other_instance_even_if_that_is_stopped(bench: Bench) -> None:
    first = bench.run("sleep", "600")
    second = bench.run("sleep", "600", contract_id=first.contract_id, gpu=1)
    bench.engine.stop(first.instance_id, grace_s=0)
    bench.engine.remove(second.contract_id, second.instance_id)
    bench.start(first, "sleep", "600")
    assert bench.seen(first).status == "running"


def test_an_image_that_is_not_to_be_had_says_dockers_reason_and_leaves_nothing(bench: Bench) -> None:
    order = bench.order(image="127.0.0.1:9/no/such:1")
    with pytest.raises(ImageMissingError, match=r"127\.0\.0\.1:9"):
        bench.start(order, "true")
    assert bench.leftovers(order) == []


def test_a_program_that_is_not_in_the_image_is_an_error_with_its_reason(bench: Bench) -> None:
    order = bench.order()
    with pytest.raises(EngineError, match="no-such-program"):
        bench.start(order, "no-such-program")
    assert bench.seen(order).status != "running"


def test_events_name_the_instance_that_ended(bench: Bench) -> None:
    order = bench.order()
    seen: list[int] = []
    ended = threading.Event()

    def listen() -> None:
        for instance_id in bench.engine.events():
            seen.append(instance_id)
            if ended.is_set() and instance_id == order.instance_id:
                return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    bench.start(order, "sleep", "600")
    wait_until(lambda: order.instance_id in seen, 10)
    ended.set()
    bench.client.kill(name_of(order))
    thread.join(10)
    assert not thread.is_alive()


def test_the_inventory_says_what_this_machine_has(bench: Bench) -> None:
    inventory = bench.engine.inventory()
    assert len(inventory["gpus"]) == 4
    assert inventory["simulated"]
    assert inventory["memory_bytes"] == 400 << 20
    assert inventory["cgroup_version"] in (1, 2)
    assert "network" in inventory["unenforced"]


def _hook_directory(bench: Bench) -> Path:
    labels = [label.partition("=") for label in bench.client.info()["Labels"]]
    return Path(next(value for name, _, value in labels if name == "gpulease.simulated-gpus"))


ZOMBIES = "grep -l 'State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l"


@pytest.mark.parametrize("init", [True, False])
def test_init_reaps_what_commands_leave_behind(bench: Bench, init: bool) -> None:
    order = bench.run("sleep", "60", init=init)
    for _ in range(3):
        bench.engine.run_command(order.instance_id, ["sh", "-c", "sleep 0.1 &"], 10)
    first = bench.sh(order, "cat /proc/1/comm")[1].strip()
    assert first == ("docker-init" if init else "sleep")
    wait_until(lambda: bench.sh(order, ZOMBIES)[1].strip() == ("0" if init else "3"), 20)


def test_what_somebody_stops_through_docker_is_known_as_that_until_its_next_start(bench: Bench) -> None:
    threading.Thread(target=lambda: list(bench.engine.events()), daemon=True).start()
    order = bench.order()
    bench.start(order, "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")
    wait_until(lambda: "trap" in bench.sh(order, "cat /proc/1/cmdline")[1], 20)
    bench.client.stop(name_of(order), timeout=20)
    wait_until(lambda: bench.seen(order).is_killed, 20)
    assert bench.seen(order).exit_code == 0
    bench.start(order)
    assert not bench.seen(order).is_killed
