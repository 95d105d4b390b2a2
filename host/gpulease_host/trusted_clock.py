"""The time by which contracts end: what the service said, carried on by the kernel's time since boot.

    service's `Date` ──► anchor (time, seconds since boot, boot) ──► now = anchor + seconds since boot
                            │ kept in the journal
                            ▼
    restart of the daemon: the same line goes on.  Reboot: the later of the kept time and the machine's clock,
                                                   and unconfirmed until the service has answered

The machine's clock is read once, where there is no anchor of this boot. Whoever sets it later ends nothing and lets
nothing run on: the difference is told. One answer of the service that contradicts is a doubt; two that agree are
believed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

UPTIME = Path("/proc/uptime")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
SLACK_S = 1.0
"""Beyond what the round trip explains: no reason to move a clock."""
AGREE_S = 2.0
MOST_TOOK_S = 10.0
"""An answer that took longer tells the time too roughly."""
KEEP_EVERY_S = 300.0
"""After a reboot no time before this is believed, less so much."""
TOLD_S = 30.0
JUMP_S = 5.0


def read_uptime() -> float:
    """Seconds since boot, suspended ones included; from the kernel itself, so that no library can bend it."""
    return float(UPTIME.read_text().split()[0])


def read_boot_id() -> str:
    return BOOT_ID.read_text().strip()


@dataclass(frozen=True)
class Anchor:
    """When `boottime` seconds of the boot `boot_id` had passed, it was `at` by the service's clock."""

    at: float
    boottime: float
    boot_id: str

    def line(self) -> float:
        """The same for all anchors that tell the same time."""
        return self.at - self.boottime


class TrustedClock:
    """Epoch seconds when called."""

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        boottime: Callable[[], float] = read_uptime,
        boot_id: str | None = None,
    ) -> None:
        self._wall = wall
        self._boottime = boottime
        self._boot_id = boot_id or read_boot_id()
        self._lock = threading.RLock()
        self._line = wall() - boottime()
        self._doubt: float | None = None
        self._ahead_when_heard: float | None = None
        self.is_confirmed = False
        """Whether the service's clock was compared in this boot."""

    def __call__(self) -> float:
        return self._line + self._boottime()

    def resume(self, kept: Anchor | None) -> None:
        """Go on from what was kept before the daemon, or the machine, was restarted."""
        with self._lock:
            if kept is None or self.is_confirmed:
                return
            if kept.boot_id == self._boot_id:
                self._line, self.is_confirmed = kept.line(), True
                self._ahead_when_heard = self.ahead_s()
            else:
                self._line += max(0.0, kept.at - self())

    def hear(self, said: float, took_s: float) -> bool:
        """The service's clock showed `said`, in whole seconds, within the last `took_s`. Whether ours is wrong."""
        if not 0 <= took_s <= MOST_TOOK_S:
            return False
        with self._lock:
            now = self()
            least, most = said - now, said + 1 - (now - took_s)
            self._ahead_when_heard = self.ahead_s()
            if least - SLACK_S <= 0 <= most + SLACK_S:
                self._doubt, self.is_confirmed = None, True
                return False
            off_s = (least + most) / 2
            if self._doubt is not None and abs(self._doubt - off_s) <= AGREE_S + (most - least):
                self._line += off_s
                self._doubt, self.is_confirmed = None, True
            else:
                self._doubt = off_s
            self._ahead_when_heard = self.ahead_s()
            return True

    @property
    def needs_service(self) -> bool:
        """Whether the service should be asked soon: it contradicted, or somebody has set the machine's clock since."""
        with self._lock:
            heard = self._ahead_when_heard
            return self._doubt is not None or (heard is not None and abs(self.ahead_s() - heard) > JUMP_S)

    def ahead_s(self) -> float:
        """By how much the machine's clock is ahead of this one."""
        return self._wall() - self()

    def why_not_right(self) -> str | None:
        """A sentence for the machine's owner while its clock is wrong."""
        ahead_s = self.ahead_s()
        if abs(ahead_s) < TOLD_S or not self.is_confirmed:
            return None
        side = "ahead of" if ahead_s > 0 else "behind"
        return (
            f"This machine's clock is about {_duration(abs(ahead_s))} {side} the service's. Contracts end by the "
            "service's. Let time synchronization set it (`timedatectl status`)."
        )

    def to_keep(self, kept: Anchor | None) -> Anchor | None:
        """What should be kept now, instead of what is; None while that is good enough, or nothing is certain."""
        with self._lock:
            if not self.is_confirmed:
                return None
            fresh = Anchor(self(), self._boottime(), self._boot_id)
        is_same_line = kept is not None and kept.boot_id == fresh.boot_id and abs(kept.line() - fresh.line()) < SLACK_S
        if kept is not None and is_same_line and fresh.boottime - kept.boottime < KEEP_EVERY_S:
            return None
        return fresh


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{round(seconds / size)} {unit}"
    return f"{round(seconds, -1):.0f} seconds"
