"""Makes room at sshd for whoever has a key, however many others are connected and say nothing.

sshd waits half a minute for each (`LoginGraceTime`) and turns everybody away while too many wait (`MaxStartups`). So
when there are many, those go first that have said nothing, and of these, who has waited longest. By address they cannot
be told apart: behind a proxy all come from one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from .connections import Connection, FarEnd
from .places import say

FEW = 20
"""Nobody is sent away while no more than these wait."""
LOGIN_S = 10.0
"""A login takes less than this, also on a busy machine; who has waited longer goes first."""
MOST = 100
"""While more wait, the oldest go even before that. Less than `MaxStartups` of `sshd_config` by what may come between
two looks."""
LOOK_S, OFTEN_S = 1.0, 0.25
"""Between two looks while few wait, and while many do."""
SAY_S = 60.0


class Strangers:
    """`connections`: of sshd, by their process; raises OSError where that cannot be told."""

    def __init__(
        self,
        connections: Callable[[], Mapping[int, Connection]],
        has_come_in: Callable[[FarEnd], bool],
        end: Callable[[int], None],
        elapsed: Callable[[], float],
    ) -> None:
        self._connections = connections
        self._has_come_in = has_come_in
        self._end = end
        self._elapsed = elapsed
        self._since: dict[tuple[int, FarEnd], float] = {}
        self._look_at = self._say_at = float("-inf")

    def look(self) -> float:
        """Answers the seconds to the next look."""
        now = self._elapsed()
        if now >= self._look_at:
            self._look_at = now + (OFTEN_S if self._end_oldest(now) else LOOK_S)
        return self._look_at - now

    def _end_oldest(self, now: float) -> bool:
        """Whether there are many."""
        try:
            connected = self._connections()
        except OSError:
            return False
        waiting = {(pid, each.far_end): each for pid, each in connected.items() if not self._has_come_in(each.far_end)}
        self._since = {each: self._since.get(each, now) for each in waiting}
        first = sorted(waiting, key=lambda each: (waiting[each].has_spoken, self._since[each]))
        for left, each in zip(range(len(waiting), FEW, -1), first, strict=False):
            if left <= MOST and now - self._since[each] < LOGIN_S:
                continue
            self._say(now, len(waiting))
            with suppress(ProcessLookupError):  # it has just ended by itself
                self._end(each[0])
        return len(waiting) > FEW

    def _say(self, now: float, waiting: int) -> None:
        if now >= self._say_at:
            self._say_at = now + SAY_S
            say(f"{waiting} connections to sshd wait without logging in; the oldest are ended")
