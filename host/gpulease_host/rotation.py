"""Replace the machine key, so that no crash and no lost answer leaves the host without one that is believed.

The new key is durable before it is sent, and the API answers the same key the same way. When an answer is lost, the old
key may be refused already: then the same request is signed with the new one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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

    def rotate(self) -> str:
        """Have a new key in force, or finish what was begun; its id. Raises ApiError: then it goes on later."""
        self.keys.make_next()
        self.finish()
        return self.keys.key_id

    def finish(self) -> None:
        """Bring the next key into force, if there is one. Raises ApiError."""
        new = self.keys.next
        if new is None:
            return
        old_id = self.keys.key_id
        body = {
            "signing_key": to_b64(new.signing_public),
            "sealing_key": to_b64(new.sealing_public),
            "proof": new.sign({"iss": str(self.host_id), "replaces": old_id}),
        }
        self._send(body, new)
        self.keys.promote()
        self.log.say("machine key replaced", key_id=new.key_id, former=old_id)

    def _send(self, body: dict[str, Any], new: MachineKey) -> None:
        try:
            self.open_api(self.keys.current).replace_key(body)
        except ApiRefusedError as error:
            if error.status != HTTPStatus.UNAUTHORIZED:
                self.keys.drop_next()
                raise
            self.open_api(new).replace_key(body)
