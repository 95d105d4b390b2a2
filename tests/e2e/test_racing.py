"""Many clients at once on one offer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker

from local.client import ApiError, Client
from local.demo.readings import read_limits
from local.site import Running
from tests.e2e.renting import offer_of, request_for, wait_for

CLIENTS = 32


def test_32_clients_on_one_offer_of_four_gpus_get_four_contracts(running: Running, engine: docker.DockerClient) -> None:
    offer = offer_of(running.client)

    def rent(number: int) -> dict[str, Any] | int:
        client = Client(running.cloud.front_url, running.credentials.client_key)
        try:
            made: dict[str, Any] = client.post("/v1/contracts", request_for(offer, label=f"racer {number}"))
        except ApiError as refusal:
            return refusal.status
        return made

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(rent, range(CLIENTS)))

    won = [answer for answer in answers if isinstance(answer, dict)]
    assert sorted(answer for answer in answers if isinstance(answer, int)) == [409] * 28
    assert sorted(contract["gpus"][0]["index"] for contract in won) == [0, 1, 2, 3]
    for contract in won:
        wait_for(running, contract, "active")
    visible = {read_limits(running.docker_host, contract["id"]).gpus for contract in won}
    assert visible == {contract["gpus"][0]["uuid"] for contract in won}
    assert len(visible) == 4
