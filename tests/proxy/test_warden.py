"""Connections end when their host may not listen there any more, has gone, or was never let in by this run."""

from __future__ import annotations

import io
import threading

import pytest

from proxy.hosts import Hosts
from proxy.listeners import Listener
from proxy.log import Log
from proxy.warden import (
    FEW_WAITING,
    HANDING_BACK_S,
    LOGIN_S,
    MOST_IDLE,
    MOST_WAITING,
    PERMIT_AGE_S,
    SILENT_S,
    Warden,
)
from tests.proxy.fake_service import FakeService

ONE = "1" * 64
PID, CHILD = 100, 101
SECOND, THIRD = 200, 300


class Scene:
    def __init__(self) -> None:
        self.now = 1000.0
        self.service = FakeService()
        log = Log(io.StringIO(), lambda: self.now)
        self.hosts = Hosts(self.service, lambda: self.now, log)
        self.listeners: list[Listener] = []
        self.alive = {PID, CHILD}
        self.ended: list[int] = []
        self.begun: set[int] = set()
        self.warden = Warden(
            self.hosts,
            lambda: self.listeners,
            lambda: self.alive,
            log,
            lambda: self.begun,
            self.ended.append,
            self.ended.append,
        )

    def permit(self, *ports: int, key: str = ONE) -> None:
        self.service.permit(key, *ports)

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until and not self.ended:
            self.now += 5
            self.look()

    def look(self) -> None:
        self.warden.end_gone()
        self.warden.end_unpermitted(self.now)

    def log_in(self, pid: int, key: str = ONE) -> None:
        self.hosts.log_in(key, pid)
        self.alive |= {pid, pid + 1}

    def listen(self, *listening: tuple[int, int]) -> None:
        """(login, port) each."""
        self.listeners = [Listener(pid + 1, pid, frozenset({port}), 1.0) for pid, port in listening]


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.permit(40001)
    made.hosts.log_in(ONE, PID)
    made.listeners = [Listener(CHILD, PID, frozenset({40001}), 1.0)]
    return made


def test_who_listens_on_its_own_ports_is_left_alone(scene: Scene) -> None:
    scene.pass_time(3600)
    assert scene.ended == []


def test_a_port_that_is_another_s_by_now_is_taken_back(scene: Scene) -> None:
    scene.permit(40002)
    scene.pass_time(PERMIT_AGE_S + HANDING_BACK_S + 30)
    assert scene.ended == [CHILD]


def test_a_host_has_time_to_give_a_port_back(scene: Scene) -> None:
    scene.permit(40002)
    scene.pass_time(PERMIT_AGE_S + HANDING_BACK_S / 2)
    scene.listeners = [Listener(CHILD, PID, frozenset(), 1.0)]
    scene.pass_time(3600)
    assert scene.ended == []


def test_a_lost_port_is_not_kept_by_turns(scene: Scene) -> None:
    """Two connections were permitted it. One listens while the other does not, and what both held adds up."""
    scene.log_in(SECOND)
    scene.permit(40002)
    scene.pass_time(PERMIT_AGE_S)
    for pid in (PID, SECOND, PID):
        assert scene.ended == []
        scene.listen((pid, 40001))
        scene.pass_time(HANDING_BACK_S / 3 + 10)
        scene.listen()
        scene.pass_time(HANDING_BACK_S)
    assert sorted(scene.ended) == [CHILD, SECOND]


def test_with_a_lost_port_all_go_that_were_permitted_it_and_no_others(scene: Scene) -> None:
    """Else each of many connections could hold it for another look."""
    scene.permit(40001, 40002)
    scene.log_in(SECOND)
    scene.permit(40002)
    scene.log_in(THIRD)
    scene.listen((PID, 40001), (THIRD, 40002))
    scene.pass_time(PERMIT_AGE_S + HANDING_BACK_S + 30)
    assert sorted(scene.ended) == [CHILD, SECOND]


def test_an_honest_host_keeps_its_other_sessions_when_a_contract_ends(scene: Scene) -> None:
    scene.permit(40001, 40002)
    scene.log_in(SECOND)
    scene.listeners = [Listener(SECOND + 1, SECOND, frozenset({40001, 40002}), 1.0)]
    scene.permit(40002)
    scene.pass_time(PERMIT_AGE_S + HANDING_BACK_S / 2)
    scene.listen((SECOND, 40002))
    scene.pass_time(24 * 3600)
    assert scene.ended == []


def test_a_port_that_is_permitted_again_long_after_it_was_lost_may_be_used_at_once(scene: Scene) -> None:
    scene.permit(40001, 40002)
    scene.log_in(SECOND)
    scene.permit(40002)
    scene.listen((SECOND, 40002))
    scene.pass_time(PERMIT_AGE_S + 10 * HANDING_BACK_S)
    scene.permit(40001, 40002)
    scene.listen((PID, 40001), (SECOND, 40002))
    scene.pass_time(3600)
    assert scene.ended == []


def test_a_tenant_who_starts_and_stops_again_and_again_ends_no_connection(scene: Scene) -> None:
    """Its host takes a while to give the port back each time, and others' sessions run beside."""
    scene.permit(40001, 40002)
    scene.log_in(SECOND)
    for _ in range(50):
        scene.permit(40001, 40002)
        scene.listen((PID, 40001), (SECOND, 40002))
        scene.pass_time(10)
        scene.permit(40002)
        scene.pass_time(20)
        scene.listen((SECOND, 40002))
        scene.pass_time(HANDING_BACK_S)
    assert scene.ended == []


