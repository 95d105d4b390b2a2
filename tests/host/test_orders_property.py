"""Whatever is doubled, late or out of order: what is in the end depends only on each instance's highest generation."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gpulease_host.engine import Desired, Order
from gpulease_host.journal import Journal
from tests.host.orders import HOST_ID, NOW, order
from tests.host.rig import Rig


@contextmanager
def fresh_rig() -> Iterator[Rig]:
    with tempfile.TemporaryDirectory() as folder:
        Journal.create(Path(folder) / "journal", HOST_ID)
        yield Rig(Path(folder)).boot()


@st.composite
def lives(draw: st.DrawFn) -> list[Order]:
    """One instance's orders, as a control plane makes them: starts, extensions, stops, and at most one end."""
    wants = draw(st.lists(st.sampled_from(["start", "extend", "stop"]), min_size=1, max_size=6))
    ends = draw(st.booleans())
    orders: list[Order] = []
    token, end_at, desired = 0, NOW + 3600, "stopped"
    for generation, want in enumerate([*wants, *(["end"] if ends else [])], start=1):
        if want == "start" and desired != "running":
            token += 1
        if want == "extend":
            end_at += 600
        desired = {"start": "running", "stop": "stopped", "end": "absent", "extend": desired}[want]
        orders.append(_order(generation, desired, token, end_at))
    return orders


def _order(generation: int, desired: str, token: int, end_at: int) -> Order:
    wanted: Desired = "running" if desired == "running" else "absent" if desired == "absent" else "stopped"
    return order(generation=generation, desired=wanted, token=token, end_at=end_at)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_final_state_depends_only_on_the_highest_generation(data: st.DataObject) -> None:
    life = data.draw(lives())
    arrivals = data.draw(st.permutations(life + data.draw(st.lists(st.sampled_from(life), max_size=4))))
    with fresh_rig() as rig:
        for each in arrivals:
            rig.command(each)
            if data.draw(st.booleans()):
                rig.drain()
            if data.draw(st.integers(0, 9)) == 0:
                rig.api.orders = [rig.record().order]
                rig.boot()
        rig.drain()
        last = life[-1]
        assert rig.record().order == last
        assert rig.instance()["generation"] == last.generation
        assert rig.engine.is_running(11) == (last.desired == "running")
        assert (
            rig.instance()["status"] == {"running": "running", "stopped": "stopped", "absent": "absent"}[last.desired]
        )
        if last.desired == "absent":
            assert rig.engine.held == {}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_gpu_never_has_two_containers_and_its_highest_lease_wins(data: st.DataObject) -> None:
    """Tenants follow each other on two GPUs; their orders arrive in any order, with restarts between."""
    count = data.draw(st.integers(2, 6))
    gpus = [data.draw(st.sampled_from([(0,), (1,), (0, 1)])) for _ in range(count)]
    leases = [order(instance_id=100 + n, token=n + 1, gpus=gpus[n]) for n in range(count)]
    ends = [replace(each, generation=2, desired="stopped", token=None) for each in leases[:-1]]
    arrivals = data.draw(st.permutations(leases + leases + ends))
    with fresh_rig() as rig:
        for each in arrivals:
            rig.command(each)
            if data.draw(st.booleans()):
                rig.drain()
            if data.draw(st.integers(0, 9)) == 0:
                rig.api.orders = [known.order for known in rig.daemon.ledger.view().records.values()]
                rig.boot()
        rig.drain()
        assert rig.engine.violations == []
        running = [each for each in rig.engine.held.values() if each.status == "running"]
        assert [each.instance_id for each in running] == [leases[-1].instance_id]
        for index in leases[-1].gpus:
            assert rig.gpu(index.index)["instance_id"] == leases[-1].instance_id
