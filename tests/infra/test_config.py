"""Stages and what the command line may change in them."""

import json
import re
from typing import Any

import pytest

from infra.config import FIXED, STAGES, StageError, choose_stage
from rental.adapters.records import from_record
from rental.domain import ways_in
from tests.fakes.machine import TUNNEL_END

PROXY: dict[str, Any] = {
    "addresses": ["198.51.100.1"],
    "first_port": 30_000,
    "last_port": 39_999,
}


TUNNEL_ENDS = json.dumps([TUNNEL_END])


def proxy(**changes: object) -> str:
    return json.dumps(PROXY | changes)


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
