"""The share of a container, as the kernel holds it to it."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gpulease_host.engine import HostFaultError, Order
from tests.host.docker_engine.bench import GROUP_ROOT, MIB, SMALL, Bench, cpu_seconds, wait_until

pytestmark = pytest.mark.docker
SLOWER = 4 if "GPULEASE_IN_GUEST" in os.environ else 1
STARTED_S = 6 if SLOWER == 1 else 60
"""By then both run."""
BUSY_S = 9 * SLOWER
SETTLE_S = 1 * SLOWER


def test_one_of_four_gpus_is_a_quarter_of_cpu_weight_and_ram_and_no_cpu_cap(bench: Bench) -> None:
    order = bench.run("sleep", "600")
    v2 = (GROUP_ROOT / "cgroup.controllers").exists()
    assert int(bench.read(order, "cpu/cpu.shares", "cpu.weight")) == (250 if v2 else 1024 // 4)
    assert bench.read(order, "cpu/cpu.cfs_quota_us", "cpu.max").split()[0] in ("-1", "max")
    assert int(bench.read(order, "memory/memory.soft_limit_in_bytes", "memory.low")) == 100 * MIB
    assert int(bench.read(order, "memory/memory.limit_in_bytes", "memory.max")) == 400 * MIB
    assert bench.sh(order, "nproc") == (0, f"{os.cpu_count()}\n")


def test_no_swap_beyond_the_memory_limit(bench: Bench) -> None:
    order = bench.run("sleep", "600")
    if not (GROUP_ROOT / "cgroup.controllers").exists():
        assert int(bench.read(order, "memory/memory.memsw.limit_in_bytes", "")) == 400 * MIB
    else:
        assert bench.read(order, "", "memory.swap.max") == "0"


def test_tenants_together_weigh_ten_times_the_rest_and_have_their_memory(bench: Bench) -> None:
    bench.run("sleep", "600")
    v2 = (GROUP_ROOT / "cgroup.controllers").exists()
    cpu, memory = (GROUP_ROOT, GROUP_ROOT) if v2 else (GROUP_ROOT / "cpu", GROUP_ROOT / "memory")
    weight = int((cpu / bench.group / ("cpu.weight" if v2 else "cpu.shares")).read_text())
    limit = int((memory / bench.group / ("memory.max" if v2 else "memory.limit_in_bytes")).read_text())
    assert weight >= 10 * (100 if v2 else 1024)
    assert limit == 400 * MIB
    if v2:
        assert int((memory / bench.group / "memory.low").read_text()) == limit, "baselines count up to that"
        assert (memory / bench.group / "pids.max").read_text() == "max\n"


def test_contended_cpu_follows_the_shares_and_idle_cpu_is_free(bench: Bench) -> None:
    """Both begin together, and the larger ends first: nothing has to be started or stopped on a busy machine."""
    begin = int(time.time()) + STARTED_S
    small = bench.run("sh", "-c", _burn(begin, 2 * BUSY_S))
    large = bench.run("sh", "-c", _burn(begin, BUSY_S), limits=replace(SMALL, cpu_weight_permille=750))
    # Asked before they are busy: what is left of a small machine answers too late.
    of_small, of_large = bench.group_of(small), bench.group_of(large)
    small_rate, large_rate = _cpu_rates(begin, of_small, of_large)
    assert large_rate / small_rate == pytest.approx(3.0, rel=0.10)
    (alone_rate,) = _cpu_rates(begin + BUSY_S, of_small)
    assert alone_rate > 2.5 * small_rate, "alone it takes what the other had"


def test_a_weight_changed_by_a_foreign_hand_is_put_right(bench: Bench) -> None:
    order = bench.run("sleep", "600")
    v2 = (GROUP_ROOT / "cgroup.controllers").exists()
    name = bench.group_of(order)
    file = GROUP_ROOT / name / "cpu.weight" if v2 else GROUP_ROOT / "cpu" / name / "cpu.shares"
    before = file.read_text()
    file.write_text("512")
    bench.engine.hold({order.instance_id: order.limits})
    assert file.read_text() == before


def test_a_limit_that_the_kernel_holds_differently_ends_the_container(bench: Bench) -> None:
    order = bench.order(SMALL)
    bench.start(order, "sleep", "600")
    other = replace(order, limits=replace(SMALL, memory_baseline_bytes=200 * MIB))
    with pytest.raises(HostFaultError, match="limits_refused"):
        bench.start(other, "sleep", "600")
    assert bench.seen(order).status == "exited"


def test_shared_memory_has_the_size_of_the_share(bench: Bench) -> None:
    order = bench.run("sleep", "600")
    status, output = bench.sh(order, "df -k /dev/shm | tail -1")
    assert (status, output.split()[1]) == (0, str(64 * 1024))


def test_the_process_limit_is_hit(bench: Bench) -> None:
    order = bench.run("sleep", "600", limits=replace(SMALL, pids=20))
    bench.sh(order, "for i in $(seq 40); do sleep 50 & done")
    assert int(bench.read(order, "pids/pids.current", "pids.current")) <= 20
    assert int(bench.read(order, "pids/pids.max", "pids.max")) == 20


def test_of_two_under_memory_pressure_the_one_above_its_share_dies(bench: Bench) -> None:
    innocent = _holder(bench, baseline_mib=300, script=_hold(250))
    offender = _holder(bench, baseline_mib=100, script=f"{_hold(120)} & sleep 2; {_hold(80)}")
    _watch_until_killed(bench, innocent, offender)
    assert bench.oom_kills(innocent) == 0
    assert _resident_mib(bench, innocent) >= 250, "the larger one, within its share, lives"


def test_of_two_under_memory_pressure_many_small_processes_die_too(bench: Bench) -> None:
    innocent = _holder(bench, baseline_mib=300, script=_hold(250))
    many = (
        "for i in $(seq 16); do " + _hold(8) + " & done; sleep 2; for i in $(seq 10); do " + _hold(8) + " & done; wait"
    )
    offender = _holder(bench, baseline_mib=100, script=many)
    _watch_until_killed(bench, innocent, offender)
    assert bench.oom_kills(innocent) == 0
    assert _resident_mib(bench, innocent) >= 250


def test_one_that_fills_memory_at_once_dies_and_only_it_is_said_to_have_run_out(bench: Bench) -> None:
    innocent = _holder(bench, baseline_mib=300, script=_hold(250))
    offender = bench.order(replace(SMALL, memory_baseline_bytes=20 * MIB))
    bench.start(offender, "tail", "/dev/zero")
    died = bench.exited(offender)
    assert (died.exit_code, died.oom_killed) == (137, True)
    bench.engine.stop(innocent.instance_id, grace_s=0)
    ended = bench.exited(innocent)
    assert (ended.exit_code, ended.oom_killed) == (137, False)


def test_marks_come_above_the_baseline_and_go_below_it(bench: Bench) -> None:
    order = _holder(bench, baseline_mib=50, script=f"{_hold(80)} & sleep 1000")
    bench.engine.hold({order.instance_id: order.limits})
    wait_until(lambda: _marks(bench, order) == {"1000"}, 5)
    holder = max(bench.pids(order), key=_rss_mib)
    os.kill(holder, 9)
    wait_until(lambda: _marks(bench, order) == {"0"}, 5)


def test_file_cache_is_no_excess(bench: Bench) -> None:
    """The kernel drops it before it kills anyone."""
    order = bench.run("sleep", "600", limits=replace(SMALL, memory_baseline_bytes=20 * MIB))
    status, _ = bench.sh(order, "dd if=/dev/zero of=/file bs=1M count=40 && sync && cat /file > /dev/null")
    assert status == 0
    assert int(bench.read(order, "memory/memory.usage_in_bytes", "memory.current")) > 30 * MIB
    bench.engine.hold({order.instance_id: order.limits})
    assert _marks(bench, order) == {"0"}


def _burn(begin: int, busy_s: int) -> str:
    """One busy thread for each core, from `begin` (epoch seconds) on, for so long."""
    await_begin = f"while [ $(date +%s) -lt {begin} ]; do sleep 0.05; done"
    return f"{await_begin}; for core in $(seq $(nproc)); do timeout {busy_s} yes > /dev/null & done; wait"


def _cpu_rates(begin: int, *groups: str) -> list[float]:
    """CPUs that each used, over the middle of a busy time."""
    time.sleep(max(0.0, begin + SETTLE_S - time.time()))
    before, started = [cpu_seconds(group) for group in groups], time.monotonic()
    time.sleep(BUSY_S - 3 * SETTLE_S)
    after, elapsed_s = [cpu_seconds(group) for group in groups], time.monotonic() - started
    return [(end - start) / elapsed_s for start, end in zip(before, after, strict=True)]


def _hold(mib: int) -> str:
    """dd fills one buffer of this size and blocks on the pipe: a process that holds memory and does nothing."""
    return f"dd if=/dev/zero bs={mib}M count=1 2>/dev/null | sleep 1000"


def _holder(bench: Bench, *, baseline_mib: int, script: str) -> Order:
    order = bench.run("sh", "-c", script, limits=replace(SMALL, memory_baseline_bytes=baseline_mib * MIB))
    time.sleep(0.5)
    return order


def _watch_until_killed(bench: Bench, innocent: Order, offender: Order) -> None:
    limits = {order.instance_id: order.limits for order in (innocent, offender)}

    def killed() -> bool:
        bench.engine.hold(limits)
        return bench.oom_kills(offender) > 0

    wait_until(killed, 15)


def _resident_mib(bench: Bench, order: Order) -> int:
    return sum(_rss_mib(pid) for pid in bench.pids(order))


def _rss_mib(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // MIB


def _marks(bench: Bench, order: Order) -> set[str]:
    return {Path(f"/proc/{pid}/oom_score_adj").read_text().strip() for pid in bench.pids(order)}
