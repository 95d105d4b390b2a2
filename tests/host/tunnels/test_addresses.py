"""A container is led to on its own contract's network, while it runs."""

from __future__ import annotations

from typing import Any

import pytest

from gpulease_host.docker_engine.container_config import (
    CONTRACT_LABEL,
    GENERATION_LABEL,
    GPUS_LABEL,
    INSTANCE_LABEL,
    TOKEN_LABEL,
)
from gpulease_host.docker_engine.container_state import container_of
from gpulease_host.docker_engine.networks import network_name


def inspected(status: str, networks: dict[str, Any] | None) -> dict[str, Any]:
    labels = {CONTRACT_LABEL: "10", INSTANCE_LABEL: "11", GENERATION_LABEL: "1", TOKEN_LABEL: "1", GPUS_LABEL: "0"}
    state = {"Status": status, "StartedAt": "2026-01-01T00:00:00.1Z", "ExitCode": 0, "OOMKilled": False, "Error": ""}
    return {"Id": "c", "Config": {"Labels": labels}, "State": state, "NetworkSettings": {"Networks": networks}}


ON_DOCKERS_OWN = {"bridge": {"IPAddress": "172.17.0.2"}}
ON_ITS_OWN = {network_name(10): {"IPAddress": "10.213.0.2"}}


@pytest.mark.parametrize(
    ("status", "networks", "address"),
    [
        ("running", ON_ITS_OWN, "10.213.0.2"),
        ("running", ON_DOCKERS_OWN | ON_ITS_OWN, "10.213.0.2"),
        ("running", ON_DOCKERS_OWN, None),
        ("running", {network_name(10): {"IPAddress": ""}}, None),
        ("running", None, None),
        ("exited", ON_ITS_OWN, None),
        ("created", ON_ITS_OWN, None),
    ],
)
def test_an_address_is_the_one_on_the_contract_s_network(
    status: str, networks: dict[str, Any] | None, address: str | None
) -> None:
    assert container_of(inspected(status, networks), lambda *_: None, {}).address == address
