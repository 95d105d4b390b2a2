"""The programs that do the work: started, restarted when they die, their lines logged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from proxy.log import Log

FIRST_DELAY_S = 0.5
MOST_DELAY_S = 30.0
STEADY_S = 60.0
STOP_S = 5.0


class Child:
    """One program, with a process group of its own: what it leaves there is ended before it is started again.

    By its `folder` a later run knows what this one left. sshd's connections have left its group, and stay. A command
    that begins with setpriv's `--pdeathsig` ends with the thread that started it, so only the main thread may.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        elapsed: Callable[[], float],
        log: Log,
        folder: Path | None = None,
    ) -> None:
        self.name = name
        self._folder = folder
        self._command = list(command)
        self._elapsed = elapsed
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self._started_at = 0.0
        self._delay_s = FIRST_DELAY_S
        self._not_before = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def keep(self) -> None:
        """Start it unless it runs, later and later while it keeps dying."""
        now = self._elapsed()
        if self._process is not None:
            process_id, status = self._process.pid, self._process.poll()
            if status is None:
                return
            self._process = None
            _end_group(process_id)
            lasted = now - self._started_at
            self._delay_s = FIRST_DELAY_S if lasted > STEADY_S else min(MOST_DELAY_S, self._delay_s * 2)
            self._not_before = now + self._delay_s
            self._log.say("program ended", program=self.name, status=status, again_in_s=round(self._delay_s, 1))
        if now >= self._not_before:
            self._start(now)

    def reload(self) -> None:
        if self.pid is not None and self._process is not None:
            self._process.send_signal(signal.SIGHUP)
            self._log.say("program reloaded", program=self.name)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        _end_group(process.pid)
        process.wait()

    def _start(self, now: float) -> None:
        self._started_at = now
        process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._process = process
        self._log.say("program started", program=self.name, pid=process.pid)
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            threading.Thread(target=self._relay, args=(stream,), name=f"{self.name} lines", daemon=True).start()

    def _relay(self, stream: IO[str]) -> None:
        for line in stream:
            text = line.strip()
            if text:
                self._log.say("line", program=self.name, **_read(text))


def _end_group(leader: int) -> None:
    """Such as nginx's workers, which go on holding its port when their master is killed."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _read(text: str) -> dict[str, object]:
    """A line that is JSON already is kept as such. Of nginx's own, what was requested goes: links hold tokens."""
    try:
        fields = json.loads(text) if text.startswith("{") else None
    except ValueError:
        fields = None
    return {"told": fields if isinstance(fields, dict) else text.partition(", client: ")[0]}
