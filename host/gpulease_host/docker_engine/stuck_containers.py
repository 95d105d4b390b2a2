"""Containers on which Docker hangs, while it answers for others: each call that names one of them would wait for ever.

A tenant can bring that about. Docker opens /etc/passwd of a container with the container's lock in its hand, and a FIFO
there opens only when somebody writes to it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

AGAIN_S = 1.0


class StuckContainers:
    """`is_answered` asks Docker for one by name, and waits long."""

    def __init__(self, is_answered: Callable[[str], bool], sleep: Callable[[float], None] = time.sleep) -> None:
        self._is_answered = is_answered
        self._sleep = sleep
        self._lock = threading.Lock()
        self._names: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, name: str) -> None:
        """From now on nobody waits for it, until Docker has said something of it again."""
        with self._lock:
            if name in self._names:
                return
            self._names.add(name)
        threading.Thread(target=self._await_answer, args=(name,), name="stuck-container", daemon=True).start()

    def _await_answer(self, name: str) -> None:
        while not self._is_answered(name):
            self._sleep(AGAIN_S)
        with self._lock:
            self._names.discard(name)
