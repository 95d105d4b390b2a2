"""A tunnel key is one host's, makes known what that host may listen on, and ends with the host's good name."""

from dataclasses import replace

import pytest

from rental.domain.contract import Contract
from rental.domain.errors import ConflictError, InvalidRequestError, NotCurrentError, NotFoundError
from rental.domain.host import HostStatus
from rental.domain.ids import HostId
from rental.domain.tunnel import fingerprint_of
from rental.ports import Extras
from rental.service.proxying import Binding
from rental.service.tunneling import Tunneling
from tests.fakes.builders import HOST
from tests.fakes.machine import tunnel_key_of
from tests.fakes.world import World, owner

KEY, OTHER = tunnel_key_of(1), tunnel_key_of(2)


def tunneling(world: World) -> Tunneling:
    return Tunneling(world.store, world.clock)


def led_to(world: World) -> Contract:
    contract = world.rent_active()
    before = world.ledger.open_book(HOST, [contract.id])
    numbered = replace(contract.instances[0], proxy_ssh_port=40_001)
    world.store.commit(before, before.with_contract(replace(contract, instances=(numbered,))))
    return contract


def test_a_host_s_key_leads_to_what_it_may_listen_on() -> None:
    world = World().add_host()
    contract = led_to(world)
    tunneling(world).introduce(HOST, KEY)
    found = tunneling(world).ports_of(fingerprint_of(KEY))
    assert (found.host_id, list(found.bindings)) == (HOST, [Binding(contract.instances[0].id, 40_001, None)])


def test_a_repeated_introduction_writes_nothing() -> None:
    world = World().add_host()
    first = tunneling(world).introduce(HOST, KEY)
    before = world.store.read_host(HOST)
    assert tunneling(world).introduce(HOST, KEY).tunnel_key == first.tunnel_key
    assert world.store.read_host(HOST) == before


def test_a_key_that_was_replaced_leads_nowhere_and_may_come_back() -> None:
    world = World().add_host()
    for key in (KEY, OTHER):
        tunneling(world).introduce(HOST, key)
    with pytest.raises(NotFoundError):
        tunneling(world).ports_of(fingerprint_of(KEY))
    tunneling(world).introduce(HOST, KEY)
    assert tunneling(world).ports_of(fingerprint_of(KEY)).host_id == HOST


def test_nobody_can_claim_anothers_key() -> None:
    world = World().add_host()
    tunneling(world).introduce(HOST, KEY)
    host, manifest = world.store.read_host(HOST), world.store.read_manifest(HOST)
    assert host is not None
    assert manifest is not None
    thief = HostId(8)
    world.store.create_host(replace(host, id=thief, tunnel_key=None, rev=0))
    book = replace(world.ledger.open_book(HOST), manifest=replace(manifest, host_id=thief, rev=0))
    world.store.commit(book, book, Extras())
    with pytest.raises(ConflictError):
        tunneling(world).introduce(thief, KEY)
    assert tunneling(world).ports_of(fingerprint_of(KEY)).host_id == HOST


@pytest.mark.parametrize("status", [HostStatus.REVOKED, HostStatus.LOST])
def test_a_host_that_was_given_up_is_not_let_in(status: HostStatus) -> None:
    world = World().add_host()
    led_to(world)
    tunneling(world).introduce(HOST, KEY)
    if status is HostStatus.LOST:
        world.clock.advance(3600)
        before = world.ledger.open_book(HOST)
        silent = replace(before.manifest, offline_since=world.clock.now() - 300)
        world.store.commit(before, before.with_manifest(silent))
    world.retiring.retire_host(HOST, owner, status)
    with pytest.raises(NotFoundError):
        tunneling(world).ports_of(fingerprint_of(KEY))


def test_a_quarantined_host_is_not_let_in() -> None:
    world = World().add_host()
    tunneling(world).introduce(HOST, KEY)
    host = world.store.read_host(HOST)
    assert host is not None
    book = world.ledger.open_book(HOST)
    world.store.commit(book, book, Extras(host=replace(host, status=HostStatus.QUARANTINED)))
    with pytest.raises(NotFoundError):
        tunneling(world).ports_of(fingerprint_of(KEY))


def test_who_never_registered_introduces_nothing() -> None:
    with pytest.raises(NotCurrentError):
        tunneling(World()).introduce(HOST, KEY)


@pytest.mark.parametrize(
    "line",
    [
        "",
        KEY + " comment",
        KEY.replace("ssh-ed25519", "ssh-rsa", 1),
        "ssh-ed25519 " + "A" * 68,
        KEY[:-4],
        KEY + "\n",
        f'restrict,permitlisten="*:1" {KEY}',
    ],
)
def test_what_is_no_key_is_refused(line: str) -> None:
    world = World().add_host()
    with pytest.raises(InvalidRequestError):
        tunneling(world).introduce(HOST, line)
