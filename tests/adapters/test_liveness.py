"""The liveness table, both twins: a repeated or late report is known."""

from dataclasses import replace

from rental.domain.ids import HostId
from rental.ports import Liveness, Sighting

FIRST = Sighting(HostId(7), "boot-1", seq=5, sent_at=100, seen_at=101)


def test_each_new_sequence_number_is_news_once(liveness: Liveness) -> None:
    assert liveness.last_seen(HostId(7)) is None
    assert liveness.advance(FIRST)
    assert not liveness.advance(FIRST)
    assert not liveness.advance(replace(FIRST, seq=4, seen_at=200))
    assert liveness.last_seen(HostId(7)) == 101
    assert liveness.advance(replace(FIRST, seq=6, boot_id="boot-2", seen_at=300))
    assert liveness.last_seen(HostId(7)) == 300


def test_hosts_count_apart(liveness: Liveness) -> None:
    assert liveness.advance(FIRST)
    assert liveness.advance(replace(FIRST, host_id=HostId(8), seq=1))
