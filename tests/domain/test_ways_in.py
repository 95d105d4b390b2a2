"""Addresses that owners may declare, the one way to JupyterLab, and what clients are told of ways in."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rental.domain.book import Book
from rental.domain.contract import Contract, Launch
from rental.domain.errors import InvalidRequestError
from rental.domain.ids import ContractId
from rental.domain.lifecycle import InstanceStatus
from rental.domain.ways_in import Direct, JupyterVia, declare, settle_jupyter_via
from rental.domain.ways_into import JupyterWay, SshWay, direct_ssh_way, jupyter_way, proxy_ssh_way
from tests.fakes.builders import DIRECT, PROXY, make_manifest, rent

A = ContractId(100)


@pytest.mark.parametrize(
    ("address", "canonical"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("10.0.0.7", "10.0.0.7"),
        ("192.168.1.2", "192.168.1.2"),
        ("100.64.0.1", "100.64.0.1"),
    ],
)
def test_public_and_private_addresses_are_taken_in_their_canonical_form(address: str, canonical: str) -> None:
    assert declare(address, 20_000, 20_999, allow_loopback=False) == Direct(canonical, 20_000, 20_999)


@pytest.mark.parametrize(
    "address",
    [
        *("", "host.example.com", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.4/32", "1.2.3.4 ", "[2001:db8::1]"),
        *("0.0.0.0", "0.1.2.3", "127.0.0.1", "169.254.169.254", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "2001:db8::1%1", "ff02::1", "::ffff:1.2.3.4", "fec0::1"),
    ],
)
def test_names_and_addresses_that_lead_nowhere_from_elsewhere_are_refused(address: str) -> None:
    with pytest.raises(InvalidRequestError):
        declare(address, 20_000, 20_999, allow_loopback=False)


@pytest.mark.parametrize("address", ["2001:db8::1", "fd00::5"])
def test_an_address_at_which_no_port_is_published_is_refused(address: str) -> None:
    with pytest.raises(InvalidRequestError, match="IPv4 only"):
        declare(address, 20_000, 20_999, allow_loopback=False)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8"])
def test_loopback_is_taken_where_the_service_is_only_tried_out(address: str) -> None:
    assert declare(address, 20_000, 20_000, allow_loopback=True).address == address


@pytest.mark.parametrize(
    ("first", "last"), [(1023, 2000), (2000, 1999), (65_000, 65_536), (20_000, 24_096), (0, 0), (-1, 5)]
)
def test_a_range_that_makes_no_sense_is_refused(first: int, last: int) -> None:
    with pytest.raises(InvalidRequestError):
        declare("203.0.113.5", first, last, allow_loopback=False)


@pytest.mark.parametrize(("first", "last"), [(1024, 1024), (61_440, 65_535), (20_000, 24_095)])
def test_a_range_has_one_to_4096_ports(first: int, last: int) -> None:
    assert declare("203.0.113.5", first, last, allow_loopback=False).last_port == last


@given(st.text(max_size=50), st.integers(), st.integers())
def test_whatever_is_declared_is_taken_or_refused(address: str, first: int, last: int) -> None:
    try:
        declared = declare(address, first, last, allow_loopback=False)
    except InvalidRequestError:
        return
    assert 1024 <= declared.first_port <= declared.last_port <= 65_535


@pytest.mark.parametrize(
    ("mode", "wish", "has_proxy", "via"),
    [
        ("args", None, True, None),
        ("ssh", None, True, None),
        ("jupyter", None, True, "proxy"),
        ("jupyter", None, False, "direct"),
        ("jupyter", "direct", True, "direct"),
        ("jupyter", "proxy", False, "proxy"),
    ],
)
def test_one_way_leads_to_jupyterlab(mode: str, wish: JupyterVia | None, has_proxy: bool, via: str | None) -> None:
    assert settle_jupyter_via(mode, wish, PROXY if has_proxy else None) == via


def contract_of(mode: str, via: JupyterVia | None = None, direct: Direct | None = DIRECT) -> Contract:
    launch = Launch("alpine:3", mode=mode, jupyter_via=via)
    return rent(Book(replace(make_manifest(), direct=direct)), proxy=PROXY, launch=launch).contract(A)


def test_ssh_goes_directly_and_over_the_proxy_at_the_same_time() -> None:
    contract = contract_of("ssh")
    (instance,) = contract.instances
    assert direct_ssh_way(contract, instance) == SshWay("203.0.113.5", 20_000)
    assert proxy_ssh_way(instance, PROXY) == SshWay("198.51.100.1", 30_100)
    assert SshWay("203.0.113.5", 20_000).command == "ssh -p 20000 root@203.0.113.5"
    assert jupyter_way(contract, instance, PROXY) is None


def test_of_ssh_there_is_what_there_is() -> None:
    contract = contract_of("ssh", direct=None)
    assert direct_ssh_way(contract, contract.instances[0]) is None
    assert proxy_ssh_way(contract.instances[0], None) is None


@pytest.mark.parametrize(
    ("via", "direct", "url"),
    [
        ("direct", DIRECT, "https://203.0.113.5:20001/"),
        ("proxy", DIRECT, "https://j-100.proxy.example.com/"),
        ("proxy", None, "https://j-100.proxy.example.com/"),
    ],
)
def test_jupyterlab_has_one_url(via: JupyterVia, direct: Direct | None, url: str) -> None:
    contract = contract_of("jupyter", via, direct)
    assert jupyter_way(contract, contract.instances[0], PROXY) == JupyterWay(via, url)


def test_nothing_leads_to_an_instance_that_is_gone() -> None:
    for via in ("direct", "proxy"):
        contract = contract_of("jupyter", via)
        gone = replace(contract.instances[0], status=InstanceStatus.REMOVED)
        assert direct_ssh_way(contract, gone) is None
        assert proxy_ssh_way(gone, PROXY) is None
        assert jupyter_way(contract, gone, PROXY) is None


def test_a_port_of_mode_args_is_no_way_in_by_ssh() -> None:
    """Whatever its number in the container: what listens there is the image's own affair."""
    launch = Launch("alpine:3", ports=contract_of("ssh").launch.ports)
    contract = replace(contract_of("ssh"), launch=launch)
    assert direct_ssh_way(contract, contract.instances[0]) is None
