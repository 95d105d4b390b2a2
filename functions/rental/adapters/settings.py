"""Settings come from environment variables, read once on first use, never defaulted: a missing one is named."""

import os
from dataclasses import dataclass, fields
from typing import TypeVar, get_type_hints

T = TypeVar("T")


class MissingSettingError(Exception):
    """An environment variable is not set."""


def from_env(kind: type[T]) -> T:
    """The dataclass `kind` with each field from the variable of the same name in capitals."""
    hints = get_type_hints(kind)
    values = {}
    for each in fields(kind):  # type: ignore[arg-type]
        name = each.name.upper()
        text = os.environ.get(name)
        if text is None:
            raise MissingSettingError(f"The environment variable {name} is not set.")
        values[each.name] = _parse(hints[each.name], text)
    return kind(**values)


def _parse(hint: type, text: str) -> str | int | bool:
    if hint is bool:
        return text == "true"
    return int(text) if hint is int else text


@dataclass(frozen=True)
class TableSettings:
    table_name: str


@dataclass(frozen=True)
class LivenessSettings:
    liveness_table_name: str


@dataclass(frozen=True)
class QueueSettings:
    urgent_queue_url: str
    normal_queue_url: str


@dataclass(frozen=True)
class MachineSettings:
    state_machine_arn: str


@dataclass(frozen=True)
class TermsSettings:
    cell: int
    grace_s: int
    provision_timeout_s: int


@dataclass(frozen=True)
class CommandSettings:
    command_document_name: str


@dataclass(frozen=True)
class HostSettings:
    cell: int
    allow_simulated_gpus: bool
    stage: str
    host_role_name: str


@dataclass(frozen=True)
class EventSettings:
    event_bus_name: str


@dataclass(frozen=True)
class TunnelSettings:
    tunnel_ends: str
    """JSON: a list of `TunnelEnd`."""


@dataclass(frozen=True)
class AddressSettings:
    api_url: str


@dataclass(frozen=True)
class AuthoritySettings:
    authority_key_id: str
    zone: str


@dataclass(frozen=True)
class PackageSettings:
    host_package_bucket: str
    host_package_key: str


@dataclass(frozen=True)
class TokenSettings:
    token_key_arn: str


@dataclass(frozen=True)
class ProxySettings:
    """`proxy` is `none`, or JSON: a `Proxy`."""

    proxy: str
