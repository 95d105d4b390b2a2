"""Host ports: the lowest free numbers of the declared range, all or none, one holder each, back with the contract."""

from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rental.domain.allocation import Manifest
from rental.domain.book import Book
from rental.domain.contract import Contract, Instance, Launch
from rental.domain.ending import end_early
from rental.domain.errors import NoPortsFreeError, NotReachableError, RentalError
from rental.domain.ids import ContractId
from rental.domain.lifecycle import ContractStatus, InstanceStatus
from rental.domain.observation import ReportedStatus, observe
from rental.domain.publishing import MAX_PORTS_PER_HOST, count_proxy_ports
from rental.domain.renting import MAX_INSTANCES
from rental.domain.ways_in import ContainerPort, Direct, HostPort, JupyterVia, Proxy, Transport
from rental.service.ledger import WRITES_PER_COMMIT
from tests.fakes.builders import CAUSE, DIRECT, PROXY, active, hear, make_manifest, make_report, rent, reported
from tests.fakes.ports import NOW

A = ContractId(100)
WEB, DNS = ContainerPort(8080, "tcp"), ContainerPort(53, "udp")


def site(gpus: int = 8, direct: Direct | None = DIRECT) -> Book:
    return Book(replace(make_manifest(gpus), direct=direct))


def launch(mode: str = "args", *ports: ContainerPort, via: JupyterVia | None = None) -> Launch:
    return Launch("alpine:3", mode=mode, ports=ports, jupyter_via=via)


def numbers(book: Book, contract_id: int = 100) -> list[tuple[int, str, int]]:
    instances = book.contract(ContractId(contract_id)).instances
    return [(each.container, each.protocol, each.host) for instance in instances for each in instance.ports]


@pytest.mark.parametrize(
    ("mode", "via", "published"),
    [
        ("args", None, []),
        ("ssh", None, [(10_022, "tcp", 20_000)]),
        ("jupyter", "direct", [(10_022, "tcp", 20_000), (10_088, "tcp", 20_001)]),
        ("jupyter", "proxy", [(10_022, "tcp", 20_000)]),
    ],
)
def test_a_mode_has_its_own_ports_published(mode: str, via: JupyterVia | None, published: list[Any]) -> None:
    book = rent(site(), proxy=PROXY, launch=launch(mode, via=via))
    assert numbers(book) == published
    assert book.contract(A).address == (DIRECT.address if published else None)


def test_ports_that_were_asked_for_come_after_and_udp_is_numbered_apart() -> None:
    book = rent(site(), launch=launch("ssh", WEB, DNS, ContainerPort(9000, "tcp")))
    assert numbers(book) == [
        (10_022, "tcp", 20_000),
        (8080, "tcp", 20_001),
        (53, "udp", 20_000),
        (9000, "tcp", 20_002),
    ]


def test_each_instance_has_numbers_of_its_own() -> None:
    book = rent(site(), num_gpus=2, instances=2, launch=launch("ssh", WEB))
    assert [[each.host for each in instance.ports] for instance in book.contract(A).instances] == [
        [20_000, 20_001],
        [20_002, 20_003],
    ]


def test_numbers_return_when_the_contract_is_gone_and_not_before() -> None:
    book = active(site(), launch=launch("args", WEB))
    book = end_early(book, A, NOW, CAUSE)
    assert numbers(rent(book, 200, launch=launch("args", WEB)), 200) == [(8080, "tcp", 20_001)]
    book = hear(book, 100, "absent")
    assert numbers(rent(book, 200, launch=launch("args", WEB)), 200) == [(8080, "tcp", 20_000)]


def test_contracts_keep_their_numbers_whatever_is_declared_later() -> None:
    book = rent(site(), launch=launch("args", WEB))
    moved = book.with_manifest(replace(book.manifest, direct=Direct("203.0.113.6", 19_999, 20_001)))
    later = rent(moved, 200, launch=launch("args", WEB, DNS, ContainerPort(1, "tcp")))
    assert numbers(later) == [(8080, "tcp", 20_000)]
    assert numbers(later, 200) == [(8080, "tcp", 19_999), (53, "udp", 19_999), (1, "tcp", 20_001)]
    taken_back = book.with_manifest(replace(book.manifest, direct=None))
    assert taken_back.manifest.claims[A].tcp_ports == (20_000,)


