"""Random lives of many contracts on one host, in which some things must never happen (I1, I2, I4, I5, I6).

The host of this test lies at random: it reports any status of any generation and token. Whatever it says, the book
must stay consistent.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rental.domain.book import Book
from rental.domain.contract import Contract
from rental.domain.ending import begin_deletion, end_early, expire, extend, fail
from rental.domain.errors import ConflictError, InvalidRequestError
from rental.domain.host import HostStatus
from rental.domain.ids import ContractId, InstanceId
from rental.domain.letting_in import replace_ssh_keys
from rental.domain.lifecycle import IDLE, REMOVING, ContractStatus, Desired, InstanceStatus
from rental.domain.observation import Report, ReportedGpu, ReportedInstance, ReportedStatus, contracts_to_read, observe
from rental.domain.retiring import NEVER, end_with_host, retire
from rental.domain.running import grant_waiters, grantable, reboot_instances, start_instances, stop_instances
from rental.domain.silence import close_silent, fall_silent
from rental.domain.ways_in import ContainerPort, Direct
from tests.fakes.builders import CAUSE, OWNER, make_manifest, make_report, make_request, rent
from tests.fakes.ports import NOW
from tests.fakes.ssh import make_line
from tests.fakes.tables import make_host

STATUSES: tuple[ReportedStatus, ...] = ("loading", "running", "stopping", "stopped", "exited", "absent", "failed")
OBEYED: dict[Desired, ReportedStatus] = {
    Desired.RUNNING: "running",
    Desired.STOPPED: "stopped",
    Desired.ABSENT: "absent",
}
UNDER_WAY = {
    (InstanceStatus.CREATING, Desired.RUNNING),
    (InstanceStatus.LOADING, Desired.RUNNING),
    (InstanceStatus.SCHEDULING, Desired.RUNNING),
    (InstanceStatus.OFFLINE, Desired.RUNNING),
    (InstanceStatus.STOPPING, Desired.STOPPED),
    (InstanceStatus.STOPPING, Desired.ABSENT),
    (InstanceStatus.STOPPED, Desired.ABSENT),
    (InstanceStatus.EXITED, Desired.STOPPED),
}
PORTS = (ContainerPort(80, "tcp"), ContainerPort(53, "udp"))
MANY = 6
OVER = REMOVING | {ContractStatus.DELETED}
AS_WISHED = {
    (InstanceStatus.RUNNING, Desired.RUNNING),
    (InstanceStatus.STOPPED, Desired.STOPPED),
    (InstanceStatus.REMOVED, Desired.ABSENT),
}


def let_in(book: Book, contract_id: ContractId, line: str, now: int) -> Book:
    """Another key for a contract, whose mode is ssh from here on."""
    contract = book.contract(contract_id)
    opened = replace(contract, launch=replace(contract.launch, mode="ssh"))
    book = replace(book, contracts={**book.contracts, contract_id: opened})
    return replace_ssh_keys(book, contract_id, (line,), now, CAUSE)


class HostLife(RuleBasedStateMachine):
    """Decisions on one book, as the ledger makes them: each is followed by granting who waits."""

    @initialize(gpus=st.integers(1, 4))
    def begin(self, gpus: int) -> None:
        self.now = NOW
        self.opened = 0
        self.book = Book(replace(make_manifest(gpus), direct=Direct("203.0.113.5", 20_000, 20_007)))

    def decide(self, change: Callable[[Book], Book]) -> None:
        before = self.book
        try:
            self.book = grant_waiters(end_with_host(change(before), self.now), self.now)
        except (ConflictError, InvalidRequestError):
            return
        self.check_step(before)

    def any_contract(self, data: st.DataObject) -> ContractId:
        return data.draw(st.sampled_from(sorted(self.book.contracts)))

    @rule(seconds=st.sampled_from([1, 130, 1800, 3600, 172_800]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(size=st.sampled_from([1, 2, 4]), split=st.sampled_from([1, 2]), duration_s=st.sampled_from([600, 3600]))
    def open(self, size: int, split: int, duration_s: int) -> None:
        if size > self.book.manifest.capacity.gpus:
            return
        self.opened += 1
        book, number = self.book, 1000 * self.opened
        self.decide(
            lambda _: rent(
                book,
                number,
                self.now,
                num_gpus=size,
                instances=split,
                duration_s=duration_s,
                launch=replace(make_request().launch, ports=PORTS[: self.opened % 3]),
            ),
        )

    @rule(size=st.sampled_from([1, 2, 4]))
    def open_and_run(self, size: int) -> None:
        self.open(size, 1, 3600)
        self.the_host_obeys()

    @rule(data=st.data(), deed=st.sampled_from(["start", "stop", "reboot", "let in"]), obeyed=st.booleans())
    def wish(self, data: st.DataObject, deed: str, obeyed: bool) -> None:
        if not self.book.contracts:
            return
        chosen = self.any_contract(data)
        instance_id = data.draw(st.sampled_from([None, *(each.id for each in self.book.contract(chosen).instances)]))
        number = len(self.book.timeline)
        deeds: dict[str, Callable[[Book], Book]] = {
            "start": lambda book: start_instances(book, chosen, instance_id, self.now, CAUSE),
            "stop": lambda book: stop_instances(book, chosen, instance_id, self.now, CAUSE),
            "reboot": lambda book: reboot_instances(book, chosen, instance_id, self.now, CAUSE),
            "let in": lambda book: let_in(book, chosen, make_line(number), self.now),
        }
        self.decide(deeds[deed])
        if obeyed:
            self.the_host_obeys()

    @rule(data=st.data(), deed=st.sampled_from(["expire", "extend", "end", "delete", "fail"]))
    def end(self, data: st.DataObject, deed: str) -> None:
        if not self.book.contracts:
            return
        chosen = self.any_contract(data)
        deeds: dict[str, Callable[[Book], Book]] = {
            "expire": lambda book: expire(book, chosen, self.now),
            "extend": lambda book: extend(book, chosen, book.contract(chosen).end_at + 1800, self.now, CAUSE),
            "end": lambda book: end_early(book, chosen, self.now, CAUSE),
            "delete": lambda book: begin_deletion(book, chosen, self.now),
            "fail": lambda book: fail(book, chosen, "late", self.now, CAUSE),
        }
        self.decide(deeds[deed])

    @rule(data=st.data(), deed=st.sampled_from(["expire", "delete"]))
    def its_time_comes(self, data: st.DataObject, deed: str) -> None:
        """The time passes at which this can be done to one contract, and its execution does it."""
        if not self.book.contracts:
            return
        chosen = self.any_contract(data)
        contract = self.book.contract(chosen)
        if deed == "expire":
            self.now = max(self.now, contract.end_at)
            self.decide(lambda book: expire(book, chosen, self.now))
        else:
            self.now = max(self.now, contract.delete_after)
            self.decide(lambda book: begin_deletion(book, chosen, self.now))

    @rule(data=st.data())
    def a_container_exits(self, data: st.DataObject) -> None:
        """By itself, and the host says so."""
        runs = [
            (contract.id, each)
            for contract in self.book.contracts.values()
            for each in contract.instances
            if each.status is InstanceStatus.RUNNING
        ]
        if runs:
            contract_id, each = data.draw(st.sampled_from(runs))
            said = ReportedInstance(contract_id, each.id, each.generation, each.token, "exited", "done", 0, None)
            self.hear(make_report([said]))

    @precondition(lambda self: self.opened >= MANY)
    @rule(status=st.sampled_from([HostStatus.LOST, HostStatus.REVOKED]))
    def the_host_is_given_up(self, status: HostStatus) -> None:
        """For good: from here on only what is over is left."""

        def change(book: Book) -> Book:
            return book.with_manifest(retire(make_host(), book.manifest, status, OWNER, self.now)[1])

        self.decide(change)
        if self.book.manifest.retired is not None:
            assert all(each.is_released for each in self.book.contracts.values())

    @rule(data=st.data())
    def the_host_reports_anything(self, data: st.DataObject) -> None:
        said: dict[InstanceId, ReportedInstance] = {}
        for contract in self.book.contracts.values():
            for each in contract.instances:
                if data.draw(st.booleans()):
                    generation = max(0, each.generation - data.draw(st.integers(-1, 2)))
                    token = data.draw(st.sampled_from([None, each.token, 1]))
                    status = data.draw(st.sampled_from(STATUSES))
                    said[each.id] = ReportedInstance(contract.id, each.id, generation, token, status, None, None, None)
        holder = data.draw(st.sampled_from([None, *said]))
        held = (ReportedGpu(0, "held", holder, "GPU-0000"),) if holder else ()
        self.hear(make_report(list(said.values()), held))

    @rule()
    def the_host_falls_silent(self) -> None:
        """It comes back with whatever it reports next."""

        def change(book: Book) -> Book:
            closed = close_silent(book.manifest, self.now, book.manifest.heard_seq)
            narrow = replace(book, contracts={each: book.contracts[each] for each in book.manifest.claims})
            silent = fall_silent(narrow.with_manifest(closed), self.now)
            return replace(silent, contracts={**book.contracts, **silent.contracts})

        before = self.book
        self.decide(change)
        for contract in self.book.contracts.values():
            assert contract.instances == before.contract(contract.id).instances
        assert self.book.manifest.leases == before.manifest.leases
        assert not self.book.manifest.free_gpus()

    @rule()
    def the_host_obeys(self) -> None:
        """Everything wanted is applied and truthfully reported, except what waits."""
        said = {
            each.id: ReportedInstance(
                contract.id, each.id, each.generation, each.token, OBEYED[each.desired], None, None, self.now
            )
            for contract in self.book.contracts.values()
            for each in contract.instances
        }
        self.hear(make_report(list(said.values())))

    def hear(self, report: Report) -> None:
        touched = contracts_to_read(self.book.manifest, report, self.now)
        everything = self.book.contracts

        def change(book: Book) -> Book:
            if book.manifest.heard_seq >= NEVER:
                return book  # as the service does: nothing that a retired host says counts
            narrow = replace(book, contracts={each: everything[each] for each in touched})
            seen = observe(narrow, report, self.now)
            seen = seen.with_manifest(replace(seen.manifest, offline_since=None))
            return replace(seen, contracts={**everything, **seen.contracts})

        self.decide(change)

    def check_step(self, before: Book) -> None:
        for contract in self.book.contracts.values():
            earlier = before.contracts.get(contract.id)
            if earlier is not None:
                self.check_contract_step(earlier, contract)

    def check_contract_step(self, earlier: Contract, contract: Contract) -> None:
        assert contract.end_at >= earlier.end_at
        assert contract.gpus == earlier.gpus
        if contract.status is ContractStatus.DELETING and earlier.status is not ContractStatus.DELETING:
            assert self.now >= earlier.delete_after, "deleted before the promise"
        for old, new in zip(earlier.instances, contract.instances, strict=True):
            assert new.generation >= old.generation
            assert new.desired is old.desired or new.generation > old.generation
            if new.token not in (old.token, None):
                assert not contract.is_past_end(self.now), "an expired contract starts"
                assert new.token > (old.token or 0)

    @invariant()
    def leases_and_instances_agree(self) -> None:
        manifest = self.book.manifest
        held: dict[int, InstanceId] = {}
        for contract in self.book.contracts.values():
            for instance in contract.instances:
                if instance.token is None:
                    continue
                for index in instance.gpu_indexes:
                    assert index not in held, "a GPU with two leases"
                    held[index] = instance.id
                    assert manifest.leases[index].token == instance.token
        assert held == {index: lease.instance_id for index, lease in manifest.leases.items()}

    @invariant()
    def what_a_silent_host_holds_shows_offline_and_nothing_else_does(self) -> None:
        manifest = self.book.manifest
        silent = manifest.offline_since is not None and manifest.retired is None
        for contract in self.book.contracts.values():
            if not contract.is_released:
                assert (contract.offline_since is not None) is silent
            for instance in contract.instances:
                hidden = contract.status_of(instance) is InstanceStatus.OFFLINE
                assert hidden is (silent and not instance.is_removed)

    @invariant()
    def disk_is_promised_once(self) -> None:
        manifest = self.book.manifest
        promised = sum(claim.disk_bytes for claim in manifest.claims.values())
        assert 0 <= manifest.disk_free_bytes == manifest.capacity.disk_bytes - promised

    @invariant()
    def a_port_of_the_host_has_one_holder_until_that_is_gone(self) -> None:
        for protocol in ("tcp", "udp"):
            held = [
                port.host
                for contract in self.book.contracts.values()
                if not contract.is_released
                for instance in contract.instances
                for port in instance.ports
                if port.protocol == protocol
            ]
            claims = self.book.manifest.claims.values()
            assert len(set(held)) == len(held)
            assert sorted(held) == sorted(each for claim in claims for each in getattr(claim, f"{protocol}_ports"))

    @invariant()
    def the_manifest_claims_exactly_what_is_not_released(self) -> None:
        unreleased = {each.id for each in self.book.contracts.values() if not each.is_released}
        assert set(self.book.manifest.claims) == unreleased
        for contract_id, claim in self.book.manifest.claims.items():
            contract = self.book.contract(contract_id)
            assert (claim.end_at, claim.delete_after) == (contract.end_at, contract.delete_after)
            for instance in contract.instances:
                claimed = claim.instances[instance.id]
                assert (claimed.generation, claimed.desired, claimed.status, claimed.token) == (
                    instance.generation,
                    instance.desired,
                    instance.status,
                    instance.token,
                )

    @invariant()
    def nothing_is_wanted_absent_before_its_time(self) -> None:
        for contract in self.book.contracts.values():
            wants_absent = {each.desired for each in contract.instances} == {Desired.ABSENT}
            assert wants_absent == (contract.status in OVER)

    @invariant()
    def what_is_wanted_running_holds_its_gpus_or_waits_and_what_is_idle_holds_none(self) -> None:
        waiting = {each.instance_id for each in self.book.manifest.waiters}
        for contract in self.book.contracts.values():
            for instance in contract.instances:
                waits = instance.status is InstanceStatus.SCHEDULING
                assert waits == (instance.id in waiting)
                if instance.desired is Desired.RUNNING:
                    assert waits or instance.token is not None
                if instance.status in IDLE:
                    assert instance.token is None

    @invariant()
    def what_is_not_as_wished_says_why(self) -> None:
        for contract in self.book.contracts.values():
            if contract.status_at(self.now) is not ContractStatus.ACTIVE:
                assert contract.reason_at(self.now)
            for instance in contract.instances:
                as_wished = (contract.status_of(instance), instance.desired) in AS_WISHED
                assert as_wished or contract.reason_of(instance)

    @invariant()
    def nobody_waits_whose_turn_has_come(self) -> None:
        assert grantable(self.book) == ()

    @invariant()
    def nothing_is_held_by_what_is_gone(self) -> None:
        gone = {each.id for each in self.book.contracts.values() if each.is_released}
        manifest = self.book.manifest
        assert not gone & {lease.contract_id for lease in manifest.leases.values()}
        assert not gone & {waiter.contract_id for waiter in manifest.waiters}
        for contract in self.book.contracts.values():
            if contract.status is ContractStatus.DELETED:
                assert contract.id in gone
            if contract.status in OVER:
                assert contract.launch.sealed is None


HostLife.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestHostLife = HostLife.TestCase


@pytest.mark.slow
def test_the_random_lives_come_through_every_status_and_every_wish() -> None:
    """An invariant that holds because nothing happens is worth nothing."""
    seen: set[ContractStatus | tuple[InstanceStatus, Desired]] = set()

    class Watched(HostLife):
        @invariant()
        def note(self) -> None:
            for contract in self.book.contracts.values():
                seen.add(contract.status)
                seen.update((contract.status_of(each), each.desired) for each in contract.instances)

    lives = settings(max_examples=1000, stateful_step_count=40, deadline=None, derandomize=True, database=None)
    run_state_machine_as_test(Watched, settings=lives)
    assert seen >= {*ContractStatus, *AS_WISHED, *UNDER_WAY}
