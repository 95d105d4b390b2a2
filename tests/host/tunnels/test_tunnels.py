"""The daemon's tunnels: they lead to what runs here, to nothing else, and never to who has an address next."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpulease_host.api import ApiRefusedError, ApiUnreachableError
from gpulease_host.engine import Order
from gpulease_host.tunnels.proxies import parse_proxies
from gpulease_host.tunnels.tunnel_key import TunnelKey
from gpulease_host.wire import WireError
from tests.host.orders import order
from tests.host.rig import Rig
from tests.host.tunnels.connections import PaperProxy, named

ADDRESS = "10.213.0.2"


def led_to(instance_id: int = 11, port: int = 40001, **changes: Any) -> Order:
    given = order(instance_id, **changes)
    return replace(given, mode="jupyter", proxy_ssh_port=port, proxy_jupyter_port=port + 1000)


@pytest.fixture
def paper() -> PaperProxy:
    return PaperProxy(permitted={40001, 41001, 40002, 41002})


@pytest.fixture
def rig(tmp_path: Path, paper: PaperProxy) -> Rig:
    made = Rig(tmp_path, connect=paper.connect)
    made.api.proxies = [named()]
    return made.boot()


def look(rig: Rig, times: int = 4) -> None:
    for _ in range(times):
        rig.clock.now += 1
        rig.daemon.tunnels.step()


def run_at(rig: Rig, address: str, *orders: Order) -> None:
    rig.engine.address = address
    rig.give(*orders)
    rig.daemon.world.containers()
    look(rig)


def test_a_running_instance_is_led_to_by_both_its_numbers(rig: Rig, paper: PaperProxy) -> None:
    run_at(rig, ADDRESS, led_to())
    assert paper.listening() == {
        40001: f"0.0.0.0:40001:{ADDRESS}:10022",
        41001: f"127.0.0.1:41001:{ADDRESS}:10088",
    }


def test_in_mode_ssh_there_is_no_way_to_a_jupyterlab(rig: Rig, paper: PaperProxy) -> None:
    run_at(rig, ADDRESS, replace(led_to(), mode="ssh"))
    assert list(paper.listening()) == [40001]


def test_mode_args_is_led_to_by_nobody(rig: Rig, paper: PaperProxy) -> None:
    run_at(rig, ADDRESS, replace(led_to(), mode="args"))
    assert paper.connections == []


def test_a_stopped_instance_is_led_to_no_more_and_a_restarted_one_at_its_new_address(
    rig: Rig, paper: PaperProxy
) -> None:
    run_at(rig, ADDRESS, led_to())
    rig.give(led_to(generation=2, desired="stopped"))
    rig.daemon.world.containers()
    look(rig)
    assert paper.listening() == {}
    run_at(rig, "10.213.0.3", led_to(generation=3, token=2))
    assert paper.listening()[40001] == "0.0.0.0:40001:10.213.0.3:10022"


def test_nothing_leads_to_an_instance_any_more_when_its_container_is_removed(rig: Rig, paper: PaperProxy) -> None:
    """Its address may be another tenant's a moment later, and the next look comes after that."""
    run_at(rig, ADDRESS, led_to())
    seen: list[dict[int, str]] = []
    rig.engine.while_removing = lambda: seen.append(paper.listening())
    rig.give(led_to(generation=2, desired="absent"))
    assert seen == [{}]


def test_the_proxies_are_asked_for_only_where_there_is_something_to_lead_to(rig: Rig) -> None:
    run_at(rig, ADDRESS, order(12))
    assert rig.api.tunnel_keys == []
    run_at(rig, ADDRESS, led_to(gpus=(1,), token=2))
    assert len(rig.api.tunnel_keys) == 1
    assert rig.api.tunnel_keys[0].startswith("ssh-ed25519 ")


def test_an_api_that_does_not_answer_is_asked_again(rig: Rig, paper: PaperProxy) -> None:
    rig.api.tunnel_error = ApiUnreachableError("the API does not answer")
    run_at(rig, ADDRESS, led_to())
    assert paper.connections == []
    rig.api.tunnel_error = None
    look(rig, 60)
    assert 40001 in paper.listening()


def test_a_key_that_is_another_hosts_is_replaced(rig: Rig, paper: PaperProxy) -> None:
    """As after the folder was copied, or left by a host that this machine was before."""
    rig.api.tunnel_error = ApiRefusedError(409, "conflict", "Another host has this tunnel key. Make a new one.")
    run_at(rig, ADDRESS, led_to())
    rig.api.tunnel_error = None
    look(rig, 60)
    assert 40001 in paper.listening()
    assert rig.api.tunnel_keys[0] != rig.api.tunnel_keys[-1]


def test_all_proxies_lead_by_the_same_numbers_and_one_that_is_taken_away_does_no_more(
    rig: Rig, paper: PaperProxy
) -> None:
    rig.api.proxies = [named(), named("other.example", public_address="127.0.0.2", loopback_address="127.0.0.2")]
    second = PaperProxy(permitted=paper.permitted)
    both = {"proxy.example": paper, "other.example": second}
    rig.connect = lambda proxy, key: both[proxy.address].connect(proxy, key)
    rig.boot()
    run_at(rig, ADDRESS, led_to())
    assert paper.listening().keys() == second.listening().keys() == {40001, 41001}
    assert second.listening()[40001].startswith("127.0.0.2:")
    rig.api.proxies = [named()]
    look(rig, 700)
    assert second.alive == []
    assert len(paper.connections) == 1


def test_the_key_is_made_once_for_this_machine_alone(tmp_path: Path) -> None:
    path = tmp_path / "tunnel.key"
    first = TunnelKey.provide(path)
    assert TunnelKey.provide(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "change",
    [
        {"address": "-oProxyCommand=x"},
        {"address": "a b"},
        {"user": "-l"},
        {"host_key": "ssh-rsa AAAA"},
        {"host_key": None},
        {"port": 0},
        {"port": "2222"},
        {"public_address": "0.0.0.0:1"},
        {"loopback_address": None},
    ],
)
def test_a_proxy_that_is_not_exactly_one_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        parse_proxies({"v": 1, "proxies": [named(**change)]})
