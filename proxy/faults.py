"""A fault in any thread ends the whole process: its supervisor starts it again, and nobody would mind a dead thread."""

from __future__ import annotations

import os
import threading
import traceback
from pathlib import PurePath

from proxy.log import Log

EXIT_FAULT = 70


def end_on_fault(log: Log) -> None:
    """From now on an uncaught fault in a thread is logged and ends the process. sshd and nginx end with it."""

    def on_fault(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            name = args.thread.name if args.thread is not None else "unknown"
            log.say("fault in a thread", thread=name, fault=describe(args.exc_value))
        os._exit(EXIT_FAULT)

    threading.excepthook = on_fault


def describe(fault: BaseException) -> str:
    """Where it was, without what it says: a message may quote what must not be logged."""
    frames = traceback.extract_tb(fault.__traceback__)
    places = " < ".join(f"{PurePath(each.filename).name}:{each.lineno}" for each in reversed(frames))
    return f"{type(fault).__name__} at {places}"
