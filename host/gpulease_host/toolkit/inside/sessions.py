"""Who came in by which key: whoever's key is taken away is let out."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path

from .connections import FarEnd
from .places import OWN, say

KEYS = OWN / "authorized_keys"
KEYGEN = "/.gl/bin/ssh-keygen"
KEYGEN_S = 5.0
LOOK_S = 1.0
"""How soon a key that was taken away is noticed."""
LOGIN_S = 40.0
"""Whoever had begun to come in before that may still be let in: longer than `LoginGraceTime` of `sshd_config`."""
MANY = 1000
"""So many logins, and those whose connection is gone are forgotten."""
ADDRESS = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
ACCEPTED = re.compile(rf"Accepted publickey for root from ({ADDRESS}) port ([0-9]{{1,5}}) ssh2: \S+ (SHA256:\S+)")


class Sessions:
    """Who came in by which key is in sshd's own words; it is needed when a key is taken away."""

    def __init__(
        self,
        allowed: Callable[[], set[str] | None],
        holders: Callable[[FarEnd], Iterable[int]],
        connected: Callable[[], Collection[FarEnd]],
        kill: Callable[[int, int], None],
    ) -> None:
        self._allowed = allowed
        self._holders = holders
        self._connected = connected
        self._kill = kill
        self._came: dict[FarEnd, str] = {}

    def note(self, line: str) -> None:
        match = ACCEPTED.fullmatch(line)
        if match:
            self._came[(match.group(1), int(match.group(2)))] = match.group(3)
            if len(self._came) > MANY:
                self._forget_who_left()

    def has_come_in(self, far_end: FarEnd) -> bool:
        return far_end in self._came

    def end_without_key(self) -> bool:
        """End every connection that came in by a key which is no longer there; whether that could be told."""
        allowed = self._allowed()
        try:
            return allowed is not None and self._end_all_but(allowed)
        except OSError:
            return False

    def _end_all_but(self, allowed: set[str]) -> bool:
        for far_end, fingerprint in list(self._came.items()):
            pids = list(self._holders(far_end))
            if pids and fingerprint in allowed:
                continue
            self._came.pop(far_end, None)
            for pid in pids:
                say(f"the key {fingerprint} was taken away; its session ends")
                with suppress(ProcessLookupError):  # it has just ended by itself
                    self._kill(pid, signal.SIGTERM)
        return True

    def _forget_who_left(self) -> None:
        with suppress(OSError):
            connected = self._connected()
            self._came = {far_end: key for far_end, key in list(self._came.items()) if far_end in connected}


class Keys:
    """When to look for sessions whose key is gone: with each change and for a while after, until it could be told."""

    def __init__(self, path: Path, end_without_key: Callable[[], bool], elapsed: Callable[[], float]) -> None:
        self._path = path
        self._end_without_key = end_without_key
        self._elapsed = elapsed
        self._seen: tuple[int, int] | None = None
        self._until = self._next = float("-inf")
        self._told = True

    def look(self) -> None:
        now = self._elapsed()
        try:
            status = self._path.stat()
        except OSError:
            return
        seen = (status.st_ino, status.st_mtime_ns)
        if self._seen is not None and seen != self._seen:
            self._until, self._next = now + LOGIN_S, now
        self._seen = seen
        if now >= self._next and (now < self._until or not self._told):
            self._next = now + LOOK_S
            self._told = self._end_without_key()


def fingerprints(keygen: str = KEYGEN, keys: Path = KEYS) -> set[str] | None:
    """Of the keys that may come in now; None where that cannot be told, as with no process left to ask."""
    try:
        done = subprocess.run(
            [keygen, "-l", "-f", str(keys)], capture_output=True, text=True, timeout=KEYGEN_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    return {line.split()[1] for line in done.stdout.splitlines() if len(line.split()) > 1}
