"""One JSON line for each thing that people may have to know later. Never a secret: callers name each field."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any, TextIO


class Log:
    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()

    def say(self, event: str, **fields: Any) -> None:
        line = json.dumps({"at": round(self._clock(), 3), "event": event, **fields}, default=str)
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()