def test_a_host_that_was_given_up_loses_also_what_listens_nowhere(scene: Scene) -> None:
    scene.log_in(SECOND)
    scene.listen()
    scene.service.known.clear()
    scene.pass_time(PERMIT_AGE_S + HANDING_BACK_S + 30)
    assert sorted(scene.ended) == [PID, SECOND]


def test_nobody_is_cut_off_before_the_service_has_said_so_at_that_moment(scene: Scene) -> None:
    scene.permit(40002)
    scene.pass_time(PERMIT_AGE_S + HANDING_BACK_S - 10)
    scene.service.is_away = True
    scene.pass_time(3600)
    assert scene.ended == []
    scene.service.is_away = False
    scene.pass_time(60)
    assert scene.ended == [CHILD]


def test_a_restart_between_two_looks_counts_for_nothing(scene: Scene) -> None:
    scene.permit(40002)
    scene.pass_time(PERMIT_AGE_S + HANDING_BACK_S / 2)
    scene.permit(40001)
    scene.pass_time(3600)
    assert scene.ended == []


def test_a_host_that_was_given_up_loses_its_connection(scene: Scene) -> None:
    scene.service.known.clear()
    scene.pass_time(PERMIT_AGE_S + HANDING_BACK_S + 30)
    assert scene.ended == [CHILD]


def test_nobody_is_cut_off_because_the_service_does_not_answer(scene: Scene) -> None:
    scene.service.is_away = True
    scene.pass_time(24 * 3600)
    assert scene.ended == []


def test_a_silent_host_loses_its_connection(scene: Scene) -> None:
    scene.listeners = [Listener(CHILD, PID, frozenset({40001}), SILENT_S + 1)]
    scene.pass_time(5)
    assert scene.ended == [CHILD]


def test_what_an_earlier_run_left_is_ended(scene: Scene) -> None:
    scene.listeners = [Listener(55, 1, frozenset({40001}), 1.0)]
    scene.pass_time(5)
    assert scene.ended == [55]


def test_a_route_is_there_while_its_host_is_connected(scene: Scene) -> None:
    assert scene.hosts.jupyter_port(70) == 40001
    assert scene.hosts.jupyter_port(71) is None
    scene.alive = set()
    scene.listeners = []
    scene.look()
    assert scene.hosts.jupyter_port(70) is None


def test_a_lost_line_is_noticed_while_the_service_is_asked_in_vain(scene: Scene) -> None:
    scene.service.is_away = True
    scene.now += PERMIT_AGE_S + 1
    scene.service.answers.clear()
    asking = threading.Thread(target=lambda: scene.warden.end_unpermitted(scene.now))
    scene.service.is_asked.clear()
    asking.start()
    assert scene.service.is_asked.wait(10)
    scene.listeners = [Listener(CHILD, PID, frozenset({40001}), SILENT_S + 1)]
    scene.warden.end_gone()
    assert scene.ended == [CHILD]
    scene.service.answers.set()
    asking.join(10)


def test_at_the_end_all_go_also_those_that_listen_nowhere(scene: Scene) -> None:
    scene.log_in(SECOND)
    scene.warden.end_all()
    assert sorted(scene.ended) == [PID, CHILD, SECOND]


def test_a_connection_that_goes_while_the_service_is_asked_is_not_ended(scene: Scene) -> None:
    """Its number may be another process's by then."""
    scene.permit(40002)
    scene.pass_time(PERMIT_AGE_S + HANDING_BACK_S - 10)

    def go() -> None:
        scene.listeners = []
        scene.hosts.forget({PID})

    scene.service.meanwhile = go
    scene.pass_time(60)
    assert scene.ended == []


def test_strangers_make_room_for_hosts_the_oldest_first(scene: Scene) -> None:
    scene.begun = {PID, *range(1000, 1000 + FEW_WAITING)}
    for now in (0, LOGIN_S, 100):
        scene.warden.end_waiting(now)
    assert scene.ended == []
    scene.begun |= {3000, 3001}
    scene.warden.end_waiting(101)
    assert len(scene.ended) == 2
    assert set(scene.ended) <= set(range(1000, 1000 + FEW_WAITING))


def test_many_strangers_have_the_time_of_a_login_and_very_many_have_none(scene: Scene) -> None:
    scene.begun = set(range(1000, 1000 + MOST_WAITING))
    for now in (0.0, LOGIN_S - 1):
        scene.warden.end_waiting(now)
    assert scene.ended == []
    scene.begun |= {5000, 5001, 5002}
    scene.warden.end_waiting(LOGIN_S - 0.5)
    assert len(scene.ended) == 3
    assert not {5000, 5001, 5002} & set(scene.ended)


def test_who_only_asks_for_a_hosts_key_counts_as_a_stranger_but_for_the_newest(scene: Scene) -> None:
    """Who knows a host's public key can ask; whether they have the other half, nobody knows before they listen."""
    askers = list(range(1000, 1000 + MOST_WAITING + 50))
    for pid in askers:
        scene.log_in(pid)
    scene.begun = {PID, *askers}
    scene.warden.end_waiting(0.0)
    assert len(scene.ended) == 50 - MOST_IDLE
    assert PID not in scene.ended, "it listens"
    assert not set(askers[-MOST_IDLE:]) & set(scene.ended)
