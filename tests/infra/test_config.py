"""Stages and what the command line may change in them."""

import json
import re
from dataclasses import fields
from typing import Any

import pytest

from infra.config import FIXED, STAGES, TUNNEL_PORT, TUNNEL_USER, ProxyMachines, StageError, choose_stage
from infra.paths import ROOT
from proxy.settings import Settings
from rental.adapters.records import from_record
from rental.domain import ways_in
from tests.fakes.machine import TUNNEL_END

PROXY: dict[str, Any] = {
    "addresses": ["198.51.100.1"],
    "first_port": 30_000,
    "last_port": 39_999,
}


TUNNEL_ENDS = json.dumps([TUNNEL_END])
HOST_KEY = f"ssh-ed25519 {'A' * 68}"
MACHINES: dict[str, Any] = {"elastic_ips": {"198.51.100.1": "eipalloc-0123abcd"}, "host_key": HOST_KEY}


def proxy(**changes: object) -> str:
    return json.dumps(PROXY | changes)


def machines(**changes: object) -> str:
    return json.dumps(MACHINES | changes)


def test_the_grace_is_48_hours_by_default() -> None:
    assert {stage.grace_s for stage in STAGES.values()} == {172_800}


def test_only_production_keeps_its_data_and_takes_no_simulated_gpus() -> None:
    prod, dev, local = (STAGES[name] for name in ("prod", "dev", "local"))
    assert (prod.keep_data, prod.allow_simulated_gpus, prod.require_layer) == (True, False, True)
    assert (dev.keep_data, dev.allow_simulated_gpus, dev.require_layer) == (False, True, True)
    assert (local.keep_data, local.allow_simulated_gpus, local.require_layer) == (False, True, False)


def test_dev_is_what_nobody_chose() -> None:
    assert choose_stage({}).name == "dev"


@pytest.mark.parametrize(
    ("setting", "text", "value"),
    [
        ("grace_s", "10", 10),
        ("grace_s", 10, 10),
        ("allow_simulated_gpus", "true", True),
        ("allow_simulated_gpus", False, False),
        ("alarm_email", "a@example.com", "a@example.com"),
        ("log_level", "WARNING", "WARNING"),
        ("proxy", "none", None),
    ],
)
def test_a_setting_is_read_as_its_type(setting: str, text: object, value: object) -> None:
    assert getattr(choose_stage({"stage": "prod", setting: text}), setting) == value