def test_all_or_none_is_given() -> None:
    book = site(direct=Direct("203.0.113.5", 20_000, 20_002))
    with pytest.raises(NoPortsFreeError):
        rent(book, num_gpus=2, instances=2, launch=launch("ssh", WEB))
    assert numbers(rent(book, launch=launch("ssh", WEB, ContainerPort(1, "tcp")))) == [
        (10_022, "tcp", 20_000),
        (8080, "tcp", 20_001),
        (1, "tcp", 20_002),
    ]


def test_a_host_publishes_no_more_than_its_manifest_can_hold() -> None:
    book = rent(site())
    claim = replace(book.manifest.claims[A], tcp_ports=tuple(range(MAX_PORTS_PER_HOST)))
    full = book.with_manifest(replace(book.manifest, claims={A: claim}))
    with pytest.raises(NoPortsFreeError):
        rent(full, 200, launch=launch("args", WEB))
    assert numbers(rent(full, 200), 200) == []


@pytest.mark.parametrize(
    ("wish", "proxy"),
    [
        (launch("args", WEB), PROXY),
        (launch("ssh", WEB), PROXY),
        (launch("ssh"), None),
        (launch("jupyter"), None),
        (launch("jupyter", via="direct"), PROXY),
        (launch("jupyter", via="proxy"), None),
    ],
)
def test_what_needs_a_way_that_is_not_there_is_refused(wish: Launch, proxy: Proxy | None) -> None:
    with pytest.raises(NotReachableError):
        rent(site(direct=None), proxy=proxy, launch=wish)


@pytest.mark.parametrize("address", ["10.0.0.5", "100.64.3.4", "172.31.0.1", "192.168.1.7", "2001:db8::5"])
def test_where_the_service_sees_another_address_jupyterlab_has_no_certificate_and_is_refused(address: str) -> None:
    book = site(direct=Direct(address, 20_000, 20_999))
    with pytest.raises(NotReachableError):
        rent(book, proxy=PROXY, launch=launch("jupyter", via="direct"))
    with pytest.raises(NotReachableError):
        rent(book, launch=launch("jupyter"))
    for wish in (launch("ssh", WEB), launch("jupyter", via="proxy")):
        assert numbers(rent(book, proxy=PROXY, launch=wish))


@pytest.mark.parametrize(
    ("mode", "via", "numbered"),
    [
        ("args", None, (None, None)),
        ("ssh", None, (30_100, None)),
        ("jupyter", "proxy", (30_100, 30_101)),
        ("jupyter", "direct", (30_100, None)),
    ],
)
def test_numbers_of_the_proxy_are_for_ssh_and_for_jupyterlab_over_it(
    mode: str, via: JupyterVia | None, numbered: tuple[int | None, int | None]
) -> None:
    (instance,) = rent(site(), proxy=PROXY, launch=launch(mode, via=via)).contract(A).instances
    assert (instance.proxy_ssh_port, instance.proxy_jupyter_port) == numbered


def test_without_a_proxy_there_are_no_numbers_of_one() -> None:
    (instance,) = rent(site(), launch=launch("jupyter")).contract(A).instances
    assert instance.proxy_ports == ()


@pytest.mark.parametrize("mode", ["ssh", "jupyter"])
def test_a_contract_takes_no_more_numbers_than_one_transaction_gives_back(mode: str) -> None:
    numbers = count_proxy_ports(launch(mode), MAX_INSTANCES, PROXY)
    assert numbers == MAX_INSTANCES * (1 if mode == "ssh" else 2)
    assert 3 + MAX_INSTANCES + numbers <= WRITES_PER_COMMIT
    assert count_proxy_ports(launch(mode), MAX_INSTANCES, None) == count_proxy_ports(launch(), 1, PROXY) == 0


Deed = tuple[Literal["rent", "end"], int, tuple[ContainerPort, ...]]
PORTS = st.lists(st.sampled_from([WEB, DNS, ContainerPort(1, "tcp"), ContainerPort(1, "udp")]), unique=True, max_size=4)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["rent", "end"]), st.integers(1, 2), PORTS.map(tuple)), max_size=20),
    st.integers(0, 6),
)
def test_a_number_never_has_two_holders_and_is_always_the_lowest_free_one(deeds: list[Deed], longest: int) -> None:
    book = site(8, Direct("203.0.113.5", 20_000, 20_000 + longest))
    for place, (deed, instances, ports) in enumerate(deeds):
        held = held_by(book.manifest)
        if deed == "end" and book.manifest.claims:
            oldest = min(book.manifest.claims)
            book = hear(end_early(book, oldest, NOW, CAUSE), oldest, "absent")
            continue
        try:
            book = rent(book, 1000 + 10 * place, num_gpus=instances, instances=instances, disk_gib=1,
                        launch=launch("args", *ports))  # fmt: skip
        except RentalError:
            assert held_by(book.manifest) == held
            continue
        check_lowest(book.contract(ContractId(1000 + 10 * place)), held, ports)
        check_held_once(book)


