"""`gpulease-host register`: makes this machine a host, once.

The key is durable before it is sent, and the API answers the same key the same way, so a registration that breaks
off anywhere is simply run again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from gpulease_host.engine import Engine
from gpulease_host.journal import Journal
from gpulease_host.machine_key import MachineKey, to_b64
from gpulease_host.settings import HostConfig, Settings, SettingsError


class RegisterApi(Protocol):
    def register(self, body: dict[str, Any]) -> Any: ...


def register(
    settings: Settings,
    api_url: str,
    token: str,
    simulate_gpus: int,
    engine: Engine,
    open_api: Callable[[str], RegisterApi],
) -> HostConfig:
    """Raises SettingsError, MachineKeyError, ApiError, EngineError."""
    settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = _own_key(settings)
    answer = open_api(api_url).register(
        {
            "registration_token": token,
            "signing_key": to_b64(key.signing_public),
            "sealing_key": to_b64(key.sealing_public),
            "inventory": engine.inventory(),
        }
    )
    config = _read_answer(answer, api_url, simulate_gpus, key)
    if settings.config_path.exists() and HostConfig.load(settings.config_path).host_id != config.host_id:
        raise SettingsError(f"{settings.folder} belongs to another host. Use another GPULEASE_HOST_DIR.")
    if not settings.journal_path.exists() and not settings.config_path.exists():
        Journal.create(settings.journal_path, config.host_id)
    config.save(settings.config_path)
    return config


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
