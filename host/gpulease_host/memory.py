"""All that the host remembers, as a value that journal entries change; the journal is a list of such entries.

An entry is an object with any of: `records` (whole records), `forget` (instance ids), `fences` (GPU UUID to token and
instance), `strays` (instance id to when it was first seen, or null), `seq` (no event may use a number up to this one
again), `lost` (whether the journal was lost and the control plane not asked since), `docker` (the one this host works
on), `time` (what its clock goes on from).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gpulease_host.journal import Entry
from gpulease_host.records import Fence, KnownDocker, Record, record_from_json, record_to_json
from gpulease_host.trusted_clock import Anchor


@dataclass
class Memory:
    records: dict[int, Record] = field(default_factory=dict)
    fences: dict[str, Fence] = field(default_factory=dict)
    strays: dict[int, int] = field(default_factory=dict)
    seq: int = 0
    lost: bool = False
    docker: KnownDocker | None = None
    time: Anchor | None = None

    def apply(self, entry: Entry) -> None:
        for value in entry.get("records", ()):
            record = record_from_json(value)
            self.records[record.order.instance_id] = record
        for instance_id in entry.get("forget", ()):
            self.records.pop(instance_id, None)
        for uuid, (token, instance_id) in entry.get("fences", {}).items():
            self.fences[uuid] = Fence(token, instance_id)
        for key, first_seen in entry.get("strays", {}).items():
            self.strays.pop(int(key), None)
            if first_seen is not None:
                self.strays[int(key)] = first_seen
        self.seq = max(self.seq, entry.get("seq", 0))
        self.lost = entry.get("lost", self.lost)
        if "docker" in entry:
            mark, disk_bytes = entry["docker"]
            self.docker = KnownDocker(mark, disk_bytes, tuple(entry.get("leftovers", ())))
        if "time" in entry:
            self.time = Anchor(*entry["time"])

    def entries(self) -> Iterator[Entry]:
        """As few entries as say all of this."""
        strays = {str(instance_id): first_seen for instance_id, first_seen in self.strays.items()}
        yield {"seq": self.seq, "lost": self.lost, "strays": strays, **changed(fences=self.fences)}
        if self.docker is not None:
            yield docker_entry(self.docker)
        if self.time is not None:
            yield time_entry(self.time)
        for record in self.records.values():
            yield changed(records=(record,))


def docker_entry(docker: KnownDocker) -> Entry:
    """What is left over stands beside, where an older host program does not look."""
    return {"docker": [docker.mark, docker.disk_bytes], "leftovers": list(docker.leftovers)}


def time_entry(anchor: Anchor) -> Entry:
    return {"time": [anchor.at, anchor.boottime, anchor.boot_id]}


def changed(records: Iterable[Record] = (), fences: Mapping[str, Fence] | None = None) -> dict[str, Any]:
    """The entry that says these records and fences."""
    entry: dict[str, Any] = {"records": [record_to_json(record) for record in records]}
    if fences:
        entry["fences"] = {uuid: [fence.token, fence.instance_id] for uuid, fence in fences.items()}
    return entry


def replayed(entries: Iterable[Entry]) -> Memory:
    memory = Memory()
    for entry in entries:
        memory.apply(entry)
    return memory
