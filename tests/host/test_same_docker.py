"""Docker on other data than it had: nothing is believed absent, started anew, removed or told as gone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gpulease_host.decide import GONE
from gpulease_host.engine import DockerSight, EngineError, EngineUnavailableError
from gpulease_host.journal import JournalError
from gpulease_host.records import KnownDocker
from gpulease_host.same_docker import KEPT_S, Apart, Same, compare
from tests.host.orders import GIB, NOW, order
from tests.host.rig import Rig

KNOWN = KnownDocker("mark-1")


def sight(mark: str | None = None, *, is_covered: bool = False) -> DockerSight:
    return DockerSight("docker-1", "/var/lib/docker", mark, is_covered)


@pytest.mark.parametrize(
    ("seen", "known", "expected", "found", "same"),
    [
        (sight("mark-1"), KNOWN, {11}, set(), "mark-1"),
        (sight(), KNOWN, {11}, set(), None),
        (sight(), KNOWN, set(), set(), None),
        (sight("mark-2"), KNOWN, {11}, set(), None),
        (sight(), KNOWN, {11, 12}, {11}, None),
        (sight(), KNOWN, {11, 12}, {11, 12}, "mark-1"),
        (sight("mark-2"), KNOWN, {11}, {11}, "mark-2"),
        (sight("mark-1", is_covered=True), KNOWN, {11}, {11}, None),
        (sight(), None, set(), set(), "new"),
        (sight("mark-2"), None, set(), set(), "mark-2"),
        (sight(), None, {11, 12}, {12}, "new"),
        (sight(), None, {11}, {13}, None),
    ],
)
def test_docker_is_the_same_by_its_mark_or_by_what_must_be_there(
    seen: DockerSight, known: KnownDocker | None, expected: set[int], found: set[int], same: str | None
) -> None:
    verdict = compare(seen, known, expected, found, "new")
    assert verdict == Same(same) if same is not None else isinstance(verdict, Apart)


class Disks:
    """Docker's disk with what is on it, and the empty folder below."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.mounted: tuple[Any, Any] = ({}, None)

    def reboot_without(self) -> None:
        engine = self.rig.engine
        for instance_id in [each for each in engine.held if engine.is_running(each)]:
            engine.exit(instance_id, 137)
        self.mounted = (engine.held, engine.data_root.now)
        engine.held, engine.data_root.now = {}, sight()
        self.rig.run_id = "run-2"

    def mount_and_restart_docker(self) -> None:
        self.rig.engine.held, self.rig.engine.data_root.now = self.mounted
        self.rig.run_id = "run-3"


@pytest.fixture
def disks(rig: Rig) -> Disks:
    rig.give(order())
    rig.give(order(instance_id=12, token=2, gpus=(1,)))
    rig.give(order(instance_id=12, generation=2, desired="stopped", gpus=(1,)))
    rig.pass_time(40)
    rig.api.orders = [order(), order(instance_id=12, generation=2, desired="stopped", gpus=(1,))]
    rig.engine.calls.clear()
    return Disks(rig)


def test_a_running_contract_waits_for_its_disk_and_then_runs_again(rig: Rig, disks: Disks) -> None:
    disks.reboot_without()
    rig.boot()
    rig.pass_time(120)
    assert rig.engine.calls == []
    assert rig.instance()["status"] == "loading"
    assert "came up without its data" in rig.instance()["reason"]
    disks.mount_and_restart_docker()
    rig.daemon.asker.ask()
    rig.pass_time(60)
    assert rig.engine.calls == ["start 11 g1"]
    assert (rig.instance()["status"], rig.instance()["reason"]) == ("running", None)


def test_a_running_daemon_sees_that_docker_was_restarted_without_its_data(rig: Rig, disks: Disks) -> None:
    disks.reboot_without()
    rig.pass_time(30)
    assert rig.engine.calls == []
    assert rig.record().status == "running"
    disks.mount_and_restart_docker()
    rig.daemon.asker.ask()
    rig.pass_time(30)
    assert rig.engine.calls == ["start 11 g1"]


def test_a_start_gets_no_new_disk(rig: Rig, disks: Disks) -> None:
    disks.reboot_without()
    rig.boot()
    rig.give(order(instance_id=12, generation=3, token=3, gpus=(1,)))
    rig.pass_time(60)
    assert rig.engine.calls == []
    assert "came up without its data" in rig.instance(12)["reason"]
    disks.mount_and_restart_docker()
    rig.give(order(instance_id=12, generation=4, token=4, gpus=(1,)))
    rig.daemon.asker.ask()
    rig.pass_time(30)
    assert rig.instance(12)["status"] == "running"