@pytest.mark.parametrize("value", [json.dumps(PROXY), PROXY, PROXY | {"https_port": 8443}])
def test_functions_are_told_of_proxies_with_the_zone_that_the_authority_vouches_for(value: Any) -> None:
    stage = choose_stage({"stage": "prod", "zone": "gpu.example", "proxy": value, "tunnel_ends": TUNNEL_ENDS})
    assert stage.proxy is not None
    told = from_record(ways_in.Proxy, json.loads(stage.proxy.to_json(stage.zone)))
    https_port = 443 if value != PROXY | {"https_port": 8443} else 8443
    assert told == ways_in.Proxy(("198.51.100.1",), "gpu.example", 30_000, 39_999, https_port)


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("stage", "moon", "'moon' is not one of dev, local, prod"),
        ("grace_s", "soon", "whole number"),
        ("grace_s", "-5", "whole number"),
        ("grace_s", "0", "at least one second"),
        ("provision_timeout_s", "5", "between 10 seconds and an hour"),
        ("cell", "64", "six bits"),
        ("allow_simulated_gpus", "yes", "true or false"),
        ("proxy", "198.51.100.1", "proxy is none or JSON"),
        ("proxy", "{", "proxy is none or JSON"),
        ("proxy", "[]", "proxy has addresses, first_port, https_port, last_port"),
        ("proxy", proxy(more=1), "and nothing else"),
        ("proxy", proxy(addresses=[]), "addresses is a list"),
        ("proxy", proxy(addresses="198.51.100.1"), "addresses is a list"),
        ("proxy", proxy(addresses=["1.2.3.400"]), "addresses is a list"),
        ("proxy", proxy(addresses=["-oProxyCommand=x.y"]), "addresses is a list"),
        ("proxy", proxy(zone="proxy.example.com"), "and nothing else"),
        ("proxy", proxy(https_port="443"), "https_port is a port"),
        ("proxy", proxy(https_port=30_001), "outside of first_port to last_port"),
        ("proxy", proxy(), "needs tunnel_ends"),
        ("proxy", proxy(first_port=1023), "within 1024 to 65535"),
        ("proxy", proxy(first_port=True), "within 1024 to 65535"),
        ("proxy", proxy(last_port=29_999), "within 1024 to 65535"),
        ("proxy_machines", "2", "proxy_machines has elastic_ips and host_key"),
        ("proxy_machines", "{", "proxy_machines is none or JSON"),
        ("proxy_machines", machines(more=1), "and no more"),
        ("proxy_machines", json.dumps({"host_key": HOST_KEY}), "has elastic_ips and host_key"),
        ("proxy_machines", machines(elastic_ips={}), "an allocation, eipalloc-…, for each IPv4 address"),
        ("proxy_machines", machines(elastic_ips=["198.51.100.1"]), "an allocation, eipalloc-…"),
        ("proxy_machines", machines(elastic_ips={"198.51.100.1": "198.51.100.1"}), "an allocation, eipalloc-…"),
        ("proxy_machines", machines(elastic_ips={"ssh.example.com": "eipalloc-0123abcd"}), "for each IPv4 address"),
        ("proxy_machines", machines(elastic_ips={"::1": "eipalloc-0123abcd"}), "for each IPv4 address"),
        ("proxy_machines", machines(elastic_ips=dict.fromkeys(("1.2.3.4", "1.2.3.5"), "eipalloc-01234567")), "its own"),
        ("proxy_machines", machines(host_key="ssh-rsa AAAA"), "host_key cannot be 'ssh-rsa AAAA'"),
        ("proxy_machines", machines(instance_type="t4g small"), "instance_type cannot be"),
        ("proxy_machines", machines(image="debian-12"), "image cannot be"),
        ("proxy_machines", machines(), "set proxy too"),
        ("zone", "GPU.example", "a DNS name in lower case"),
        ("zone", "gpu.example.", "without a dot at its end"),
        ("zone", "-x.example", "a DNS name"),
        ("zone", f"{'x' * 64}.example", "a DNS name"),
        ("zone", ".".join(["x" * 60] * 4), "at most 200 characters"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(setting: str, value: str, sentence: str) -> None:
    with pytest.raises(StageError, match=sentence):
        choose_stage({setting: value})


def test_proxies_need_a_zone_whose_names_can_lead_to_them() -> None:
    with pytest.raises(StageError, match="needs a zone whose names lead to it, and localhost is none"):
        choose_stage({"stage": "prod", "proxy": PROXY, "tunnel_ends": TUNNEL_ENDS})


@pytest.mark.parametrize(("port", "is_taken"), [(29_999, True), (30_000, False), (30_100, False)])
def test_no_number_of_tenants_is_where_a_proxy_takes_tunnels(port: int, is_taken: bool) -> None:
    ends = json.dumps([{**json.loads(TUNNEL_ENDS)[0], "port": port}])
    given = {"stage": "prod", "zone": "gpu.example", "proxy": proxy(first_port=30_000), "tunnel_ends": ends}
    if is_taken:
        assert choose_stage(given).tunnel_ends == ends
    else:
        with pytest.raises(StageError, match=f"port {port} takes tunnels"):
            choose_stage(given)


def test_machines_for_proxies_are_read_as_they_are_given() -> None:
    given = machines(instance_type="t4g.micro", image="ami-01234567")
    for proxies in (given, json.loads(given)):
        made = choose_stage(
            {"stage": "prod", "zone": "gpu.example", "proxy": proxy(), "proxy_machines": proxies}
        ).proxy_machines
        assert made == ProxyMachines(**MACHINES, instance_type="t4g.micro", image="ami-01234567")
    assert choose_stage({"proxy_machines": "none"}).proxy_machines is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"stage": "local"}, "the local cloud has no machines to make"),
        ({"proxy": proxy(first_port=2000)}, "keep it out of proxy's ports"),
        ({"proxy": proxy(https_port=2222)}, "keep it out of proxy's ports"),
        ({"proxy_machines": machines(elastic_ips={f"1.2.3.{n}": f"eipalloc-{n:08}" for n in range(17)})}, "at most 16"),
    ],
)
def test_machines_for_proxies_fit_the_rest(changes: dict[str, str], sentence: str) -> None:
    with pytest.raises(StageError, match=sentence):
        choose_stage({"stage": "prod", "zone": "gpu.example", "proxy": proxy(), "proxy_machines": machines()} | changes)


def test_the_tunnels_port_and_account_are_those_that_a_proxy_has_by_itself() -> None:
    ports = {each.name: each.default for each in fields(Settings)}
    assert ports["tunnel_port"] == TUNNEL_PORT
    assert f" {TUNNEL_USER}\n" in (ROOT / "docs/proxy.md").read_text()


@pytest.mark.parametrize("key", FIXED)
def test_what_belongs_to_the_stage_itself_cannot_be_changed(key: str) -> None:
    with pytest.raises(StageError, match=f"{key} belongs to the stage"):
        choose_stage({"stage": "prod", key: "false"})


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("grase_s", "grase_s is not a setting: did you mean grace_s?"),
        ("grace-s", "did you mean grace_s?"),
        ("Stage", "did you mean stage?"),
        ("alarm-email", "did you mean alarm_email?"),
        ("log_retention", "did you mean log_retention_days?"),
        ("colour", "colour is not a setting: there are cell, grace_s, "),
    ],
)
def test_a_setting_that_is_misspelt_is_refused_and_named(key: str, sentence: str) -> None:
    with pytest.raises(StageError, match=re.escape(sentence)):
        choose_stage({"stage": "prod", key: "10"})


@pytest.mark.parametrize(
    "key",
    [
        "aws:cdk:enable-path-metadata",
        "@aws-cdk/core:target-partitions",
        "availability-zones:account=1:region=us-east-1",
        "vpc-provider:account=1",
        "acknowledged-issue-numbers",
        "cli-telemetry",
    ],
)
def test_what_the_cdk_itself_puts_there_is_let_pass(key: str) -> None:
    assert choose_stage({"stage": "prod", key: "x"}) == STAGES["prod"]