def held_by(manifest: Manifest) -> dict[Transport, list[int]]:
    claims = manifest.claims.values()
    return {
        "tcp": [port for claim in claims for port in claim.tcp_ports],
        "udp": [port for claim in claims for port in claim.udp_ports],
    }


def check_lowest(contract: Contract, held: dict[Transport, list[int]], ports: tuple[ContainerPort, ...]) -> None:
    for instance in contract.instances:
        assert [(each.container, each.protocol) for each in instance.ports] == [
            (each.container, each.protocol) for each in ports
        ]
        for each in instance.ports:
            assert each.host == min(set(range(20_000, 20_010)) - set(held[each.protocol]))
            held[each.protocol].append(each.host)


def check_held_once(book: Book) -> None:
    for protocol, held in held_by(book.manifest).items():
        assert len(set(held)) == len(held)
        living = [port for each in held_instances(book) for port in each.ports]
        assert sorted(held) == sorted(port.host for port in living if port.protocol == protocol)


def held_instances(book: Book) -> list[Instance]:
    return [each for number in book.manifest.claims for each in book.contract(number).instances]


def told_in_use(book: Book, *ports: HostPort, status: ReportedStatus = "failed", contract_id: int = 100) -> Book:
    """The book after its host could not start the contract, and says which numbers something of its own has."""
    said = reported(book.contract(ContractId(contract_id)), status)
    return observe(book, make_report(said, ports_in_use=ports), NOW)


def test_a_number_that_the_host_needs_itself_is_replaced_before_the_contract_fails() -> None:
    before = rent(site(), launch=launch("args", WEB, DNS))
    after = told_in_use(before, HostPort("tcp", 20_000))
    assert numbers(after) == [(8080, "tcp", 20_001), (53, "udp", 20_000)]
    contract, instance = after.contract(A), after.contract(A).instances[0]
    assert (contract.status, instance.status) == (ContractStatus.PENDING, InstanceStatus.CREATING)
    assert (instance.generation, instance.token) == (2, before.contract(A).instances[0].token)
    assert after.bells[-1].generation == 2
    assert after.manifest.claims[A].tcp_ports == (20_001,)
    assert numbers(hear(after, 100, "running")) == numbers(after)


def test_an_older_word_on_the_start_that_failed_renumbers_nothing_again() -> None:
    first = rent(site(), launch=launch("args", WEB))
    said = reported(first.contract(A), "failed")
    once = observe(first, make_report(said, ports_in_use=(HostPort("tcp", 20_000),)), NOW)
    assert numbers(observe(once, make_report(said, ports_in_use=(HostPort("tcp", 20_000),)), NOW)) == numbers(once)


def test_the_next_contract_gets_no_number_that_the_host_needs_itself_until_it_is_free() -> None:
    book = told_in_use(rent(site(), launch=launch("args", WEB)), HostPort("tcp", 20_000), HostPort("tcp", 20_002))
    book = rent(book, 200, launch=launch("args", WEB))
    assert numbers(book, 200) == [(8080, "tcp", 20_003)]
    book = hear(book, 100, "running")
    assert numbers(rent(book, 300, launch=launch("args", WEB)), 300) == [(8080, "tcp", 20_000)]


def test_a_start_that_failed_for_another_reason_or_has_no_other_number_fails() -> None:
    book = rent(site(), launch=launch("args", WEB))
    assert told_in_use(book, HostPort("udp", 20_000)).contract(A).status is ContractStatus.FAILED
    one = rent(site(direct=replace(DIRECT, last_port=DIRECT.first_port)), launch=launch("args", WEB))
    assert told_in_use(one, HostPort("tcp", 20_000)).contract(A).status is ContractStatus.FAILED


def test_a_container_that_ran_keeps_its_numbers() -> None:
    book = active(site(), launch=launch("args", WEB))
    after = told_in_use(book, HostPort("tcp", 20_000))
    assert numbers(after) == numbers(book)
    assert after.contract(A).instances[0].status is InstanceStatus.STOPPED
