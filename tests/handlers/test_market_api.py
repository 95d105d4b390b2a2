"""/v1/hosts and /v1/offers over HTTP."""

from typing import Any

from handlers import api_hosts, api_offers
from rental.ports import Principal
from tests.fakes.http import Answer, call
from tests.handlers.conftest import Site

OFFER_FIELDS = {
    "id", "host_id", "gpu_name", "num_gpus", "gpu_indexes", "reason", "simulated", "price_microusd_h",
    "disk_price_microusd_gib_month", "max_duration_s", "end_at", "disk_free_gib", "modes", "share",
}  # fmt: skip


def listing(site: Site, method: str = "PUT", **changes: Any) -> Answer:
    body = {"gpu_price_microusd_h": 3_000_000, "end_at": site.now + 7200} | changes if method == "PUT" else None
    return call(api_hosts.handler, method, f"/v1/hosts/{site.host_id}/listing", body, caller=site.owner)


def my_offers(site: Site) -> list[dict[str, Any]]:
    """The site's offers, among those of every host."""
    found: list[dict[str, Any]] = []
    query: dict[str, str] = {}
    while True:
        page = call(api_offers.handler, "GET", "/v1/offers", caller=site.client, query=query)
        assert page.status == 200, page.text
        found += [each for each in page.body["items"] if each["host_id"] == site.host_id]
        if page.body["next"] is None:
            return found
        query = {"cursor": page.body["next"]}


def test_offers_are_shown_with_all_that_a_client_compares(site: Site) -> None:
    offers = my_offers(site)
    assert [set(each) for each in offers] == [OFFER_FIELDS] * 3
    assert [each["num_gpus"] for each in offers] == [1, 2, 4]
    shown = call(api_offers.handler, "GET", f"/v1/offers/{offers[0]['id']}", caller=site.client)
    assert {**shown.body, "max_duration_s": 0} == {**offers[0], "max_duration_s": 0}


def test_what_is_rented_is_offered_no_more(site: Site) -> None:
    site.rented()
    assert [each["gpu_indexes"] for each in my_offers(site)] == [[1], [2, 3]]


def test_an_owner_lists_relists_and_unlists(site: Site) -> None:
    old = my_offers(site)[0]["id"]
    answer = listing(site, min_gpus=2)
    assert answer.status == 200, answer.text
    assert answer.body["listing"]["gpu_price_microusd_h"] == 3_000_000
    assert [each["price_microusd_h"] for each in my_offers(site)] == [6_000_000, 12_000_000]
    assert call(api_offers.handler, "GET", f"/v1/offers/{old}", caller=site.client).code == "not_found"
    assert site.rent().code == "not_found"
    assert listing(site, "DELETE").body["listing"] is None
    assert my_offers(site) == []


def test_a_listing_that_cannot_be_is_refused(site: Site) -> None:
    assert listing(site, end_at=site.now - 1).code == "invalid_request"
    assert listing(site, min_gpus=5).code == "invalid_request"
    assert listing(site, gpu_price_microusd_h=-1).code == "invalid_request"
    assert listing(site, end_at=1 << 33).code == "invalid_request"
    assert listing(site, gpu_price_microusd_h=1.5).code == "invalid_request"


def test_hosts_are_their_owners_only(site: Site) -> None:
    path = f"/v1/hosts/{site.host_id}"
    assert call(api_hosts.handler, "GET", path).code == "unauthenticated"
    assert call(api_hosts.handler, "GET", path, caller=site.client).code == "forbidden"
    assert call(api_hosts.handler, "GET", path, caller=Principal("another", "host")).code == "not_found"
    page = call(api_hosts.handler, "GET", "/v1/hosts", caller=site.owner).body
    assert [each["id"] for each in page["items"]] == [site.host_id]
    assert page["next"] is None
