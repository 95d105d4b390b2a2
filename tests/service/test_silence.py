"""A silent host: out of the market, its instances offline, nothing that is wanted changed, and back with its word."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from rental.api.present import present_contract
from rental.domain.errors import HostOfflineError
from rental.domain.ids import ContractId, HostId
from rental.domain.lifecycle import Desired
from rental.domain.liveness import OFFLINE_AFTER_S, Phase, Presence
from rental.ports import Page
from rental.service.ledger import ATTEMPTS
from tests.fakes.builders import HOST, reported
from tests.fakes.ports import MemoryLiveness
from tests.fakes.world import World, client, offer, owner


def fallen_silent() -> tuple[World, ContractId]:
    """A host with one running contract, heard for the last time 300 s ago."""
    world = World().add_host()
    contract = world.rent_active()
    world.clock.advance(OFFLINE_AFTER_S)
    return world, contract.id


def shown(world: World, contract_id: ContractId) -> list[str]:
    contract = world.read(contract_id)
    return [each["status"] for each in present_contract(contract, world.clock.now())["instances"]]


def timeline(world: World, contract_id: ContractId) -> list[str]:
    lines = world.store.list_timeline(contract_id, None, 50).items
    return [each.status for each in lines if each.instance_id is not None]


def test_a_host_that_was_heard_in_time_is_left_alone() -> None:
    world, _ = fallen_silent()
    world.clock.advance(-1)
    assert world.silence.sweep() == 0
    assert world.manifest().offline_since is None


def test_a_silent_hosts_instances_show_offline_and_nothing_else_changes() -> None:
    world, contract_id = fallen_silent()
    before = world.read(contract_id)
    assert world.silence.sweep() == 1
    after = world.read(contract_id)
    instance = present_contract(after, world.clock.now())["instances"][0]
    assert (instance["status"], instance["desired"]) == ("offline", "running")
    assert "silent since" in instance["reason"]
    assert after.instances == before.instances
    assert world.manifest().leases[0].contract_id == contract_id
    assert timeline(world, contract_id) == ["running", "offline"]


def test_it_is_marked_once() -> None:
    world, contract_id = fallen_silent()
    assert [world.silence.sweep() for _ in range(3)] == [1, 0, 0]
    assert timeline(world, contract_id) == ["running", "offline"]


def test_it_has_no_offers_and_cannot_be_rented_and_its_owner_sees_since_when() -> None:
    world, _ = fallen_silent()
    assert world.offers.list_offers(None).items
    world.silence.sweep()
    assert world.offers.list_offers(None) == Page([])
    assert world.offers.show_offer(offer()).gpu_indexes == ()
    with pytest.raises(HostOfflineError, match="does not answer"):
        world.rent()
    view = world.hosts.show_host(HOST, owner)
    assert view.manifest is not None
    assert view.manifest.offline_since == view.last_seen_at == world.clock.now() - OFFLINE_AFTER_S


def test_its_next_report_brings_back_what_is() -> None:
    world, contract_id = fallen_silent()
    world.silence.sweep()
    assert world.hear(contract_id, "running")
    assert shown(world, contract_id) == ["running"]
    assert timeline(world, contract_id) == ["running", "offline", "running"]
    assert world.manifest().offline_since is None
    assert world.rent().id
    presence = world.liveness.read(HOST)
    assert presence is not None
    assert presence.phase is Phase.SETTLED


def test_what_changed_in_the_silence_is_what_shows_after_it() -> None:
    world, contract_id = fallen_silent()
    world.silence.sweep()
    world.hear(contract_id, "exited", exit_code=1, reason="error")
    assert shown(world, contract_id) == ["exited"]
    assert timeline(world, contract_id) == ["running", "offline", "exited"]


def test_an_instance_of_which_the_host_says_nothing_is_what_it_was() -> None:
    world, contract_id = fallen_silent()
    pending = world.rent()
    world.silence.sweep()
    assert (shown(world, pending.id), shown(world, contract_id)) == (["offline"], ["offline"])
    world.report([])
    assert (shown(world, pending.id), shown(world, contract_id)) == (["creating"], ["running"])


def test_what_is_wanted_in_the_silence_is_offline_until_the_host_has_said_more() -> None:
    world, contract_id = fallen_silent()
    world.silence.sweep()
    stopped = world.contracts.stop_contract(contract_id, client, None)
    assert stopped.instances[0].desired is Desired.STOPPED
    assert shown(world, contract_id) == ["offline"]
    world.hear(contract_id, "stopped")
    assert shown(world, contract_id) == ["stopped"]
    assert not world.manifest().leases


def test_an_instance_that_is_gone_does_not_come_back_as_offline() -> None:
    world = World().add_host()
    contract = world.rent_active(num_gpus=2, instances=2)
    world.contracts.end_contract(contract.id, client)
    said = reported(world.read(contract.id), "absent")
    world.report(said[:1])
    world.clock.advance(OFFLINE_AFTER_S)
    world.silence.sweep()
    assert shown(world, contract.id) == ["removed", "offline"]
    world.report(said)
    assert shown(world, contract.id) == ["removed", "removed"]


def test_many_contracts_go_and_come_in_as_many_commits_as_they_need() -> None:
    world = World().add_host(gpus=8)
    ids = []
    for _ in range(12):
        contract = world.rent_active(num_gpus=8, instances=8, disk_gib=1)
        world.contracts.stop_contract(contract.id, client, None)
        world.hear(contract.id, "stopped")
        ids.append(contract.id)
    world.clock.advance(OFFLINE_AFTER_S)
    assert world.silence.sweep() == 1
    assert {status for each in ids for status in shown(world, each)} == {"offline"}
    world.report([])
    assert {status for each in ids for status in shown(world, each)} == {"stopped"}


def test_a_busy_host_is_marked_by_the_next_sweep_wherever_the_last_one_ended() -> None:
    world, contract_id = fallen_silent()
    world.faults.extend(["conflict"] * ATTEMPTS)
    assert world.silence.sweep() == 0
    world.faults.extend(["conflict"] * ATTEMPTS)
    world.faults.append("")  # the manifest is marked, the contract is not
    assert world.silence.sweep() == 0
    assert world.manifest().offline_since is not None
    assert shown(world, contract_id) == ["running"]
    assert world.silence.sweep() == 1
    assert shown(world, contract_id) == ["offline"]


@dataclass
class Interrupted(MemoryLiveness):
    """Something happens once right after the sweep has begun to mark a host."""

    then: Callable[[], object] = lambda: None

    def swap(self, before: Presence | None, after: Presence) -> Presence | None:
        written = super().swap(before, after)
        if after.phase is Phase.LEAVING:
            self.then()
        return written


def test_a_report_between_the_sweeps_look_and_its_mark_wins() -> None:
    world, contract_id = fallen_silent()
    liveness = Interrupted(world.liveness.known, lambda: world.hear(contract_id, "running"))
    assert replace(world.silence, liveness=liveness).sweep() == 0
    assert world.manifest().offline_since is None
    assert timeline(world, contract_id) == ["running"]
    assert world.silence.sweep() == 0


def test_when_too_many_fall_silent_at_once_nobody_is_marked_until_a_person_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world, contract_id = fallen_silent()
    presence = world.liveness.read(HOST)
    assert presence is not None
    for number in range(100, 109):
        world.liveness.known[HostId(number)] = replace(presence, host_id=HostId(number))
    assert world.silence.sweep() == 0
    assert [(each.message, each.levelname) for each in caplog.records] == [("brake", "ERROR")]
    assert shown(world, contract_id) == ["running"]
    world.clock.advance(86_400)
    assert world.silence.sweep() == 0
    assert world.silence.sweep(brake=False) == 1  # the other nine are not registered
    assert shown(world, contract_id) == ["offline"]
