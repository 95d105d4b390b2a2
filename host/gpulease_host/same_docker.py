"""Whether Docker runs on the data that it had: only then is what it does not show gone.

A disk that is mounted late leaves Docker an empty data root. It then shows no container, which proves nothing: until
the data is back, or the machine's owner says that it never will be, nothing is believed absent, started, or removed.

    the mark in the data root is the remembered one ──► the same
    no mark, or another; what must be there is there ──► the same, marked anew
    else ──► apart, until the data is back or `gpulease-host accept-docker`
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gpulease_host.decide import GONE
from gpulease_host.engine import DataMissingError, DataRoot, DockerSight, EngineError, EngineUnavailableError
from gpulease_host.journal import JournalError
from gpulease_host.ledger import Ledger
from gpulease_host.log import Log
from gpulease_host.records import KnownDocker, Record

LOOK_AGAIN_S = 30.0
LOOK_WHILE_APART_S = 2.0
KEPT_S = 300.0
"""For so long the last answer holds while Docker says nothing of itself, if it was not restarted since."""


@dataclass(frozen=True)
class Same:
    """`mark`: to be remembered, and written where it is not."""

    mark: str


@dataclass(frozen=True)
class Apart:
    reason: str


def must_be_there(records: Mapping[int, Record]) -> set[int]:
    """Instances of which a container was seen, and not yet seen gone."""
    return {
        instance_id
        for instance_id, record in records.items()
        if (record.begun or record.started_at is not None) and record.status != "absent" and record.reason != GONE
    }


def compare(
    sight: DockerSight, known: KnownDocker | None, expected: Collection[int], found: Collection[int], new_mark: str
) -> Same | Apart:
    """`found`: the instances that Docker shows now. On a Docker that was never marked, one of ours is proof enough."""
    if sight.leftovers and not set(sight.leftovers) <= set(() if known is None else known.leftovers):
        return Apart(
            f"Docker shows none of the containers that lie in {sight.data_root}: a disk was mounted while it ran. "
            "Restart Docker; if that does not help, they are left over: run `gpulease-host accept-docker`."
        )
    if sight.is_covered and not sight.leftovers:
        return Apart(
            f"Docker runs on other data than what is in {sight.data_root} now: a disk was mounted, or taken away, "
            "while it ran. Restart Docker."
        )
    if known is not None and sight.mark == known.mark:
        return Same(known.mark)
    there = [each for each in expected if each in found]
    is_same = not expected or bool(there) if known is None else bool(expected) and len(there) == len(expected)
    if is_same:
        return Same(sight.mark or (known.mark if known is not None else new_mark))
    return Apart(
        f"Docker came up without its data: {sight.data_root} is not what it was. Its disk is probably not mounted. "
        "Mount it and restart Docker; or, if the data is gone for good, run `gpulease-host accept-docker`."
    )


@dataclass
class SameDocker:
    root: DataRoot
    ledger: Ledger
    find: Callable[[], Collection[int]]
    """The instances whose containers Docker shows. Raises EngineError."""
    read_run: Callable[[], str]
    elapsed: Callable[[], float]
    """Monotonic seconds."""
    log: Log
    new_mark: Callable[[], str] = lambda: uuid.uuid4().hex
    fault: str | None = field(default=None, init=False)
    """Why Docker is not believed, while it is not."""
    _looked: tuple[str, float] | None = field(default=None, init=False)
    _proved: tuple[str, float] | None = field(default=None, init=False)
    """In which run, and when, Docker was last seen to be the same."""
    _failed: tuple[str, float] | None = field(default=None, init=False)
    """With what words, and when, Docker last did not say what it is: all who wait for the lock are told the same."""
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False)

    def check(self) -> None:
        """Raises DataMissingError while it is not the same, EngineError when it does not say."""
        with self._lock:
            if not self._is_fresh():
                self._look_or_keep(self.read_run())
            if self.fault is not None:
                raise DataMissingError(self.fault)

    def accept(self) -> dict[str, Any]:
        """The owner says that this is Docker's data from now on. Raises EngineError, JournalError."""
        with self._lock:
            sight = self.root.see()
            if sight.is_covered and not sight.leftovers:
                raise EngineError(f"Docker runs on other data than what is in {sight.data_root} now. Restart it first.")
            missing = sorted(must_be_there(self.ledger.view().records) - set(self.find()))
            self._mark_and_note(Same(sight.mark or self.new_mark()), sight)
            self._believe(sight)
            self._looked = None
            self.log.say("Docker accepted as it is", data_root=sight.data_root, missing=missing)
            return {"v": 1, "data_root": sight.data_root, "missing": missing}

    def note_disk(self, disk_bytes: int) -> None:
        """What tenants may have of this data's disk. Raises JournalError."""
        known = self.ledger.view().docker
        if self.fault is None and known is not None and known.disk_bytes != disk_bytes:
            self.ledger.note_docker(replace(known, disk_bytes=disk_bytes))

    @property
    def known_disk_bytes(self) -> int | None:
        known = self.ledger.view().docker
        return None if known is None else known.disk_bytes

    def _is_fresh(self) -> bool:
        if self._looked is None:
            return False
        run_id, at = self._looked
        lasts_s = LOOK_AGAIN_S if self.fault is None else LOOK_WHILE_APART_S
        return self.elapsed() - at < lasts_s and run_id == self.read_run()

    def _look(self) -> None:
        sight, view = self.root.see(), self.ledger.view()
        is_known = view.docker is not None and sight.mark == view.docker.mark
        found = () if is_known else self.find()
        verdict = compare(sight, view.docker, must_be_there(view.records), found, self.new_mark())
        if isinstance(verdict, Same):
            self._remember(verdict, sight)
        elif self.fault != verdict.reason:
            self.fault = verdict.reason
            self.log.say("Docker is not believed", reason=verdict.reason, docker_id=sight.docker_id)

    def _look_or_keep(self, run_id: str) -> None:
        """Raises EngineUnavailableError."""
        again_s = LOOK_AGAIN_S if self._is_kept(run_id) else LOOK_WHILE_APART_S
        if self._failed is None or self.elapsed() - self._failed[1] >= again_s:
            try:
                self._look()
            except EngineError as error:
                self._failed = (str(error), self.elapsed())
            else:
                self._failed = None
                self._looked = (run_id, self.elapsed())
                self._proved = self._looked if self.fault is None else None
                return
        if not self._is_kept(run_id):
            raise EngineUnavailableError(self._failed[0])

    def _is_kept(self, run_id: str) -> bool:
        return self._proved is not None and self._proved[0] == run_id and self.elapsed() - self._proved[1] < KEPT_S

    def _remember(self, same: Same, sight: DockerSight) -> None:
        """What cannot be written, as on a full disk, is tried again with the next look."""
        try:
            self._mark_and_note(same, sight)
        except (EngineError, JournalError) as error:
            self.log.say("Docker's data is not marked", reason=str(error))
        self._believe(sight)

    def _mark_and_note(self, same: Same, sight: DockerSight) -> None:
        """In the data root first: a mark that is remembered and not there would keep the host from working."""
        known = self.ledger.view().docker
        if sight.mark is None:
            self.root.mark(same.mark)
        before = known or KnownDocker(same.mark)
        now = replace(before, mark=same.mark, leftovers=sight.leftovers or before.leftovers)
        if known != now:
            self.ledger.note_docker(now)

    def _believe(self, sight: DockerSight) -> None:
        if self.fault is not None:
            self.log.say("Docker is believed again", data_root=sight.data_root)
            self.fault = None
