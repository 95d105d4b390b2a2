"""A private image from a real registry: how far it is shows, it runs, and its password stands nowhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from local import registry
from local.client import wait_until
from local.site import Running, Site
from tests.e2e.conftest import wait_for_empty_host
from tests.e2e.renting import offer_of, request_for, show, wait_for
from tests.e2e.slow_line import slow_line
from tests.e2e.watching import Watch, look_clean
from tests.fakes.planting import plant
from tests.host.docker_engine.private_images import PASSWORDS, PrivateImages

MIB = 1 << 20
IMAGE_BYTES = 24 * MIB
LINE_BYTES_S = 3 * MIB


@pytest.fixture(scope="module")
def private(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateImages]:
    started = registry.start(tmp_path_factory.mktemp("registry"), PASSWORDS)
    made = PrivateImages(started, docker.APIClient(base_url=running.docker_host))
    yield made
    made.clear()
    started.stop()


def rent_private(running: Running, image: str, login: dict[str, str]) -> dict[str, Any]:
    body = request_for(offer_of(running.client), image=image, login=login)
    made: dict[str, Any] = running.client.post("/v1/contracts", body)
    return made


def watch_it_load(running: Running, contract: dict[str, Any]) -> list[dict[str, Any]]:
    """What the contract's instance was seen to be, until it is no longer pending."""
    seen: list[dict[str, Any]] = []
    deadline = time.monotonic() + 60
    while (now := show(running, contract))["status"] == "pending":
        assert time.monotonic() < deadline
        if not seen or now["instances"][0] != seen[-1]:
            seen.append(now["instances"][0])
        time.sleep(0.1)
    return seen


@pytest.mark.slow
def test_a_private_image_is_pulled_with_its_login_and_says_how_far_it_is(
    running: Running, site: Site, watch: Watch, private: PrivateImages
) -> None:
    name = private.push(size_bytes=IMAGE_BYTES)
    with slow_line(private.registry.address, LINE_BYTES_S) as address:
        image = name.replace(private.registry.address, address)
        private.made.append(image)
        login = private.login | {"server": address}
        contract = rent_private(running, image, login)
        seen = watch_it_load(running, contract)
        assert show(running, contract)["status"] == "active"
        loading = [each for each in seen if each["status"] == "loading" and each["progress"]]
        done = [each["progress"]["done_bytes"] for each in loading]
        assert len(done) >= 2, seen
        assert done == sorted(done)
        assert all(each["reason"].startswith("Pulls its image: ") for each in loading)
        assert loading[-1]["progress"]["total_bytes"] >= IMAGE_BYTES
        assert show(running, contract)["instances"][0]["progress"] is None
        look_clean(watch, running, site)


def test_a_refused_login_fails_the_contract_says_so_and_returns_everything(
    running: Running, site: Site, watch: Watch, private: PrivateImages
) -> None:
    image = private.push()
    held = running.owner.get(f"/v1/hosts/{running.host_id}")
    login = private.login | {"password": plant("wrong")}
    contract = rent_private(running, image, login)
    failed = wait_for(running, contract, "failed")
    assert "did not let this login pull it: check the image's name, and server, username" in failed["reason"]
    wait_for_empty_host(running)
    after = running.owner.get(f"/v1/hosts/{running.host_id}")
    assert after["disk_free_bytes"] == held["disk_free_bytes"]
    assert not private.client.images(image, quiet=True)
    look_clean(watch, running, site)


def test_another_client_cannot_start_what_a_login_brought(running: Running, private: PrivateImages) -> None:
    image = private.push()
    wait_for(running, rent_private(running, image, private.login), "active")
    stranger = running.client.post("/v1/contracts", request_for(offer_of(running.client), image=image))
    failed = wait_for(running, stranger, "failed")
    assert "is private, so its registry is asked before it starts" in failed["reason"]


def test_a_contract_that_is_ended_while_it_loads_is_over_at_once(running: Running, private: PrivateImages) -> None:
    name = private.push(size_bytes=IMAGE_BYTES)
    with slow_line(private.registry.address, MIB // 4) as address:
        image = name.replace(private.registry.address, address)
        private.made.append(image)
        contract = rent_private(running, image, private.login | {"server": address})
        wait_until(
            lambda: show(running, contract)["instances"][0],
            lambda each: each["progress"] is not None and each["progress"]["layers"] > 0,
            "a pull",
            30,
        )
        running.client.delete(f"/v1/contracts/{contract['id']}")
        wait_for(running, contract, "deleted", 20)  # at this pace the pull would take 96 s
        wait_for_empty_host(running)
        assert not private.client.images(image, quiet=True)
