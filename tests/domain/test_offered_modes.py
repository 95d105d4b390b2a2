"""What an offer says can be had is had, and what it does not say is refused."""

import itertools
from dataclasses import replace

import pytest

from rental.domain.allocation import Manifest
from rental.domain.book import Book
from rental.domain.contract import Launch
from rental.domain.errors import ConflictError, HostNotReadyError, ModeNotServedError
from rental.domain.ids import ContractId
from rental.domain.offer import offer_of, offers_of
from rental.domain.offered_modes import offered_modes
from rental.domain.readiness import MODES, UNKNOWN_MODE, Readiness
from rental.domain.ways_in import Direct, JupyterVia, Proxy
from tests.fakes.builders import DIRECT, PROXY, hear, make_manifest, rent
from tests.fakes.ports import NOW

PRIVATE = Direct("10.0.0.5", 20_000, 20_999)
ONE_PORT = replace(DIRECT, last_port=DIRECT.first_port)
NO_TOOLKIT = "The host builds its toolkit."
ARGS_ONLY = Readiness({"args": None, "ssh": NO_TOOLKIT, "jupyter": NO_TOOLKIT})
UNFIT = Readiness(not_ready=("Docker is too old. Update it.",))
WISHES: tuple[tuple[str, JupyterVia | None], ...] = (
    ("args", None),
    ("ssh", None),
    ("jupyter", "direct"),
    ("jupyter", "proxy"),
    ("jupyter", None),
)


def site(direct: Direct | None = DIRECT, readiness: Readiness | None = None) -> Manifest:
    return replace(make_manifest(), direct=direct, readiness=readiness or Readiness())


def is_accepted(manifest: Manifest, proxy: Proxy | None, mode: str, via: JupyterVia | None) -> bool:
    launch = Launch("alpine:3", mode=mode, jupyter_via=via)
    try:
        rent(Book(manifest), 200, proxy=proxy, launch=launch)
    except ConflictError:
        return False
    return True


@pytest.mark.parametrize(
    ("direct", "proxy", "modes"),
    [
        (None, None, {"args": ()}),
        (DIRECT, None, {"args": (), "ssh": ("direct",), "jupyter": ("direct",)}),
        (PRIVATE, None, {"args": (), "ssh": ("direct",)}),
        (None, PROXY, {"args": (), "ssh": ("proxy",), "jupyter": ("proxy",)}),
        (PRIVATE, PROXY, {"args": (), "ssh": ("direct", "proxy"), "jupyter": ("proxy",)}),
        (ONE_PORT, None, {"args": (), "ssh": ("direct",)}),
    ],
)
def test_an_offer_names_the_ways_into_each_mode(
    direct: Direct | None, proxy: Proxy | None, modes: dict[str, tuple[str, ...]]
) -> None:
    assert offer_of(site(direct), 1, NOW, proxy).modes == modes


@pytest.mark.parametrize("proxy", [None, PROXY])
@pytest.mark.parametrize("direct", [None, DIRECT, PRIVATE, ONE_PORT])
@pytest.mark.parametrize("readiness", [Readiness(), ARGS_ONLY, Readiness({"args": None}), Readiness({"ssh": None})])
def test_what_an_offer_names_is_what_renting_accepts(
    direct: Direct | None, proxy: Proxy | None, readiness: Readiness
) -> None:
    """On an empty host, and where one contract with ssh has taken a port."""
    empty = Book(site(direct, readiness))
    books = [empty]
    if is_accepted(empty.manifest, proxy, "ssh", None):
        books.append(rent(empty, proxy=proxy, launch=Launch("alpine:3", mode="ssh")))
    for book, (mode, via) in itertools.product(books, WISHES):
        ways = offered_modes(book.manifest, proxy).get(mode)
        named = ways is not None and (via is None or via in ways)
        if mode == "jupyter" and via is None:  # it goes over the proxy where there is one
            named = ways is not None and ("proxy" if proxy is not None else "direct") in ways
        assert is_accepted(book.manifest, proxy, mode, via) is named


def test_an_offer_that_cannot_be_rented_now_names_no_mode() -> None:
    free = site()
    taken = rent(Book(free), num_gpus=4).manifest
    for manifest in (taken, site(readiness=UNFIT), replace(free, offline_since=NOW), replace(free, disk_free_bytes=0)):
        offer = offer_of(manifest, 4, NOW, PROXY)
        assert offer.reason is not None
        assert offer.modes == {}


def test_a_host_that_says_nothing_serves_every_mode() -> None:
    assert all(Readiness().why_not_served(mode) is None for mode in MODES)
    assert Readiness({"args": None}).why_not_served("ssh") == UNKNOWN_MODE


def test_a_mode_that_is_not_served_is_refused_with_what_can_be_had() -> None:
    book = Book(site(readiness=ARGS_ONLY))
    with pytest.raises(ModeNotServedError, match=r"no toolkit for ssh and jupyter .* Take mode args, or") as refused:
        rent(book, launch=Launch("alpine:3", mode="ssh"))
    assert NO_TOOLKIT not in str(refused.value), "the host's own words are for its owner"
    nothing = Book(site(readiness=Readiness({})))
    with pytest.raises(ModeNotServedError, match=r"does not serve mode args at the moment\. Choose another offer"):
        rent(nothing)


def test_a_host_that_is_not_ready_offers_nothing_and_is_not_rented() -> None:
    manifest = site(readiness=UNFIT)
    assert offers_of(manifest, NOW) == ()
    assert offer_of(manifest, 1, NOW).reason == "Its host is not ready now; its owner is told why."
    with pytest.raises(HostNotReadyError, match="not ready") as refused:
        rent(Book(manifest))
    assert "Docker" not in str(refused.value), "how a machine is set up is its owner's business"


def test_a_report_tells_of_modes_and_readiness_whatever_it_says_of_instances() -> None:
    book = rent(Book(site()))
    told = replace(book.manifest, readiness=UNFIT)
    assert hear(book.with_manifest(told), ContractId(100), "running").manifest.readiness == Readiness()
