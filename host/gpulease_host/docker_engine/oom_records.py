"""Whom the kernel killed for want of memory, from its own log.

Docker's `OOMKilled` is not enough: on cgroup v1, when the limit of the group above is hit, every container below it
is told so and flagged, the innocent too. The kernel's line names the group of the process it chose.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

KMSG = Path("/dev/kmsg")
RECORD_BYTES = 8192
# Docker's clock and the kernel's log may differ by a little.
TOLERANCE_S = 2.0
_VICTIM = re.compile(r"oom-kill:.*\btask_memcg=(?P<group>[^,]+)")


def was_killed(group: str, since: float, kmsg: Path = KMSG) -> bool | None:
    """Whether a process of the group was killed after `since` (epoch seconds); None when the log is closed to us."""
    try:
        records = list(_records(kmsg))
    except OSError:
        return None
    booted_at = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
    return any(
        victim.strip("/") == group and booted_at + after_boot_s >= since - TOLERANCE_S
        for after_boot_s, victim in _victims(records)
    )


def _victims(records: list[str]) -> Iterator[tuple[float, str]]:
    for record in records:
        header, _, message = record.partition(";")
        found = _VICTIM.match(message)
        if found is not None:
            yield int(header.split(",")[2]) / 1e6, found["group"]


def _records(kmsg: Path) -> Iterator[str]:
    """One read gives one record; the end shows as `would block`, and records that were overwritten as a broken pipe."""
    descriptor = os.open(kmsg, os.O_RDONLY | os.O_NONBLOCK)
    try:
        while True:
            try:
                record = os.read(descriptor, RECORD_BYTES)
            except BlockingIOError:
                return
            except BrokenPipeError:
                continue
            if not record:
                return
            yield record.decode(errors="replace")
    finally:
        os.close(descriptor)