def test_a_new_contract_does_not_start_there(rig: Rig, disks: Disks) -> None:
    disks.reboot_without()
    rig.boot()
    rig.give(order(instance_id=13, token=5, gpus=(2,)))
    rig.pass_time(60)
    assert rig.engine.calls == []


def test_a_removal_waits_until_there_is_something_to_remove(rig: Rig, disks: Disks) -> None:
    disks.reboot_without()
    rig.boot()
    rig.give(order(generation=2, desired="absent"))
    rig.pass_time(60)
    assert set(rig.engine.calls) == {"kill 11"}, "as far as it runs without Docker's knowledge"
    assert rig.instance()["status"] == "stopping"
    disks.mount_and_restart_docker()
    rig.pass_time(60)
    assert "remove 11" in rig.engine.calls
    assert 11 not in rig.engine.held
    assert rig.instance()["status"] == "absent"


def test_the_host_offers_nothing_meanwhile_and_keeps_what_it_promised(rig: Rig, disks: Disks) -> None:
    disks.reboot_without()
    rig.boot()
    rig.daemon.world._inventory = {**rig.daemon.world._inventory, "disk_bytes": 5 * GIB}
    rig.pass_time(20)
    assert [rig.gpu(index)["status"] for index in range(4)] == ["held", "quarantined", "quarantined", "quarantined"]
    assert rig.state()["inventory"]["disk_bytes"] == 100 * GIB
    assert "without its data" in json.loads(rig.daemon.intake.answer("status")[1])["faults"][0]
    assert "without its data" in rig.daemon.world.inventory["not_ready"][0]
    disks.mount_and_restart_docker()
    rig.pass_time(60)
    assert rig.gpu(2)["status"] == "free"


def test_what_ends_meanwhile_is_not_started_when_the_data_is_back(rig: Rig, disks: Disks) -> None:
    disks.reboot_without()
    rig.boot()
    rig.clock.now = NOW + 3600
    rig.pass_time(10)
    disks.mount_and_restart_docker()
    rig.daemon.asker.ask()
    rig.pass_time(40)
    assert rig.engine.starts() == []
    assert rig.instance()["status"] == "stopped"


def test_a_container_without_docker_is_still_killed_when_it_is_overdue(rig: Rig, disks: Disks) -> None:
    disks.reboot_without()
    rig.pass_time(5)
    rig.clock.now = NOW + 3600 + 31
    rig.pass_time(1)
    assert "kill 11" in rig.engine.calls


def test_the_owner_says_that_the_data_is_gone_and_then_absence_counts(rig: Rig, disks: Disks) -> None:
    disks.reboot_without()
    rig.boot()
    rig.pass_time(20)
    verdict, answer = rig.daemon.intake.answer("accept-docker")
    assert verdict == "ok"
    assert json.loads(answer)["missing"] == [11, 12]
    rig.pass_time(20)
    assert (rig.instance()["status"], rig.instance()["reason"]) == ("exited", GONE)
    assert rig.gpu(3)["status"] == "free"


def test_a_data_root_that_was_covered_is_not_accepted(rig: Rig, disks: Disks) -> None:
    disks.reboot_without()
    rig.engine.data_root.now = sight(is_covered=True)
    rig.pass_time(20)
    assert "Restart Docker" in rig.instance()["reason"]
    assert rig.daemon.intake.answer("accept-docker")[0] == "no"


def test_in_the_same_docker_what_is_absent_was_removed_by_somebody(rig: Rig, disks: Disks) -> None:
    del rig.engine.held[11]
    rig.pass_time(20)
    assert rig.instance()["reason"] == GONE


def test_a_docker_that_does_not_say_who_it_is_proves_nothing(rig: Rig, disks: Disks) -> None:
    rig.engine.held.clear()
    rig.engine.data_root.error = EngineUnavailableError("half an answer")
    rig.run_id = "run-2"
    rig.pass_time(20)
    assert rig.record().status == "running"
    assert rig.engine.calls == []


def test_shares_are_minded_also_while_docker_says_nothing_of_itself(rig: Rig, disks: Disks) -> None:
    rig.engine.data_root.error = EngineUnavailableError("half an answer")
    rig.engine.watched = {}
    rig.pass_time(40)
    assert set(rig.engine.watched) == {11}


