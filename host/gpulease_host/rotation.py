"""Replace the machine key, so that no crash and no lost answer leaves the host without one that is believed.

The new key is durable before it is sent, and the API answers the same key the same way. When an answer is lost, the old
key may be refused already: then the same request is signed with the new one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

from gpulease_host.api import ApiRefusedError
from gpulease_host.key_ring import KeyRing
from gpulease_host.log import Log
from gpulease_host.machine_key import MachineKey, to_b64


class KeyApi(Protocol):
    def replace_key(self, body: dict[str, Any]) -> Any: ...


@dataclass(frozen=True)
class Rotation:
    keys: KeyRing
    open_api: Callable[[MachineKey], KeyApi]
    """The API, as somebody asks who signs with this key."""
    host_id: int
    log: Log
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    """One at a time: a person may ask while the daemon finishes what was begun."""

    def rotate(self) -> str:
        """Have a new key in force, or finish what was begun; its id. Raises ApiError: then it goes on later."""
        with self._lock:
            self._bring_into_force(self.keys.make_next())
            return self.keys.key_id

    def finish(self) -> bool:
        """Bring the next key into force; whether there was one. Raises ApiError."""
        with self._lock:
            new = self.keys.next
            if new is not None:
                self._bring_into_force(new)
            return new is not None

    def _bring_into_force(self, new: MachineKey) -> None:
        old_id = self.keys.key_id
        body = {
            "signing_key": to_b64(new.signing_public),
            "sealing_key": to_b64(new.sealing_public),
            "proof": new.sign({"iss": str(self.host_id), "replaces": old_id}),
        }
        self._send(body, new)
        self.keys.promote(new)
        self.log.say("machine key replaced", key_id=new.key_id, former=old_id)

    def _send(self, body: dict[str, Any], new: MachineKey) -> None:
        """Whatever else it is refused with, an earlier request with the same key may still be taken in: it is kept."""
        try:
            self.open_api(self.keys.current).replace_key(body)
        except ApiRefusedError as error:
            if error.is_for_good:  # only the key in force is told so, and no other comes after it
                self.keys.drop_next()
            if error.status != HTTPStatus.UNAUTHORIZED:
                raise
            self._send_again(body, new)

    def _send_again(self, body: dict[str, Any], new: MachineKey) -> None:
        try:
            self.open_api(new).replace_key(body)
        except ApiRefusedError as error:
            if error.is_for_good:  # so the new one is in force; with it the daemon learns the rest
                self.keys.promote(new)
            raise
