"""Random rentals while transactions conflict, answers and starts are lost and reports do not arrive (I6, I8).

Whatever happens meanwhile, the table stays consistent; and once faults end and time passes, nothing is held for good.
"""

from collections.abc import Callable
from functools import partial

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rental.domain.errors import ConflictError
from rental.domain.host import HostStatus
from rental.domain.ids import ContractId, InstanceId
from rental.domain.lifecycle import ContractStatus, InstanceStatus
from rental.domain.observation import ReportedInstance, ReportedStatus
from tests.fakes.builders import HOST, TERMS
from tests.fakes.world import World, client, owner

SAID: dict[str, ReportedStatus] = {"running": "running", "stopped": "stopped", "absent": "absent"}
SOME = 3
OVER = {ContractStatus.DELETED, ContractStatus.FAILED}


class Rentals(RuleBasedStateMachine):
    """Clients, the owner, the executions, the sweep and a host, in any order."""

    @initialize(gpus=st.sampled_from([1, 2, 4]))
    def begin(self, gpus: int) -> None:
        self.world = World().add_host(gpus)
        self.acknowledged: list[ContractId] = []

    def attempt(self, deed: Callable[[], object]) -> None:
        try:
            deed()
        except ConflictError:
            return

    @rule(fault=st.sampled_from(["conflict", "lost"]), count=st.integers(1, 9))
    def faults_come(self, fault: str, count: int) -> None:
        self.world.faults.extend([fault] * count)

    @rule(lost=st.booleans())
    def starts_are_lost(self, lost: bool) -> None:
        self.world.workflows.deaf = lost

    @rule(size=st.sampled_from([1, 2]))
    def rent(self, size: int) -> None:
        if size <= self.world.manifest().capacity.gpus and self.world.manifest().listing is not None:
            self.attempt(lambda: self.acknowledged.append(self.world.rent(num_gpus=size).id))

    @rule(data=st.data(), deed=st.sampled_from(["start", "stop", "reboot", "end", "extend"]))
    def act(self, data: st.DataObject, deed: str) -> None:
        if not self.acknowledged:
            return
        contracts, chosen = self.world.contracts, data.draw(st.sampled_from(self.acknowledged))
        later = max(self.world.read(chosen).end_at, self.world.clock.now()) + 600
        deeds: dict[str, Callable[[], object]] = {
            "start": lambda: contracts.start_contract(chosen, client, None),
            "stop": lambda: contracts.stop_contract(chosen, client, None),
            "reboot": lambda: contracts.reboot_contract(chosen, client, None),
            "end": lambda: contracts.end_contract(chosen, client),
            "extend": lambda: contracts.extend_contract(chosen, owner, later),
        }
        self.attempt(deeds[deed])

    @rule(seconds=st.sampled_from([1, 60, 600, 3600, TERMS.grace_s]))
    def time_passes(self, seconds: int) -> None:
        self.world.clock.advance(seconds)

    @rule()
    def the_host_obeys_and_reports(self) -> None:
        said = [
            ReportedInstance(
                ContractId(order["contract_id"]),
                InstanceId(order["instance_id"]),
                order["generation"],
                order["token"],
                SAID[order["desired"]],
                None,
                None,
                None,
            )
            for order in self.world.machines.manifest(HOST).orders
        ]
        self.attempt(lambda: self.world.report(said))

    @rule()
    def executions_go_on(self) -> None:
        for contract_id, run in sorted(self.world.workflows.running):
            self.attempt(partial(self.go_on, ContractId(contract_id), run))

    def go_on(self, contract_id: ContractId, run: int) -> None:
        life, contract, now = self.world.life, self.world.read(contract_id), self.world.clock.now()
        match life.route(contract_id, run).next:
            case "provision":
                life.provision(contract_id, run, f"provision-{contract_id}-{run}")
                if now >= contract.provision_by:
                    life.abandon(contract_id, run, "late")
            case "wait_for_end" if now >= contract.end_at:
                life.expire(contract_id, run)
            case "wait_for_deletion" if now >= contract.delete_after:
                life.delete(contract_id, run, f"delete-{contract_id}-{run}")
            case "delete":
                life.delete(contract_id, run, f"delete-{contract_id}-{run}")
            case "done" | "failed" | "stale":
                self.world.workflows.running.discard((contract_id, run))

    @rule()
    def the_sweep_runs(self) -> None:
        self.attempt(self.world.sweeping.sweep)
        self.attempt(self.world.silence.sweep)
        self.attempt(self.world.clearing.sweep)

    @rule()
    def the_machine_key_is_replaced(self) -> None:
        self.attempt(lambda: self.world.replace_key())

    @precondition(lambda self: len(self.acknowledged) >= SOME)
    @rule(status=st.sampled_from([HostStatus.LOST, HostStatus.REVOKED]))
    def the_host_is_given_up(self, status: HostStatus) -> None:
        self.attempt(lambda: self.world.retiring.retire_host(HOST, owner, status))

    @invariant()
    def what_was_acknowledged_is_there(self) -> None:
        assert len(self.world.store.read_contracts(self.acknowledged)) == len(self.acknowledged)

    @invariant()
    def the_manifest_agrees_with_the_contracts(self) -> None:
        manifest = self.world.manifest()
        contracts = {each.id: each for each in self.world.store.read_contracts(manifest.claims)}
        tokens = {each.id: each.token for contract in contracts.values() for each in contract.instances}
        for lease in manifest.leases.values():
            assert tokens[lease.instance_id] == lease.token
        for contract_id, claim in manifest.claims.items():
            for instance in contracts[contract_id].instances:
                assert claim.instances[instance.id].generation == instance.generation
        assert manifest.disk_free_bytes + sum(each.disk_bytes for each in manifest.claims.values()) == (
            manifest.capacity.disk_bytes
        )

    def teardown(self) -> None:
        """Faults end; two rounds of everything after each deadline must clear the table."""
        self.world.faults.clear()
        self.world.workflows.deaf = False
        for _ in range(5):
            self.world.clock.advance(TERMS.grace_s * 2)
            for _ in range(3):
                self.the_sweep_runs()
                self.executions_go_on()
                self.the_host_obeys_and_reports()
        manifest = self.world.manifest()
        assert not manifest.claims
        assert not manifest.leases
        assert not manifest.waiters
        assert manifest.offline_since is None or manifest.retired is not None
        for contract in self.world.store.read_contracts(self.acknowledged):
            assert contract.status in OVER
            assert contract.launch.sealed is None
            assert {each.status for each in contract.instances} == {InstanceStatus.REMOVED}


Rentals.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestRentals = Rentals.TestCase
