"""When a host was last heard, whether a report is news, and who has fallen silent: pure judgements.

A host counts its reports, and the count never falls, whatever it restarts; each start of its daemon (`boot_id`) counts
on from where the last one ended. So every number belongs to one start, and a number that two starts use means that two
machines speak with one key.

A report is taken in between two writes here: `taking` before, `settled` after. One whose taking-in failed is therefore
still news when it is delivered again, and whoever comes while another is at work knows that it must overtake it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum, auto

from rental.domain.ids import HostId

OFFLINE_AFTER_S = 300
BURST_S = 900
BURST_LEAST_HOSTS = 10
BURST_ONE_IN = 5
"""More than one host in five, and at least ten, silent within fifteen minutes: that is us, not them."""


@dataclass(frozen=True)
class Sighting:
    """The place of a report in a host's sequence; `sent_at` in epoch seconds by the host's clock."""

    host_id: HostId
    boot_id: str
    seq: int
    sent_at: int
    seen_at: int


class Phase(StrEnum):
    TAKING = "taking"
    SETTLED = "settled"
    LEAVING = "leaving"
    OFFLINE = "offline"
    RETIRED = "retired"
    """It was given up: nothing is heard of it any more, and its silence says nothing of the others."""


@dataclass(frozen=True)
class Presence:
    """What is remembered of a host: its last sighting, the first number of that start, and who is at work on it."""

    host_id: HostId
    boot_id: str
    since_seq: int
    seq: int
    sent_at: int
    seen_at: int
    phase: Phase
    rev: int = 0

    def enter(self, phase: Phase) -> "Presence":
        return replace(self, phase=phase)


class Standing(StrEnum):
    """What a report is to us."""

    NEWS = auto()
    OVERTAKING = auto()
    """News, but something older may still be at work on the host's manifest."""
    KNOWN = auto()
    FORKED = auto()
    """Its number belongs to another start: two machines have this key."""


def judge(known: Presence | None, sighting: Sighting) -> Standing:
    """Hold a sighting against what is remembered."""
    if known is None:
        return Standing.NEWS
    if known.phase is Phase.RETIRED:
        return Standing.KNOWN
    if sighting.boot_id != known.boot_id and known.since_seq <= sighting.seq <= known.seq:
        return Standing.FORKED
    if sighting.seq < known.seq or (sighting.seq == known.seq and known.phase is not Phase.TAKING):
        return Standing.KNOWN
    return Standing.NEWS if known.phase is Phase.SETTLED else Standing.OVERTAKING


def meet(known: Presence | None, sighting: Sighting) -> Presence:
    """What is remembered while the sighting's report is taken in."""
    goes_on = known is not None and known.boot_id == sighting.boot_id
    return Presence(
        host_id=sighting.host_id,
        boot_id=sighting.boot_id,
        since_seq=known.since_seq if known is not None and goes_on else sighting.seq,
        seq=sighting.seq,
        sent_at=sighting.sent_at,
        seen_at=sighting.seen_at,
        phase=Phase.TAKING,
        rev=known.rev if known is not None else 0,
    )


def fallen_silent(known: Iterable[Presence], now: int) -> list[Presence]:
    """The hosts that are silent for too long and not marked yet."""
    return [each for each in known if each.phase not in (Phase.OFFLINE, Phase.RETIRED) and _is_silent(each, now)]


def is_burst(known: Sequence[Presence], now: int) -> bool:
    """Whether an unmarked host fell silent together with too many others.

    What the brake holds stays unmarked, so it keeps holding until they are heard again or a person decides.
    """
    in_service = [each for each in known if each.phase is not Phase.RETIRED]
    silent = sorted((each for each in in_service if _is_silent(each, now)), key=lambda each: each.seen_at)
    present = sum(each.phase is not Phase.OFFLINE for each in in_service)
    start = 0
    for end, last in enumerate(silent, 1):
        while silent[start].seen_at <= last.seen_at - BURST_S:
            start += 1
        marked = sum(each.phase is Phase.OFFLINE for each in silent[start:end])
        count = end - start
        hosts = present + marked  # those that were there when it began
        if count >= BURST_LEAST_HOSTS and count * BURST_ONE_IN > hosts and marked < count:
            return True
    return False


def _is_silent(presence: Presence, now: int) -> bool:
    return now - presence.seen_at >= OFFLINE_AFTER_S
