"""Before a container starts, the API is asked whether it may, and for its secrets."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

from gpulease_host.api import ApiRefusedError, ApiUnreachableError
from gpulease_host.engine import Order, Secrets
from gpulease_host.key_ring import KeyRing
from gpulease_host.machine_key import MachineKeyError
from gpulease_host.wire import WireError, parse_secrets


class FetchApi(Protocol):
    def fetch(self, order: Order) -> Any: ...


@dataclass(frozen=True)
class Granted:
    secrets: Secrets = field(repr=False)


@dataclass(frozen=True)
class Denied:
    """The API says that this is not current: nothing starts."""

    reason: str


@dataclass(frozen=True)
class Unusable:
    """It may start, but what was sealed for it cannot be used here: it never will."""

    reason: str


@dataclass(frozen=True)
class Unreachable:
    """Nobody said yes or no; ask again."""

    reason: str


Permission = Granted | Denied | Unusable | Unreachable


class Permissions:
    def __init__(self, api: FetchApi, keys: KeyRing) -> None:
        self._api = api
        self._keys = keys

    def ask(self, order: Order) -> Permission:
        signed_with = self._keys.key_id
        try:
            answer = self._api.fetch(order)
        except ApiRefusedError as error:
            if error.status == HTTPStatus.UNAUTHORIZED and self._keys.may_have_replaced(signed_with):
                return Unreachable("Waits for the new machine key to be in force.")
            return Denied(f"The control plane does not let it start: {error}")
        except ApiUnreachableError as error:
            return Unreachable(f"Asks the control plane whether it may start: {error}")
        return self._open(answer, order.contract_id)

    def _open(self, answer: Any, contract_id: int) -> Permission:
        if not isinstance(answer, dict) or answer.get("v") != 1:
            return Unreachable("The control plane's answer to fetch cannot be read.")
        sealed = answer.get("sealed")
        if sealed is None:
            return Granted(Secrets())
        try:
            return Granted(parse_secrets(self._keys.unseal(str(answer.get("key_id")), str(sealed), contract_id)))
        except (MachineKeyError, WireError) as error:
            return Unusable(f"Its secrets cannot be used: {error}.")
