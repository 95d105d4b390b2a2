"""What travels between the control plane and a host, read strictly: schemas/command.v1.json and its kin.

Unknown fields are ignored, so that the control plane may speak first of what a host does not know yet. Everything
else that is not exactly as written is refused with a sentence: a command is root on this machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from gpulease_host.engine import Desired, Limits, Order, OrderedGpu, Port, Pull, Secrets, Transport
from gpulease_host.launch import ssh_keys

WIRE_VERSION = 1
_DESIRED = ("running", "stopped", "absent")
_PULLS = ("missing", "changed")
_MAX_STOP_GRACE_S = 120
_MAX_ID = 2**53 - 1
_MAX_PORT = 65535
_LEAST_PROXY_PORT = 1024
_JUPYTER_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")
_LIMIT_INTEGERS = (
    "cpu_weight_permille",
    "memory_baseline_bytes",
    "memory_limit_bytes",
    "shm_bytes",
    "pids",
    "disk_bytes",
    "io_weight_permille",
)


class WireError(Exception):
    """What came over the wire is not what the schema says."""


@dataclass(frozen=True)
class BadOrder:
    """An order that cannot be read; the others of its command still can."""

    instance_id: int | None
    reason: str


@dataclass(frozen=True)
class Command:
    host_id: int
    not_after: int
    orders: tuple[Order, ...]
    bad: tuple[BadOrder, ...]
    calls: tuple[str, ...] = ()
    """What clients wait for, by name."""


def parse_command(value: Any) -> Command:
    """Read a decoded command. Raises WireError when the whole of it cannot be used."""
    body = _object(value, "command")
    _check_version(body)
    orders, bad = _parse_orders(_list(body, "orders"))
    if not orders and not bad:
        raise WireError("orders is empty")
    calls = [each for each in body.get("calls") or [] if isinstance(each, str)]
    return Command(_integer(body, "host_id", 1), _integer(body, "not_after", 0), orders, bad, tuple(calls))


@dataclass(frozen=True)
class AskedCall:
    """What a client waits for, still sealed."""

    contract_id: int
    instance_id: int
    kind: Literal["exec", "logs"]
    key_id: str
    sealed: str
    reply_key: str


def parse_call(value: Any) -> AskedCall:
    """Raises WireError."""
    body = _object(value, "call")
    _check_version(body)
    kind = body.get("kind")
    if kind not in ("exec", "logs"):
        raise WireError("the call's kind is not known")
    return AskedCall(
        contract_id=_integer(body, "contract_id", 1, _MAX_ID),
        instance_id=_integer(body, "instance_id", 1, _MAX_ID),
        kind=kind,
        key_id=str(body.get("key_id")),
        sealed=str(body.get("sealed")),
        reply_key=str(body.get("reply_key")),
    )


def parse_asked(kind: str, plaintext: bytes) -> dict[str, Any]:
    """What the client asked, unsealed: see schemas/call.v1.json. Raises WireError."""
    try:
        body = _object(json.loads(plaintext), "asked")
    except ValueError:
        raise WireError("what is asked is not JSON") from None
    if kind == "exec":
        command = _list(body, "command")
        if not command or not all(isinstance(each, str) for each in command):
            raise WireError("the command is no list of texts")
        return {"command": command, "timeout_s": _integer(body, "timeout_s", 1, 60)}
    since, cursor = body.get("since"), body.get("cursor")
    return {
        "tail": _integer(body, "tail", 1, 1000),
        "since": None if since is None else _integer(body, "since", 0),
        "cursor": None if cursor is None else str(cursor),
    }


def parse_sealed_key_ids(value: Any) -> frozenset[str] | None:
    """Machine keys to which something may still be sealed; None where the service does not say."""
    named = value.get("sealed_key_ids") if isinstance(value, dict) else None
    return frozenset(map(str, named)) if isinstance(named, list) else None


def parse_manifest(value: Any, host_id: int) -> tuple[tuple[Order, ...], tuple[BadOrder, ...]]:
    """Read the whole wanted state of this host. Raises WireError when it is not for this host or unreadable."""
    body = _object(value, "manifest")
    _check_version(body)
    if _integer(body, "host_id", 1) != host_id:
        raise WireError("the manifest is of another host")
    return _parse_orders(_list(body, "orders"))


def parse_order(value: Any) -> Order:
    """Read one order. Raises WireError."""
    body = _object(value, "order")
    desired = body.get("desired")
    if desired not in _DESIRED:
        raise WireError("desired is none of running, stopped, absent")
    order = Order(
        contract_id=_integer(body, "contract_id", 1, _MAX_ID),
        instance_id=_integer(body, "instance_id", 1, _MAX_ID),
        generation=_integer(body, "generation", 1),
        desired=cast(Desired, desired),
        token=_token(body, desired == "running"),
        end_at=_integer(body, "end_at", 0),
        delete_after=_integer(body, "delete_after", 0),
        image=_text(body, "image"),
        mode=_text(body, "mode"),
        ports=tuple(_parse_port(each) for each in _list(body, "ports")),
        gpus=tuple(_parse_gpu(each) for each in _list(body, "gpus")),
        limits=_parse_limits(body.get("limits")),
        start_by=None if body.get("start_by") is None else _integer(body, "start_by", 0),
        keys_revision=_integer(body, "keys_revision", 0) if "keys_revision" in body else 0,
        proxy_ssh_port=_proxy_port(body, "proxy_ssh_port"),
        proxy_jupyter_port=_proxy_port(body, "proxy_jupyter_port"),
        stop_grace_s=_stop_grace_s(body),
        init=_flag(body, "init"),
        pull=_pull(body),
    )
    _check_gpus(order)
    return order


def order_to_wire(order: Order) -> dict[str, Any]:
    """The order as it came; what is written here can be read by `parse_order`."""
    limits = order.limits
    return {
        "contract_id": order.contract_id,
        "instance_id": order.instance_id,
        "generation": order.generation,
        "desired": order.desired,
        "token": order.token,
        "end_at": order.end_at,
        "delete_after": order.delete_after,
        "image": order.image,
        "mode": order.mode,
        "ports": [{"container": port.container, "protocol": port.protocol, "host": port.host} for port in order.ports],
        "gpus": [{"index": gpu.index, "uuid": gpu.uuid} for gpu in order.gpus],
        "limits": {"gpus": limits.gpus, **{name: getattr(limits, name) for name in _LIMIT_INTEGERS}},
        "start_by": order.start_by,
        "keys_revision": order.keys_revision,
        "proxy_ssh_port": order.proxy_ssh_port,
        "proxy_jupyter_port": order.proxy_jupyter_port,
        "stop_grace_s": order.stop_grace_s,
        "init": order.init,
        "pull": order.pull,
    }


def parse_secrets(plaintext: bytes) -> Secrets:
    """Read what was sealed to this machine. Raises WireError, which never quotes what it read."""
    try:
        body = _object(json.loads(plaintext), "secrets")
    except ValueError:
        raise WireError("the secrets are not JSON") from None
    return Secrets(
        env=_string_map(body.get("env"), "env"),
        entrypoint=_strings(body.get("entrypoint"), "entrypoint"),
        args=_strings(body.get("args"), "args"),
        onstart=_optional_text(body.get("onstart"), "onstart"),
        login=None if body.get("login") is None else _string_map(body["login"], "login"),
        jupyter_token=_parse_token(body.get("jupyter_token")),
    )


def parse_ssh_keys(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """Who may come in by ssh, in the answer to fetch; an older service names none. Raises WireError."""
    try:
        return ssh_keys.checked(_strings(answer.get("ssh_keys"), "ssh_keys") or ())
    except ssh_keys.SshKeyError as error:
        raise WireError(f"ssh_keys: {error}") from None


def _parse_orders(values: list[Any]) -> tuple[tuple[Order, ...], tuple[BadOrder, ...]]:
    orders: list[Order] = []
    bad: list[BadOrder] = []
    for value in values:
        try:
            orders.append(parse_order(value))
        except WireError as error:
            bad.append(BadOrder(_instance_id_of(value), f"the order cannot be read: {error}"))
    return tuple(orders), tuple(bad)


def _instance_id_of(value: Any) -> int | None:
    instance_id = value.get("instance_id") if isinstance(value, dict) else None
    return instance_id if type(instance_id) is int else None


def _check_version(body: Mapping[str, Any]) -> None:
    if body.get("v") != WIRE_VERSION or type(body["v"]) is not int:
        raise WireError(f"version {body.get('v')!r} is not known here; this host speaks {WIRE_VERSION}")


def _check_gpus(order: Order) -> None:
    if order.desired == "running" and not order.gpus:
        raise WireError("gpus is empty")
    if len({gpu.uuid for gpu in order.gpus}) != len(order.gpus):
        raise WireError("gpus names one GPU twice")


def _token(body: Mapping[str, Any], wanted_running: bool) -> int | None:
    if wanted_running:
        return _integer(body, "token", 1)
    if body.get("token") is not None:
        raise WireError("token is given, but desired is not running")
    return None


def _parse_gpu(value: Any) -> OrderedGpu:
    body = _object(value, "gpus[]")
    return OrderedGpu(_integer(body, "index", 0), _text(body, "uuid"))


def _parse_port(value: Any) -> Port:
    """An older service names the port only, as in `8080/tcp`."""
    if isinstance(value, str):
        number, _, kind = value.partition("/")
        value = {"container": int(number) if number.isdecimal() else None, "protocol": kind}
    body = _object(value, "ports[]")
    protocol = body.get("protocol")
    if protocol not in ("tcp", "udp"):
        raise WireError("protocol of ports[] is neither tcp nor udp")
    host = None if body.get("host") is None else _integer(body, "host", 1, _MAX_PORT)
    return Port(_integer(body, "container", 1, _MAX_PORT), cast(Transport, protocol), host)


def _proxy_port(body: Mapping[str, Any], name: str) -> int | None:
    return None if body.get(name) is None else _integer(body, name, _LEAST_PROXY_PORT, _MAX_PORT)


def _stop_grace_s(body: Mapping[str, Any]) -> int | None:
    return None if body.get("stop_grace_s") is None else _integer(body, "stop_grace_s", 1, _MAX_STOP_GRACE_S)


def _pull(body: Mapping[str, Any]) -> Pull:
    value = body.get("pull", "missing")
    if value not in _PULLS:
        raise WireError("pull is neither missing nor changed")
    return cast(Pull, value)


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise WireError(f"{name} is neither true nor false")
    return value


def _parse_token(value: Any) -> str | None:
    """It travels in a header and in links."""
    if value is not None and not (isinstance(value, str) and _JUPYTER_TOKEN.fullmatch(value)):
        raise WireError("jupyter_token is not of 16 to 128 letters, digits, - and _")
    return value


def _parse_limits(value: Any) -> Limits:
    body = _object(value, "limits")
    integers = (_integer(body, name, 0 if name.endswith("_bytes") else 1) for name in _LIMIT_INTEGERS)
    return Limits(_text(body, "gpus"), *integers)


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise WireError(f"{name} is not an object")
    return value


def _list(body: Mapping[str, Any], name: str) -> list[Any]:
    value = body.get(name)
    if not isinstance(value, list):
        raise WireError(f"{name} is not a list")
    return value


def _integer(body: Mapping[str, Any], name: str, least: int, most: int = 2**63 - 1) -> int:
    value = body.get(name)
    if type(value) is not int or not least <= value <= most:
        raise WireError(f"{name} is not an integer from {least} to {most}")
    return value


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value or not value.isprintable():
        raise WireError(f"{name} is not a printable text")
    return value


def _optional_text(value: Any, name: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise WireError(f"{name} is not a text")
    return value


def _strings(value: Any, name: str) -> list[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise WireError(f"{name} is not a list of texts")
    return value


def _string_map(value: Any, name: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise WireError(f"{name} is not a map of texts")
    return value
