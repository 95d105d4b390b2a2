"""The liveness table, both twins: what is written is guarded by what was read."""

from dataclasses import replace

import boto3

from rental.adapters.dynamodb.liveness import DynamoLiveness
from rental.domain.ids import HostId
from rental.domain.liveness import Phase, Sighting, Standing, judge, meet
from rental.ports import Liveness
from tests.fakes.dynamo import create_liveness_table

FIRST = Sighting(HostId(7), "boot-1", seq=5, sent_at=100, seen_at=101)


def see(liveness: Liveness, sighting: Sighting) -> Standing:
    """Take a whole report in."""
    known = liveness.read(sighting.host_id)
    standing = judge(known, sighting)
    if standing in (Standing.NEWS, Standing.OVERTAKING):
        met = liveness.swap(known, meet(known, sighting))
        assert met is not None
        assert liveness.swap(met, met.enter(Phase.SETTLED)) is not None
    return standing


def test_each_new_sequence_number_is_news_once(liveness: Liveness) -> None:
    assert liveness.read(HostId(7)) is None
    assert see(liveness, FIRST) is Standing.NEWS
    assert see(liveness, FIRST) is Standing.KNOWN
    assert see(liveness, replace(FIRST, seq=4, seen_at=200)) is Standing.KNOWN
    assert see(liveness, replace(FIRST, seq=6, boot_id="boot-2", seen_at=300)) is Standing.NEWS
    known = liveness.read(HostId(7))
    assert known is not None
    assert (known.seq, known.since_seq, known.boot_id, known.seen_at, known.sent_at) == (6, 6, "boot-2", 300, 100)


def test_a_number_of_two_starts_is_a_fork(liveness: Liveness) -> None:
    see(liveness, FIRST)
    assert see(liveness, replace(FIRST, boot_id="boot-2")) is Standing.FORKED


def test_of_two_who_read_the_same_one_writes(liveness: Liveness) -> None:
    first = liveness.swap(None, meet(None, FIRST))
    assert first is not None
    assert liveness.swap(None, meet(None, FIRST)) is None
    second = liveness.swap(first, first.enter(Phase.LEAVING))
    assert liveness.swap(first, first.enter(Phase.SETTLED)) is None
    assert second is not None
    assert liveness.read(HostId(7)) == second
    assert second.phase is Phase.LEAVING


def test_hosts_count_apart_and_are_listed_together(liveness: Liveness) -> None:
    for number in (7, 8):
        assert see(liveness, replace(FIRST, host_id=HostId(number))) is Standing.NEWS
    assert sorted(each.host_id for each in liveness.list_all()) == [7, 8]


def test_an_item_from_before_revisions_is_understood(aws: None) -> None:
    client = boto3.client("dynamodb")
    create_liveness_table(client, "liveness-old")
    numbers = {"host_id": "7", "seq": "5", "sent_at": "100", "seen_at": "101"}
    item = {name: {"N": value} for name, value in numbers.items()}
    client.put_item(TableName="liveness-old", Item={**item, "boot_id": {"S": "boot-1"}})
    liveness = DynamoLiveness(client, "liveness-old")
    assert see(liveness, FIRST) is Standing.KNOWN
    assert see(liveness, replace(FIRST, seq=4, boot_id="boot-0")) is Standing.KNOWN
    assert see(liveness, replace(FIRST, seq=6)) is Standing.NEWS