def test_a_mark_that_somebody_deleted_is_made_again(rig: Rig, disks: Disks) -> None:
    mark = rig.engine.data_root.now.mark
    rig.engine.data_root.now = sight()
    rig.pass_time(60)
    assert rig.engine.data_root.now.mark == mark
    assert rig.instance()["status"] == "running"


def test_a_data_root_that_cannot_be_marked_is_worked_on_all_the_same(rig: Rig, disks: Disks) -> None:
    rig.engine.data_root.now = sight()
    rig.engine.data_root.mark_error = EngineError("no space left")
    rig.pass_time(60)
    rig.give(order(generation=2, desired="stopped"))
    assert rig.instance()["status"] == "stopped"


@pytest.mark.parametrize("is_there", [True, False])
def test_a_host_of_an_older_program_is_taken_only_if_its_containers_are_there(
    rig: Rig, disks: Disks, is_there: bool
) -> None:
    journal = rig.folder / "journal"
    lines = [line for line in journal.read_bytes().splitlines(keepends=True) if b'"docker"' not in line]
    journal.write_bytes(b"".join(lines))
    rig.engine.data_root.now = sight()
    if not is_there:
        disks.reboot_without()
    rig.boot()
    rig.pass_time(20)
    assert (rig.daemon.ledger.view().docker is not None) == is_there
    assert rig.instance()["status"] == ("running" if is_there else "loading")


def test_what_is_known_of_docker_and_time_survives_a_compaction(rig: Rig, disks: Disks) -> None:
    before = rig.daemon.ledger.view()
    rig.daemon.ledger._compact_at_bytes = 0
    rig.daemon.ledger.amend(11, reason="something")
    after = rig.boot(ask=False).daemon.ledger.view()
    assert (after.docker, after.time) == (before.docker, before.time)
    assert after.docker is not None
    assert after.docker == replace(after.docker, disk_bytes=100 * GIB)


@pytest.mark.parametrize("error", [EngineUnavailableError("docker info hangs"), EngineError("internal server error")])
def test_the_last_answer_holds_for_a_while_where_docker_does_not_say_it_again(
    rig: Rig, disks: Disks, error: EngineError
) -> None:
    rig.engine.data_root.error = error
    rig.pass_time(60)
    rig.give(order(generation=2, desired="stopped"))
    assert rig.instance()["status"] == "stopped"
    rig.pass_time(int(KEPT_S))
    with pytest.raises(EngineUnavailableError):
        rig.daemon.world.containers()


def test_all_who_wait_for_one_look_are_told_what_it_met(rig: Rig, disks: Disks) -> None:
    rig.run_id, looks = "run-2", list[int]()

    def see() -> DockerSight:
        looks.append(1)
        raise EngineUnavailableError("docker info hangs")

    rig.engine.data_root.see = see  # type: ignore[method-assign]
    for _ in range(5):
        with pytest.raises(EngineUnavailableError, match="hangs"):
            rig.daemon.docker.check()
    assert len(looks) == 1


def test_a_docker_whose_mark_cannot_be_written_is_not_said_to_be_accepted(rig: Rig, disks: Disks) -> None:
    disks.reboot_without()
    rig.pass_time(20)
    rig.engine.data_root.mark_error = EngineError("no space left")
    assert rig.daemon.intake.answer("accept-docker") == ("no", "no space left")
    assert rig.daemon.docker.fault is not None


def test_leftovers_that_docker_does_not_load_are_accepted_for_good(rig: Rig, disks: Disks) -> None:
    disks.reboot_without()
    rig.engine.data_root.now = replace(sight(is_covered=True), leftovers=("abc",))
    rig.pass_time(20)
    assert "accept-docker" in rig.instance()["reason"]
    assert rig.daemon.intake.answer("accept-docker")[0] == "ok"
    rig.pass_time(20)
    rig.boot()
    rig.pass_time(60)
    assert rig.daemon.docker.fault is None
    rig.engine.data_root.now = replace(rig.engine.data_root.now, leftovers=("abc", "def"))
    rig.pass_time(60)
    assert rig.daemon.docker.fault is not None


def test_a_journal_that_cannot_be_written_keeps_nobody_from_seeing_containers(
    rig: Rig, disks: Disks, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.engine.data_root.now = sight("mark-of-another")

    def refuse(_docker: KnownDocker) -> None:
        raise JournalError("no space left")

    monkeypatch.setattr(rig.daemon.ledger, "note_docker", refuse)
    rig.pass_time(31)
    assert len(rig.daemon.world.containers()) == 2
