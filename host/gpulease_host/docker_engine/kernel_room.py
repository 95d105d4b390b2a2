"""Raises limits that the kernel counts for the whole machine, or by user, so that no container can use up the host's.

Root in a container is the machine's root for the kernel, so the two share what is counted by user. What is raised here
costs memory of the container that takes it, which has a limit of its own: that ends first. Connections that the kernel
tracks are the exception: they cost the machine 320 bytes each, and one container can still fill their table. What costs
no memory is divided instead, by `ULIMITS` of each container.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

PROC_SYS = Path("/proc/sys")
PROCESSES = 1 << 18
"""All contracts of a host together may have an eighth of it."""
LEAST = {
    "fs/inotify/max_user_instances": 1 << 20,
    "fs/inotify/max_user_watches": 1 << 26,
    "fs/epoll/max_user_watches": 1 << 30,
    "fs/aio-max-nr": 1 << 24,
    "net/netfilter/nf_conntrack_max": 1 << 20,
    "kernel/pty/max": 1 << 16,
    "kernel/pid_max": PROCESSES,
    "kernel/threads-max": PROCESSES,
}
UNLIMITED = ("fs/pipe-user-pages-soft",)
"""With 0 there is none: with one, all pipes of root's user but root's own on the host shrink to a page."""
ULIMITS = {
    "sigpending": 4096,
    "msgqueue": 400 << 10,
}
"""Queued signals, and bytes in POSIX message queues: half of what root has on a small machine, or less."""


def ensure(proc_sys: Path = PROC_SYS) -> None:
    """Until the next boot; nothing is lowered. A kernel that has not one of them, or does not let it be written, stays
    as it is."""
    for name, least in LEAST.items():
        with suppress(OSError, ValueError):
            if int((proc_sys / name).read_text()) < least:
                (proc_sys / name).write_text(str(least))
    for name in UNLIMITED:
        with suppress(OSError, ValueError):
            if int((proc_sys / name).read_text()) != 0:
                (proc_sys / name).write_text("0")


def ulimits() -> list[dict[str, object]]:
    """As Docker's API takes them."""
    return [{"Name": name, "Soft": most, "Hard": most} for name, most in ULIMITS.items()]
