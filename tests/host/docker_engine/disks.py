"""What the tests of disks need of the Docker that runs: its driver, and containers as an earlier version made them."""

from __future__ import annotations

import pytest

from gpulease_host.docker_engine.container_config import Surroundings, container_config
from gpulease_host.docker_engine.storage import Storage
from gpulease_host.engine import Order, Secrets
from tests.host.docker_engine.bench import Bench, name_of


def storage_of_bench(bench: Bench) -> Storage:
    return bench.engine._machine.storage


def need_driver(bench: Bench, *drivers: str) -> None:
    driver = storage_of_bench(bench).driver
    if driver not in drivers:
        pytest.skip(f"Docker's storage driver is {driver}, not {' or '.join(drivers)}")


def need_enforcement(bench: Bench) -> None:
    storage = storage_of_bench(bench)
    if not storage.enforced:
        pytest.skip(f"Docker's storage driver {storage.driver} enforces no size on {storage.data_root}")


def run_unguarded(bench: Bench) -> Order:
    """A container with its limit, under Docker's own seccomp profile."""
    order, storage = bench.order(), storage_of_bench(bench)
    bench.made.append(order)
    image = bench.client.inspect_image(order.image)
    surroundings = Surroundings(
        host_id=bench.engine._host_id,
        network="bridge",
        cgroup_parent=bench.engine._tenants.docker_parent,
        cpu_shares=256,
        gpus_by_request=False,
        size_option=storage.size_option(order.limits.disk_bytes, int(image["Size"])),
        publish_address="127.0.0.1",
        takes_seccomp=False,
    )
    config = container_config(order, Secrets(args=["sleep", "600"]), surroundings)
    made = bench.client.create_container_from_config(config, name_of(order))
    storage.limit(made["Id"], order.limits.disk_bytes)
    bench.client.start(made["Id"])
    return order
