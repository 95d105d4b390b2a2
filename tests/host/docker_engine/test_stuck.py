"""A container on which Docker hangs: it is seen, stopped and told apart from the others, on the kernel's word.

The container makes a FIFO of its /etc/passwd. At the next exec a process in the container opens it; at the next start
it is Docker itself, with the container's lock in its hand.
"""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from gpulease_host.docker_engine import docker_api, fifos
from gpulease_host.engine import Order, StuckError
from tests.host.docker_engine.bench import Bench, client_of, name_of, wait_until
from tests.host.docker_engine.private_docker import PrivateDocker

pytestmark = pytest.mark.docker
BLOCK = "rm /etc/passwd; mkfifo /etc/passwd"
BLOCK_BY_LINK = "rm /etc/passwd; mkfifo /root/f; ln -s ../../../root/f /etc/passwd"
WAIT = "trap 'echo ended > /told; exit' TERM; touch /ready; while true; do sleep 0.1; done"


@pytest.fixture
def bench(private_docker: PrivateDocker, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(docker_api, "LOOK_TIMEOUT_S", 2)
    return private_docker.bench


@pytest.fixture
def unaided(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start hangs for as long as Docker is waited for."""
    monkeypatch.setattr(docker_api, "START_TIMEOUT_S", 3)
    monkeypatch.setattr(fifos, "EVERY_S", 600)


def run_blocked(bench: Bench, block: str = BLOCK) -> Order:
    order = bench.run("sh", "-c", f"{block}; {WAIT}")
    wait_until(lambda: _exists(bench, order, "/ready"), 20)
    return order


def run_and_hang(bench: Bench) -> Order:
    order = run_blocked(bench)
    threading.Thread(target=_exec, args=(bench, order), daemon=True).start()
    wait_until(lambda: bench.seen(order).hangs is not None, 30)
    return order


def start_and_hang(bench: Bench, block: str = BLOCK) -> Order:
    order = run_blocked(bench, block)
    bench.engine.stop(order.instance_id, 0)
    with pytest.raises(StuckError):
        bench.start(order)
    return order


def _exec(bench: Bench, order: Order) -> None:
    client = client_of(bench.docker_host)
    with suppress(Exception):
        client.exec_start(client.exec_create(name_of(order), ["true"])["Id"])


def _exists(bench: Bench, order: Order, path: str) -> bool:
    try:
        return bool(bench.client.get_archive(name_of(order), path))
    except Exception:  # noqa: BLE001 - not yet
        return False


def _let_go(bench: Bench, order: Order) -> None:
    """What a person does who knows the trick."""
    container_id = bench.engine._known.id_of(order.instance_id)
    assert container_id is not None
    root = bench.engine._machine.storage.root_directory(container_id)
    assert root is not None

    def is_free() -> bool:
        fifos.open_once(root)
        return name_of(order) not in bench.engine._api.stuck

    wait_until(is_free, 20)


def test_one_in_which_an_exec_hangs_is_seen_beside_the_others_and_ended_with_its_grace(bench: Bench) -> None:
    order, other = run_and_hang(bench), bench.run("sleep", "600", gpu=1)
    seen = bench.seen(order)
    assert (seen.status, seen.gpus) == ("running", (order.gpus[0].uuid,))
    assert "Docker hangs" in (seen.hangs or "")
    assert (bench.seen(other).status, bench.seen(other).hangs) == ("running", None)
    assert not bench.engine.gpu_checks()[0].clean
    bench.engine.stop(order.instance_id, 5)
    assert bench.pids(order) == []
    assert bench.seen(order).status == "exited"
    assert bench.engine.gpu_checks()[0].clean
    wait_until(lambda: bench.seen(order).hangs is None, 30)
    assert _exists(bench, order, "/told"), "it had its grace"
    bench.engine.remove(order.contract_id, order.instance_id)
    assert bench.leftovers(order) == []


@pytest.mark.parametrize("block", [BLOCK, f"{BLOCK}; rm /etc/group; mkfifo /etc/group"])
def test_a_command_that_waits_for_such_a_file_leaves_docker_free(bench: Bench, block: str) -> None:
    order = bench.run("sh", "-c", f"{block}; echo ready; exec sleep 600")
    wait_until(lambda: b"ready" in bench.client.logs(name_of(order)), 20)
    for _ in range(3):
        assert bench.engine.run_command(order.instance_id, ["true"], 1)["exit_code"] is None
        assert bench.seen(order).hangs is None
    assert [each for each in threading.enumerate() if each.name == "exec"] == []


def test_one_that_docker_would_hang_in_starts_all_the_same(bench: Bench) -> None:
    order = run_blocked(bench)
    bench.engine.stop(order.instance_id, 0)
    bench.start(order)
    assert (bench.seen(order).status, bench.seen(order).hangs) == ("running", None)


@pytest.mark.usefixtures("unaided")
def test_one_that_docker_cannot_be_made_to_let_go_of_counts_as_ended_on_the_kernels_word(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.engine._stops, "_free", lambda _container_id: None)
    order, other = start_and_hang(bench), bench.run("sleep", "600", gpu=1)
    bench.engine.stop(order.instance_id, 1)
    seen = bench.seen(order)
    assert (seen.status, seen.hangs is None) == ("exited", False)
    assert [check.clean for check in bench.engine.gpu_checks()] == [True, False, True, True]
    with pytest.raises(StuckError):
        bench.engine.remove(order.contract_id, order.instance_id)
    bench.engine.remove(other.contract_id, other.instance_id)
    _let_go(bench, order)
    bench.engine.stop(order.instance_id, 0)


@pytest.mark.usefixtures("unaided")
@pytest.mark.parametrize("block", [BLOCK, pytest.param(BLOCK_BY_LINK, marks=pytest.mark.slow)])
def test_a_start_in_which_docker_hangs_is_not_left_under_way(bench: Bench, block: str) -> None:
    order = start_and_hang(bench, block)
    bench.engine.stop(order.instance_id, 1)
    assert bench.pids(order) == []
    assert bench.seen(order).hangs is None
    bench.engine.remove(order.contract_id, order.instance_id)
    assert bench.leftovers(order) == []
