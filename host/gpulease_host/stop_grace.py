"""How long a container has between being asked to stop and being killed."""

from __future__ import annotations

from gpulease_host.engine import Order

END_GRACE_S = 40
"""After its contract's end: a while later its GPUs are another's, and nothing may run that long past an end."""


def stop_grace_s(order: Order, default_s: int, now: float) -> int:
    """Of a stop that begins now: what its client asked for, cut where its contract's end does not leave that much."""
    if order.stop_grace_s is None or order.desired == "absent":
        return default_s
    return min(order.stop_grace_s, max(default_s, int(order.end_at + END_GRACE_S - now)))
