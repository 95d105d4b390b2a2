"""What a host says of itself counts from its next report on, for what is new; what it has goes on."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from rental.domain.contract import Contract, Launch, Sealed
from rental.domain.errors import ConflictError, HostNotReadyError, ModeNotServedError
from rental.domain.host import MachineKey
from rental.domain.ids import ContractId
from rental.domain.lifecycle import InstanceStatus
from rental.domain.observation import ReportedInstance
from rental.domain.readiness import Readiness
from rental.service.repeating import Repeatable
from tests.fakes.builders import DIRECT, HOST, make_inventory, make_report, reported
from tests.fakes.ports import PlainSealer
from tests.fakes.ssh import make_line
from tests.fakes.world import World, client, owner
from tests.service.test_hosts import TERMS

NO_TOOLKIT = "The host builds its toolkit."
ARGS_ONLY = Readiness({"args": None, "ssh": NO_TOOLKIT, "jupyter": NO_TOOLKIT})
ALL = Readiness({"args": None, "ssh": None, "jupyter": None})
UNFIT = Readiness(not_ready=("Docker is too old. Update it.", "The firewall lets nobody in. Open it."))


def rent_ssh(world: World, repeatable: Repeatable | None = None) -> Contract:
    return world.rent(repeatable, launch=Launch("alpine:3", mode="ssh"), ssh_keys=(make_line(1),))


def modes_offered(world: World) -> list[set[str]]:
    return [set(each.modes) for each in world.offers.list_offers(None).items]


def test_a_host_registers_with_args_only_and_a_later_report_adds_the_rest() -> None:
    world = World()
    admission = world.hosts.add_host(owner, "")
    world.nodes.joined[admission.activation.activation_id] = "mi-1"
    host_id = admission.host.id
    world.machines.register(admission.registration_token, world.machine.key, make_inventory(), ARGS_ONLY)
    assert world.hosts.show_host(host_id, owner).modes == ARGS_ONLY.modes
    world.opening.declare_direct(host_id, owner, DIRECT.address, DIRECT.first_port, DIRECT.last_port)
    world.hosts.list_for_rent(host_id, owner, TERMS)
    assert modes_offered(world) == [{"args"}] * 3
    report, sighting = make_report([], readiness=ALL), world.sighting(1)
    assert world.observing.observe(replace(report, host_id=host_id), replace(sighting, host_id=host_id))
    assert modes_offered(world) == [{"args", "ssh", "jupyter"}] * 3


def test_a_host_that_loses_a_mode_between_offer_and_contract_makes_none() -> None:
    world = World().add_host(direct=DIRECT)
    assert modes_offered(world)[0] == {"args", "ssh", "jupyter"}
    world.report([], readiness=ARGS_ONLY)
    before = world.table.items()
    with pytest.raises(ModeNotServedError, match="no toolkit for ssh and jupyter"):
        rent_ssh(world)
    assert world.table.items() == before
    assert not world.workflows.started
    assert world.rent().launch.mode == "args"


@dataclass
class Losing(PlainSealer):
    """The mode is lost once, after the manifest was read and before anything is written."""

    lose: Callable[[], object]

    def seal(self, key: MachineKey, contract_id: ContractId, plaintext: bytes) -> Sealed:
        self.lose()
        return super().seal(key, contract_id, plaintext)


def test_a_mode_that_is_lost_while_the_rental_commits_makes_no_contract() -> None:
    world = World().add_host(direct=DIRECT)
    world.renting = replace(world.renting, sealer=Losing(lambda: world.report([], readiness=ARGS_ONLY)))
    with pytest.raises(ModeNotServedError):
        rent_ssh(world)
    assert not world.manifest().claims


def test_a_repeated_request_answers_the_contract_also_when_the_mode_is_gone() -> None:
    world = World().add_host(direct=DIRECT)
    once = Repeatable("key", b"this")
    contract = rent_ssh(world, once)
    world.report(reported(contract, "loading"), readiness=ARGS_ONLY)
    assert rent_ssh(world, once).id == contract.id


def test_a_host_that_is_not_ready_leaves_the_market_until_a_report_says_it_is() -> None:
    world = World().add_host()
    contract = world.rent_active()
    said = reported(world.read(contract.id), "running")
    world.report(said, readiness=UNFIT)
    assert modes_offered(world) == []
    with pytest.raises(HostNotReadyError):
        world.rent()
    view = world.hosts.show_host(HOST, owner)
    assert (view.not_ready, view.reason) == (UNFIT.not_ready, " ".join(UNFIT.not_ready))
    assert [each.reason for each in world.hosts.list_hosts(owner, None, 10).items] == [view.reason]
    assert view.manifest is not None
    assert view.manifest.listing is not None, "the owner's wish stays as it was"
    world.report(said, readiness=ALL)
    assert len(modes_offered(world)) == 2
    assert world.hosts.show_host(HOST, owner).reason is None
    assert world.rent().id != contract.id


def test_contracts_of_a_host_that_is_not_ready_go_on() -> None:
    world = World().add_host()
    contract = world.rent_active()
    world.report(reported(world.read(contract.id), "running"), readiness=UNFIT)
    world.contracts.stop_contract(contract.id, client, None)
    world.report(reported(world.read(contract.id), "stopped"), readiness=UNFIT)
    world.contracts.start_contract(contract.id, client, None)
    world.report(reported(world.read(contract.id), "running"), readiness=UNFIT)
    assert world.read(contract.id).instances[0].status is InstanceStatus.RUNNING


def test_a_host_that_is_not_ready_cannot_be_listed_and_says_every_reason() -> None:
    world = World().add_host()
    world.report([], readiness=UNFIT)
    with pytest.raises(HostNotReadyError) as refused:
        world.hosts.list_for_rent(HOST, owner, TERMS)
    assert str(refused.value) == f"The host is not ready. {' '.join(UNFIT.not_ready)}"
    world.hosts.unlist(HOST, owner)
    world.report([], readiness=Readiness())
    assert world.hosts.list_for_rent(HOST, owner, TERMS).listing is not None


def test_a_contract_whose_mode_is_gone_for_now_is_started_and_waits() -> None:
    world = World().add_host(direct=DIRECT)
    contract = rent_ssh(world)
    world.hear(contract.id, "running")
    world.contracts.stop_contract(contract.id, client, None)
    world.report(reported(world.read(contract.id), "stopped"), readiness=ARGS_ONLY)
    world.contracts.start_contract(contract.id, client, None)
    waits: list[ReportedInstance] = reported(world.read(contract.id), "loading", reason=NO_TOOLKIT)
    world.report(waits, readiness=ARGS_ONLY)
    (instance,) = world.read(contract.id).instances
    assert (instance.status, instance.reason) == (InstanceStatus.LOADING, NO_TOOLKIT)
    with pytest.raises(ConflictError):
        rent_ssh(world)


def test_a_report_of_the_same_changes_nothing_in_the_table() -> None:
    world = World().add_host()
    world.report([], readiness=ARGS_ONLY)
    before = json.dumps(world.table.items(), default=str, sort_keys=True)
    world.report([], readiness=ARGS_ONLY)
    assert json.dumps(world.table.items(), default=str, sort_keys=True) == before


def test_an_older_report_does_not_bring_a_mode_back() -> None:
    world = World().add_host()
    assert world.observing.observe(make_report([], readiness=ARGS_ONLY), world.sighting(10))
    assert not world.observing.observe(make_report([], readiness=ALL), world.sighting(9))
    assert world.manifest().readiness == ARGS_ONLY


def test_a_host_of_before_says_nothing_and_serves_all_again() -> None:
    """A daemon that goes back to the version before is no less of a host."""
    world = World().add_host(direct=DIRECT)
    world.report([], readiness=ARGS_ONLY)
    world.report([])
    assert world.manifest().readiness == Readiness()
    assert rent_ssh(world).launch.mode == "ssh"
