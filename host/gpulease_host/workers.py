"""Threads that bring instances to what is wanted: different ones at once, the same one after another."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from gpulease_host.instance_queue import InstanceQueue
from gpulease_host.log import Log
from gpulease_host.threads import describe

SPARE = 4
"""Beside one for each GPU: a start may pull an image for long, and holds its GPUs meanwhile, so stops find one free."""
AFTER_FAULT_S = 30
"""A fault of ours in one instance must neither end the others nor spin."""


class Workers:
    def __init__(self, queue: InstanceQueue, settle: Callable[[int], None], log: Log, gpus: int) -> None:
        self._queue = queue
        self._settle = settle
        self._log = log
        self._pool = ThreadPoolExecutor(gpus + SPARE, thread_name_prefix="worker")
        self._thread = threading.Thread(target=self._hand_out, name="workers", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more; what is under way is left to itself, and can be cut off anywhere."""
        self._queue.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _hand_out(self) -> None:
        while (instance_id := self._queue.wait_ready()) is not None:
            try:
                future = self._pool.submit(self._settle, instance_id)
            except RuntimeError:
                return
            future.add_done_callback(partial(self._finish, instance_id))

    def _finish(self, instance_id: int, done: Future[None]) -> None:
        fault = None if done.cancelled() else done.exception()
        if fault is not None:
            self._log.say("fault in a worker", instance_id=instance_id, fault=describe(fault))
            self._queue.add(instance_id, AFTER_FAULT_S)
        self._queue.done(instance_id)
