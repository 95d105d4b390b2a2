"""Before a container starts, the API is asked whether it may, and for its secrets; and for ssh keys that changed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Protocol

from gpulease_host.api import ApiError, ApiRefusedError, ApiUnreachableError
from gpulease_host.engine import Order, Secrets
from gpulease_host.key_ring import KeyRing
from gpulease_host.machine_key import MachineKeyError
from gpulease_host.wire import WireError, parse_secrets, parse_ssh_keys


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


class KeysUnknownError(Exception):
    """Nobody said which ssh keys hold now; ask again."""


class Permissions:
    def __init__(self, api: FetchApi, keys: KeyRing) -> None:
        self._api = api
        self._keys = keys

    def ask(self, order: Order) -> Permission:
        try:
            answer = self._fetch(order)
        except ApiRefusedError as error:
            return Denied(f"The control plane does not let it start: {error}")
        except ApiUnreachableError as error:
            return Unreachable(f"Asks the control plane whether it may start: {error}")
        if not _is_readable(answer):
            return Unreachable("The control plane's answer to fetch cannot be read.")
        return self._open(answer, order.contract_id)

    def ask_keys(self, order: Order) -> tuple[str, ...]:
        """The ssh keys of an instance that runs, which need no machine key to be read. Raises KeysUnknownError."""
        try:
            answer = self._fetch(order)
            if not _is_readable(answer):
                raise KeysUnknownError("The control plane's answer to fetch cannot be read.")
            return parse_ssh_keys(answer)
        except (ApiError, WireError) as error:
            raise KeysUnknownError(f"Its ssh keys could not be fetched: {error}.") from error

    def _fetch(self, order: Order) -> Any:
        """Raises ApiError."""
        signed_with = self._keys.key_id
        try:
            return self._api.fetch(order)
        except ApiRefusedError as error:
            if error.status == HTTPStatus.UNAUTHORIZED and self._keys.may_have_replaced(signed_with):
                raise ApiUnreachableError("the new machine key is not in force yet") from error
            raise

    def _open(self, answer: dict[str, Any], contract_id: int) -> Permission:
        sealed = answer.get("sealed")
        try:
            keys = parse_ssh_keys(answer)
            if sealed is None:
                return Granted(Secrets(ssh_keys=keys))
            opened = parse_secrets(self._keys.unseal(str(answer.get("key_id")), str(sealed), contract_id))
            return Granted(replace(opened, ssh_keys=keys))
        except (MachineKeyError, WireError) as error:
            return Unusable(f"Its secrets cannot be used: {error}.")


def _is_readable(answer: Any) -> bool:
    return isinstance(answer, dict) and answer.get("v") == 1
