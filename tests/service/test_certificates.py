"""Who gets a certificate: a host, for what is wanted running there now in mode jupyter, and only for itself."""

import pytest
from cryptography import x509

from rental.domain.contract import Contract, Launch, Sealed
from rental.domain.errors import (
    BusyError,
    ConflictError,
    ContractExpiredError,
    ContractOverError,
    InvalidRequestError,
    NotCurrentError,
)
from rental.domain.ids import HostId, InstanceId
from rental.service.certificates import Issued
from tests.fakes.authority import make_csr, make_key
from tests.fakes.builders import DIRECT, HOST
from tests.fakes.world import World, client

SOURCE = DIRECT.address
JUPYTER = Launch("alpine:3", mode="jupyter", sealed=Sealed("0123456789abcdef", "c2VhbGVk"))


def serving() -> World:
    return World().add_host(direct=DIRECT)


def issue(world: World, contract: Contract, generation: int | None = None, **changes: str) -> Issued:
    instance = world.read(contract.id).instances[0]
    names = (contract.id, instance.id, generation or instance.generation)
    return world.certificates.issue(HOST, names, changes.get("csr") or make_csr(), changes.get("source", SOURCE))


def test_a_running_notebook_gets_a_certificate_of_the_authority() -> None:
    world = serving()
    issued = issue(world, world.rent_active(launch=JUPYTER))
    leaf, own = x509.load_pem_x509_certificates(issued.certificate.encode())
    leaf.verify_directly_issued_by(own)
    assert issued.certificate.endswith(world.certificates.authority.certificate())
    assert int(leaf.not_valid_after_utc.timestamp()) == issued.not_after


def test_a_notebook_that_is_about_to_start_gets_one_too() -> None:
    world = serving()
    assert issue(world, world.rent(launch=JUPYTER)).certificate


def test_what_is_of_another_host_instance_generation_or_mode_gets_none() -> None:
    world = serving()
    contract, plain = world.rent_active(launch=JUPYTER), world.rent_active()
    refused = [
        (HOST, (contract.id, contract.instances[0].id, 2)),
        (HOST, (contract.id, InstanceId(1), 1)),
        (HostId(8), (contract.id, contract.instances[0].id, 1)),
        (HOST, (plain.id, plain.instances[0].id, 1)),
    ]
    for host_id, names in refused:
        with pytest.raises(NotCurrentError):
            world.certificates.issue(host_id, names, make_csr(), SOURCE)


def test_what_is_stopped_expired_or_over_gets_none() -> None:
    world = serving()
    stopped, expired, over = (world.rent_active(launch=JUPYTER) for _ in range(3))
    world.contracts.stop_contract(stopped.id, client, None)
    world.contracts.end_contract(over.id, client)
    with pytest.raises(NotCurrentError):
        issue(world, stopped)
    with pytest.raises(ContractOverError):
        issue(world, over)
    world.clock.advance(3600)
    with pytest.raises(ContractExpiredError):
        issue(world, expired)


def test_a_host_that_asks_from_elsewhere_than_declared_gets_none() -> None:
    world = serving()
    contract = world.rent_active(launch=JUPYTER)
    assert issue(world, contract)
    with pytest.raises(ConflictError):
        issue(world, contract, source="203.0.113.6")


def test_what_is_no_sound_request_is_refused() -> None:
    world = serving()
    contract = world.rent_active(launch=JUPYTER)
    with pytest.raises(InvalidRequestError):
        issue(world, contract, csr="x")


def test_a_conflict_while_the_authority_is_set_up_is_told_as_busy_and_leaves_nothing_behind() -> None:
    world = serving()
    contract = world.rent_active(launch=JUPYTER)
    world.faults.append("conflict")
    with pytest.raises(BusyError):
        issue(world, contract, csr=make_csr(make_key()))
    world.faults.append("lost")
    assert issue(world, contract).certificate.endswith(world.certificates.authority.certificate())
