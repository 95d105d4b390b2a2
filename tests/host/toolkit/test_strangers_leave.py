"""However many connect to sshd and say nothing, there is room for whoever has a key."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gpulease_host.toolkit import packages
from gpulease_host.toolkit.inside.connections import Connection, FarEnd
from gpulease_host.toolkit.inside.strangers import FEW, LOGIN_S, LOOK_S, MOST, OFTEN_S, Strangers
from tests.host.fakes import FakeClock


@dataclass
class Door:
    """Connections of sshd, by the process of each."""

    connected: dict[int, Connection] = field(default_factory=dict)
    come_in: set[FarEnd] = field(default_factory=set)
    ended: list[int] = field(default_factory=list)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.strangers = Strangers(self.look, self.come_in.__contains__, self.end, self.clock)

    def look(self) -> dict[int, Connection]:
        return dict(self.connected)

    def come(self, *pids: int, has_spoken: bool = False) -> None:
        self.connected |= {pid: Connection(("10.0.0.1", pid), has_spoken) for pid in pids}

    def end(self, pid: int) -> None:
        self.ended.append(pid)
        if pid not in self.connected:
            raise ProcessLookupError
        del self.connected[pid]

    def pass_time(self, seconds: float) -> None:
        until = self.clock() + seconds
        while self.clock() < until:
            self.clock.sleep(self.strangers.look())
        self.strangers.look()


def test_few_may_take_their_time() -> None:
    door = Door()
    door.come(*range(FEW))
    door.pass_time(100)
    assert door.ended == []


def test_of_many_the_oldest_go_once_they_have_had_time_to_log_in() -> None:
    door = Door()
    door.come(*range(1, 6))
    door.pass_time(1)
    door.come(*range(6, FEW + 6))
    door.pass_time(LOGIN_S - 1)
    assert door.ended == [1, 2, 3, 4, 5]
    door.pass_time(100)
    assert door.ended == [1, 2, 3, 4, 5]


def test_who_has_come_in_counts_for_nothing_and_stays() -> None:
    door = Door()
    door.come(*range(FEW + 50))
    door.come_in |= {("10.0.0.1", pid) for pid in range(50)}
    door.pass_time(100)
    assert door.ended == []


def test_of_very_many_the_oldest_go_at_once() -> None:
    door = Door()
    door.come(*range(MOST))
    door.pass_time(1)
    door.come(*range(MOST, MOST + 30))
    door.pass_time(LOOK_S)
    assert sorted(door.ended) == list(range(30))


def test_whoever_comes_in_has_time_for_a_login_while_others_come_again_as_soon_as_they_are_ended() -> None:
    door = Door()
    door.come(*range(MOST - 1))
    door.pass_time(30)
    door.come(7777)
    since, following = door.clock(), 1000
    while 7777 in door.connected:
        door.come(*range(following, following + MOST - len(door.connected)))
        following += MOST
        door.pass_time(OFTEN_S)
    assert door.clock() - since >= LOGIN_S


def test_who_has_said_nothing_goes_before_who_is_logging_in() -> None:
    door = Door()
    door.come(7777, has_spoken=True)
    door.come(*range(200))
    door.pass_time(LOOK_S)
    assert len(door.connected) == MOST
    assert 7777 in door.connected


def test_where_nobody_can_tell_who_is_connected_nobody_is_ended() -> None:
    def unknown() -> dict[int, Connection]:
        raise OSError

    strangers = Strangers(unknown, lambda far_end: False, lambda pid: None, FakeClock())
    assert strangers.look() == LOOK_S


def test_one_that_has_just_gone_by_itself_keeps_no_other() -> None:
    door = Door()
    door.come(*range(FEW + 2))
    door.pass_time(1)
    kept = dict(door.connected)
    door.look = lambda: kept  # type: ignore[method-assign]
    door.strangers = Strangers(door.look, lambda far_end: False, door.end, door.clock)
    del door.connected[0]
    door.pass_time(LOGIN_S)
    assert set(door.ended) >= {0, 1}


def test_sshd_lets_more_wait_than_come_between_two_looks() -> None:
    config = (packages.INSIDE / "sshd_config").read_text()
    (most,) = re.findall(r"^MaxStartups (\d+)$", config, re.MULTILINE)
    assert int(most) >= MOST + 50
