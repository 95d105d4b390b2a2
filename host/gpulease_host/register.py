"""`gpulease-host register`: makes this machine a host, once.

The key is durable before it is sent, and the API answers the same key the same way, so a registration that breaks
off anywhere is simply run again.

A machine whose host was given up comes back as a new one. First it asks in the old one's name, and only when it is told
that this is no host any more, everything of it is removed: containers, networks, and its files, which are kept aside.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from requests.auth import AuthBase

from gpulease_host.api import ApiRefusedError, MachineAuth
from gpulease_host.engine import OpenEngine
from gpulease_host.files import sync_folder
from gpulease_host.journal import Journal
from gpulease_host.key_ring import KeyRing
from gpulease_host.machine_key import MachineKey, to_b64
from gpulease_host.removal import remove_all
from gpulease_host.settings import HostConfig, Settings, SettingsError, lock_folder


class RegisterApi(Protocol):
    def register(self, body: dict[str, Any]) -> Any: ...

    def manifest(self) -> Any: ...


@dataclass(frozen=True)
class Machine:
    """What registration has of the world: the API, signed by nobody or as a host, and the engine of a host."""

    open_api: Callable[[str, AuthBase | None], RegisterApi]
    open_engine: OpenEngine
    clock: Callable[[], float] = time.time


def register(
    settings: Settings,
    api_url: str,
    token: str,
    simulate_gpus: int,
    machine: Machine,
) -> HostConfig:
    """Raises SettingsError, MachineKeyError, ApiError, EngineError."""
    _check_private(api_url)
    settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _leave_former_host(settings, token, machine)
    key = _own_key(settings)
    answer = machine.open_api(api_url, None).register(
        {
            "registration_token": token,
            "signing_key": to_b64(key.signing_public),
            "sealing_key": to_b64(key.sealing_public),
            "inventory": machine.open_engine(0, simulate_gpus).inventory(),
        }
    )
    config = _read_answer(answer, api_url, simulate_gpus, key)
    if settings.config_path.exists() and HostConfig.load(settings.config_path).host_id != config.host_id:
        raise SettingsError(f"{settings.folder} belongs to another host. Use another GPULEASE_HOST_DIR.")
    if not settings.journal_path.exists() and not settings.config_path.exists():
        Journal.create(settings.journal_path, config.host_id)
    config.save(settings.config_path)
    machine.open_engine(config.host_id, simulate_gpus).inventory()  # settles what images must leave to tenants
    return config


def _check_private(api_url: str) -> None:
    """What is sent now and later is readable to whoever is on the way, unless TLS is; or nobody is on the way."""
    url = urlsplit(api_url)
    name = url.hostname or ""
    is_this_machine = name == "localhost" or name.endswith(".localhost") or _is_loopback(name)
    if not name or url.scheme not in ("http", "https") or (url.scheme == "http" and not is_this_machine):
        raise SettingsError(f"{api_url} is no URL of https. Give the API's own, as its deployment told it.")


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _leave_former_host(settings: Settings, token: str, machine: Machine) -> None:
    """Remove what another host has left in this folder, if that host is retired. Raises SettingsError if it is not."""
    if not settings.config_path.exists():
        return
    former = HostConfig.load(settings.config_path)
    if token.partition(".")[0] == str(former.host_id):
        return
    engine = machine.open_engine(former.host_id, former.simulate_gpus)
    containers = engine.containers()
    # Without its key nobody can ask; then there must be nothing left, as after a crash in the middle of this.
    may_go = _is_retired(former, settings, machine) if settings.key_path.exists() else not containers
    if not may_go:
        raise SettingsError(
            f"{settings.folder} belongs to host {former.host_id}, which was not given up. "
            "Use another GPULEASE_HOST_DIR, or declare that host lost first."
        )
    with lock_folder(settings.pid_path):
        remove_all(engine, containers, settings.stop_grace_s)
        engine.remove_networks()
        _put_aside(settings, former.host_id)


def _is_retired(former: HostConfig, settings: Settings, machine: Machine) -> bool:
    """Asked with the key in force: that may be the next one, whose answer was lost."""
    ring = KeyRing.open(settings.key_path)
    for key in filter(None, (ring.current, ring.next)):
        auth = MachineAuth(key, former.host_id, machine.clock)
        try:
            machine.open_api(former.api_url, auth).manifest()
        except ApiRefusedError as error:
            if error.is_for_good:
                return True
    return False


def _put_aside(settings: Settings, host_id: int) -> None:
    """The configuration goes last: until then it is all found again. Former keys open nothing that is left."""
    for path in (*settings.folder.glob(f"{settings.key_path.name}*"), settings.tunnel_key_path, settings.gpus_path):
        path.unlink(missing_ok=True)
    for path in (settings.journal_path, settings.config_path):
        if path.exists():
            path.replace(path.with_name(f"{path.name}.retired-{host_id}"))
    sync_folder(settings.folder)


def _own_key(settings: Settings) -> MachineKey:
    if settings.key_path.exists():
        return MachineKey.load(settings.key_path)
    key = MachineKey.generate()
    key.save(settings.key_path)
    return key


def _read_answer(answer: Any, api_url: str, simulate_gpus: int, key: MachineKey) -> HostConfig:
    try:
        config = HostConfig(
            api_url=api_url,
            host_id=answer["host_id"],
            key_id=answer["key_id"],
            event_bus_name=answer["event_bus_name"],
            region=answer["region"],
            simulate_gpus=simulate_gpus,
        )
    except (KeyError, TypeError) as error:
        raise SettingsError(f"The API's answer cannot be read: {error!r}") from error
    if type(config.host_id) is not int or config.key_id != key.key_id:
        raise SettingsError("The API answered for another key than this machine's.")
    return config
