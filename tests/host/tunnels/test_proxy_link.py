"""One proxy's connections: what is gained comes beside what is there, and what is there is not touched."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from gpulease_host.backoff import Backoff
from gpulease_host.log import Log
from gpulease_host.tunnels.forwards import Way, forwards
from gpulease_host.tunnels.proxy_link import ProxyLink
from tests.host.tunnels.connections import PaperProxy, proxy


class Rig:
    def __init__(self) -> None:
        self.paper = PaperProxy()
        self.now = 0.0
        self.log = io.StringIO()
        log = Log(self.log, lambda: self.now)
        self.link = ProxyLink(proxy(), Path("key"), self.paper.connect, Backoff(0.5, 30.0, lambda: 1.0), log)

    def want(self, *ways: Way, looks: int = 3) -> None:
        for _ in range(looks):
            self.now += 0.5
            self.link.step(forwards(proxy(), ways), self.now)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def way(instance_id: int, port: int, target: str = "10.213.0.2", is_public: bool = True) -> Way:
    return Way(instance_id, port, is_public, target, 10022)


def test_what_is_wanted_is_forwarded_over_one_connection(rig: Rig) -> None:
    rig.paper.permitted = {40001, 40002}
    rig.want(way(1, 40001), way(2, 40002, "10.213.0.18", is_public=False))
    assert rig.paper.listening() == {
        40001: "0.0.0.0:40001:10.213.0.2:10022",
        40002: "127.0.0.1:40002:10.213.0.18:10022",
    }
    assert len(rig.paper.connections) == 1


def test_nothing_is_connected_while_nothing_is_wanted(rig: Rig) -> None:
    rig.want()
    assert rig.paper.connections == []


def test_a_port_that_came_later_gets_a_newer_connection_and_the_older_one_stays(rig: Rig) -> None:
    rig.paper.permitted = {40001}
    rig.want(way(1, 40001))
    rig.paper.permitted = {40001, 40002}
    rig.want(way(1, 40001), way(2, 40002))
    older, newer = rig.paper.alive
    assert [each.way.port for each in older.forwards] == [40001]
    assert [each.way.port for each in newer.forwards] == [40002]
    rig.want(way(2, 40002))
    assert rig.paper.alive == [newer]


def test_a_container_at_another_address_is_followed_without_a_new_connection(rig: Rig) -> None:
    rig.paper.permitted = {40001}
    rig.want(way(1, 40001))
    rig.want(way(1, 40001, "10.213.0.3"))
    assert rig.paper.listening() == {40001: "0.0.0.0:40001:10.213.0.3:10022"}
    assert len(rig.paper.connections) == 1


def test_what_is_no_longer_wanted_is_forwarded_no_more(rig: Rig) -> None:
    rig.paper.permitted = {40001, 40002}
    rig.want(way(1, 40001), way(2, 40002))
    rig.want(way(2, 40002))
    assert list(rig.paper.listening()) == [40002]
    rig.want()
    assert rig.paper.alive == []


def test_after_a_break_everything_comes_back_over_one_connection(rig: Rig) -> None:
    rig.paper.permitted = {40001}
    rig.want(way(1, 40001))
    rig.paper.permitted = {40001, 40002}
    rig.want(way(1, 40001), way(2, 40002))
    for each in rig.paper.alive:
        each.break_off()
    rig.want(way(1, 40001), way(2, 40002), looks=8)
    assert len(rig.paper.alive) == 1
    assert sorted(rig.paper.listening()) == [40001, 40002]
    assert "Connection reset by peer" in rig.log.getvalue()


def test_a_proxy_that_lets_nobody_in_is_asked_less_and_less_often(rig: Rig) -> None:
    rig.paper.lets_in = False
    rig.want(way(1, 40001), looks=20)
    first = len(rig.paper.connections)
    rig.want(way(1, 40001), looks=20)
    assert 2 <= len(rig.paper.connections) - first + 1 < first


def test_a_port_that_nobody_gives_is_asked_for_again_and_hinders_no_other(rig: Rig) -> None:
    rig.paper.permitted = {40001}
    rig.want(way(1, 40001), way(2, 40002), looks=40)
    assert list(rig.paper.listening()) == [40001]
    assert len(rig.paper.alive) <= 2
    rig.paper.permitted = {40001, 40002}
    rig.want(way(1, 40001), way(2, 40002), looks=80)
    assert sorted(rig.paper.listening()) == [40001, 40002]
    assert 40001 in [each.way.port for each in rig.paper.alive[0].forwards]


def test_a_connection_that_is_on_its_way_is_waited_for(rig: Rig) -> None:
    rig.paper.permitted, rig.paper.is_up_at_once = {40001}, False
    rig.want(way(1, 40001), looks=5)
    assert len(rig.paper.connections) == 1
    rig.paper.connections[0].is_let_in = True
    rig.want(way(1, 40001))
    assert list(rig.paper.listening()) == [40001]


def test_on_withdrawal_nothing_leads_to_an_instance_and_the_rest_stays(rig: Rig) -> None:
    rig.paper.permitted = {40001, 40002, 40003}
    rig.want(way(1, 40001), way(1, 40002, is_public=False), way(2, 40003))
    rig.link.withdraw(1)
    assert list(rig.paper.listening()) == [40003]
