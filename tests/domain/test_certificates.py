"""What a certificate vouches for: the service's own words, and not for long."""

from dataclasses import replace

import pytest

from rental.domain.book import Book
from rental.domain.certificates import AFTER_END_S, DAY_S, LIFE_S, address_of, vouch
from rental.domain.contract import Contract, Launch
from rental.domain.errors import ConflictError, NotCurrentError
from rental.domain.ids import ContractId, InstanceId
from tests.fakes.builders import make_manifest, rent
from tests.fakes.ports import NOW


def contract(mode: str = "jupyter", end_at: int = NOW + 90 * DAY_S) -> Contract:
    made = rent(Book(make_manifest())).contract(ContractId(100))
    return replace(made, launch=Launch("alpine:3", mode=mode), end_at=end_at)


def test_a_certificate_is_for_the_instances_name_and_address_and_lasts_thirty_days() -> None:
    vouched = vouch(contract(), InstanceId(100), "203.0.113.5", "gpu.example", NOW)
    assert (vouched.dns_name, vouched.address) == ("j-100.gpu.example", "203.0.113.5")
    assert vouched.not_before < NOW
    assert vouched.not_after == NOW + LIFE_S


def test_it_does_not_outlive_its_contract_by_more_than_a_day() -> None:
    short = contract(end_at=NOW + 3600)
    assert vouch(short, InstanceId(100), "203.0.113.5", "z", NOW).not_after == NOW + 3600 + AFTER_END_S
    assert vouch(short, InstanceId(100), "203.0.113.5", "z", NOW + 3599).not_after == NOW + 3600 + AFTER_END_S


@pytest.mark.parametrize("mode", ["args", "ssh"])
def test_an_instance_of_another_mode_gets_none(mode: str) -> None:
    with pytest.raises(NotCurrentError):
        vouch(contract(mode), InstanceId(100), "203.0.113.5", "z", NOW)


@pytest.mark.parametrize(
    ("source", "declared", "expected"),
    [
        ("203.0.113.5", None, "203.0.113.5"),
        ("2001:db8::5", None, "2001:db8::5"),
        ("203.0.113.5", "203.0.113.5", "203.0.113.5"),
        ("2001:db8:0:0::5", "2001:DB8::5", "2001:db8::5"),
    ],
)
def test_a_host_is_vouched_for_where_it_asks_from(source: str, declared: str | None, expected: str) -> None:
    assert address_of(source, declared) == expected


@pytest.mark.parametrize("source", ["203.0.113.6", "2001:db8::5"])
def test_a_host_that_asks_from_elsewhere_than_its_owner_declared_is_refused(source: str) -> None:
    with pytest.raises(ConflictError, match=source):
        address_of(source, "203.0.113.5")
