"""Threads of the daemon: each repeats one thing, and a fault in one ends the whole process.

The process is safe to end anywhere and is started again by its supervisor; a daemon that limps on with a dead
thread is not safe.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable
from pathlib import PurePath

from gpulease_host.log import Log

EXIT_FAULT = 70


def describe(fault: BaseException) -> str:
    """Where it was, without what it says: a message may quote what must not be logged."""
    frames = traceback.extract_tb(fault.__traceback__)
    places = " < ".join(f"{PurePath(each.filename).name}:{each.lineno}" for each in reversed(frames))
    return f"{type(fault).__name__} at {places}"


def end_on_fault(log: Log) -> None:
    """From now on an uncaught fault in any thread is logged and ends the process."""

    def on_fault(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            name = args.thread.name if args.thread is not None else "unknown"
            log.say("fault in a thread", thread=name, fault=describe(args.exc_value))
        os._exit(EXIT_FAULT)

    threading.excepthook = on_fault


def repeat(name: str, step: Callable[[], float], bell: threading.Event, stopping: threading.Event) -> threading.Thread:
    """Start a thread that calls `step` when the bell rings or after as many seconds as the last step named."""

    def run() -> None:
        while not stopping.is_set():
            bell.wait(max(0.0, step()))

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread
