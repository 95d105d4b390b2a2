"""The wire is read strictly, and as the schemas say."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gpulease_host.engine import Desired, Port, Secrets
from gpulease_host.machine_key import MachineKey
from gpulease_host.readiness import say
from gpulease_host.wire import (
    WireError,
    order_to_wire,
    parse_command,
    parse_manifest,
    parse_order,
    parse_secrets,
)
from tests.host.orders import HOST_ID, NOW, inventory, order
from tests.host.rig import Rig

SCHEMAS = Path(__file__).parents[2] / "schemas"


def schema(name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((SCHEMAS / f"{name}.v1.json").read_text())
    return body


def check(name: str, value: Any) -> None:
    Draft202012Validator(schema(name)).validate(value)


def command(**changes: Any) -> dict[str, Any]:
    return {"v": 1, "host_id": HOST_ID, "not_after": NOW, "orders": [order_to_wire(order())]} | changes


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.name)
def test_every_schema_is_one(path: Path) -> None:
    Draft202012Validator.check_schema(json.loads(path.read_text()))


def test_definitions_that_stand_in_two_schemas_are_equal() -> None:
    for name in ("order", "limits", "port"):
        assert schema("command")["$defs"][name] == schema("manifest")["$defs"][name]
    assert schema("event")["$defs"]["inventory"] == schema("register")["$defs"]["inventory"]


@pytest.mark.parametrize("desired", ["running", "stopped", "absent"])
def test_an_order_survives_the_wire(desired: Desired) -> None:
    given = order(desired=desired)
    check("command", command(orders=[order_to_wire(given)]))
    assert parse_order(order_to_wire(given)) == given
    newer = replace(given, keys_revision=3)
    check("command", command(orders=[order_to_wire(newer)]))
    assert parse_order(order_to_wire(newer)) == newer
    asked = replace(given, stop_grace_s=120, init=True, pull="changed")
    check("command", command(orders=[order_to_wire(asked)]))
    assert parse_order(order_to_wire(asked)) == asked


def test_an_order_of_an_older_service_knows_no_revision_of_keys() -> None:
    older = order_to_wire(order())
    for name in ("keys_revision", "stop_grace_s", "init", "pull"):
        del older[name]
    check("command", command(orders=[older]))
    assert parse_order(older) == order()


def test_unknown_fields_are_tolerated() -> None:
    body = command(new=1)
    body["orders"][0] |= {"new": 2}
    body["orders"][0]["limits"]["new"] = 3
    check("command", body)
    assert parse_command(body).orders == (order(),)


BAD_COMMANDS: list[Any] = [
    None,
    [],
    {},
    command(v=2),
    command(v="1"),
    command(host_id="7"),
    command(not_after=1.5),
    command(orders=[]),
    command(orders={}),
]


@pytest.mark.parametrize("body", BAD_COMMANDS)
def test_a_bad_command_is_refused_whole(body: Any) -> None:
    with pytest.raises(WireError):
        parse_command(body)
    assert not Draft202012Validator(schema("command")).is_valid(body)


BAD_FIELDS = [
    ("contract_id", 0),
    ("instance_id", "11"),
    ("generation", True),
    ("generation", 0),
    ("desired", "gone"),
    ("token", None),
    ("token", 0),
    ("end_at", -1),
    ("image", ""),
    ("image", None),
    ("ports", None),
    ("ports", [8080]),
    ("ports", ["8080"]),
    ("ports", [{"container": 0, "protocol": "tcp"}]),
    ("ports", [{"container": 8080, "protocol": "sctp"}]),
    ("ports", [{"container": 8080, "protocol": "tcp", "host": 65536}]),
    ("keys_revision", -1),
    ("keys_revision", None),
    ("stop_grace_s", 0),
    ("stop_grace_s", 121),
    ("init", 1),
    ("pull", "always"),
    ("gpus", []),
    ("gpus", [{"index": 0}]),
    ("limits", None),
    ("limits", {"gpus": "1/4"}),
]


@pytest.mark.parametrize(("name", "value"), BAD_FIELDS)
def test_a_bad_order_is_refused_alone(name: str, value: Any) -> None:
    bad = order_to_wire(order()) | {name: value}
    assert not Draft202012Validator(schema("command")).is_valid(command(orders=[bad]))
    parsed = parse_command(command(orders=[bad, order_to_wire(order(instance_id=12))]))
    assert [each.instance_id for each in parsed.orders] == [12]
    assert parsed.bad[0].instance_id == (None if name == "instance_id" else 11)


def test_a_port_of_an_older_service_is_read_and_published_nowhere() -> None:
    older = order_to_wire(order()) | {"ports": ["8080/tcp", {"container": 53, "protocol": "udp", "host": 40001}]}
    check("command", command(orders=[older]))
    read = parse_order(older)
    assert read.ports == (Port(8080, "tcp", None), Port(53, "udp", 40001))
    check("command", command(orders=[order_to_wire(read)]))
    assert parse_order(order_to_wire(read)) == read


def test_what_a_schema_cannot_say_is_refused_too() -> None:
    twice = order_to_wire(order())
    twice["gpus"] *= 2
    stopped_with_token = order_to_wire(order(desired="stopped")) | {"token": 3}
    unprintable = order_to_wire(order()) | {"image": "alpine\n"}
    for bad in (twice, stopped_with_token, unprintable):
        with pytest.raises(WireError):
            parse_order(bad)


def test_a_manifest_of_another_host_is_refused() -> None:
    body = {"v": 1, "host_id": HOST_ID, "orders": [order_to_wire(order())]}
    check("manifest", {"response": body})
    assert parse_manifest(body, HOST_ID)[0] == (order(),)
    with pytest.raises(WireError):
        parse_manifest(body, HOST_ID + 1)


def test_secrets_are_read_and_never_shown() -> None:
    body = {
        "env": {"A": "hush"},
        "entrypoint": None,
        "args": ["hush"],
        "onstart": "hush",
        "login": {"password": "hush"},
    }
    check("fetch", {"secrets": body})
    secrets = parse_secrets(json.dumps(body).encode())
    assert secrets == Secrets(**body)  # type: ignore[arg-type]
    assert "hush" not in repr(secrets)


@pytest.mark.parametrize(
    "plaintext", [b"hush", b'["hush"]', b'{"env": {"A": ["hush"]}}', b'{"env": {}, "args": "hush"}']
)
def test_bad_secrets_are_not_quoted(plaintext: bytes) -> None:
    with pytest.raises(WireError) as caught:
        parse_secrets(plaintext)
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_every_event_is_as_its_schema_says(rig: Rig) -> None:
    rig.daemon.sender.step()
    rig.give(order(), order(instance_id=12, token=2, gpus=(1,)), order(instance_id=13, desired="absent"))
    rig.engine.start(order(instance_id=50, token=3, gpus=(2,)), Secrets())
    rig.pass_time(15)
    rig.daemon.sender.step()
    assert len(rig.sink.sent) == 2
    for _, detail in rig.sink.sent:
        Draft202012Validator(schema("event") | {"$ref": "#/$defs/detail", "required": [], "properties": {}}).validate(
            detail
        )
    for _, claims in rig.events():
        check("event", claims)


def test_registration_is_as_its_schema_says() -> None:
    key = MachineKey.generate()
    answer = {"v": 1, "host_id": HOST_ID, "key_id": key.key_id, "event_bus_name": "bus", "region": "us-east-1"}
    check("register", {"response": answer})
    wrong = copy.deepcopy(answer) | {"host_id": "7"}
    assert not Draft202012Validator(schema("register")).is_valid({"response": wrong})
    Draft202012Validator(schema("event")["$defs"]["inventory"]).validate(inventory())


def test_what_a_host_says_of_itself_is_as_the_schema_says_and_may_be_left_out() -> None:
    validator = Draft202012Validator(schema("event")["$defs"]["inventory"])
    modes: dict[str, str | None] = {"args": None, "ssh": "x" * 1000}
    validator.validate(inventory() | say(modes, ["y" * 1000] * 20))
    validator.validate({name: value for name, value in inventory().items() if name not in ("modes", "not_ready")})
    assert not validator.is_valid(inventory() | {"modes": {"ssh": False}})
    assert not validator.is_valid(inventory() | {"not_ready": [None]})
