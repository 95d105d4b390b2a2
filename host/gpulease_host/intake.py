"""What the daemon answers on its socket: takes commands, tells its state."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gpulease_host.admit import Again, Refused
from gpulease_host.api import ApiError
from gpulease_host.engine import EngineError
from gpulease_host.journal import JournalError
from gpulease_host.ledger import Ledger
from gpulease_host.log import Log
from gpulease_host.machine_key import from_b64
from gpulease_host.wire import WIRE_VERSION, WireError, parse_command
from gpulease_host.world import World


class CommandRefusedError(Exception):
    """The whole command is not for this host, or not for now."""


@dataclass(frozen=True)
class Intake:
    ledger: Ledger
    world: World
    host_id: int
    clock: Callable[[], float]
    attend: Callable[[int], None]
    """Have an instance worked on now."""
    say_again: Callable[[], None]
    """Report the state even if nothing changes."""
    state: Callable[[], dict[str, Any]]
    log: Log
    take_calls: Callable[[Sequence[str]], None]
    """Have what clients wait for answered."""
    rotate_key: Callable[[], str]
    """Replace the machine key; answers the new one's id."""
    accept_docker: Callable[[], dict[str, Any]]
    """Take Docker's data as it is for this host's."""
    faults: Callable[[], list[str]]
    """What is wrong with this machine, in sentences for its owner."""
    retired: Callable[[], str | None]
    """Why this is no host any more, once that is known."""

    def answer(self, request: str) -> tuple[Literal["ok", "no"], str]:
        """Answer one line: JSON, or why not."""
        operation, _, order = request.partition(" ")
        try:
            if operation == "accept":
                return "ok", json.dumps(self.accept(_decode(order)))
            if operation == "status":
                return "ok", json.dumps(self._status())
            if operation == "rotate-key":
                return "ok", json.dumps({"v": WIRE_VERSION, "key_id": self.rotate_key()})
            if operation == "accept-docker":
                return "ok", json.dumps(self.accept_docker())
        except ApiError as error:
            self.log.say("machine key not replaced", reason=str(error))
            return "no", f"The machine key was not replaced yet: {error}"
        except EngineError as error:
            self.log.say("Docker not accepted", reason=str(error))
            return "no", str(error)
        except (WireError, JournalError, CommandRefusedError) as error:
            self.log.say("command refused", reason=str(error))
            return "no", str(error)
        return "no", "the request is none of accept, status, rotate-key, accept-docker"

    def _status(self) -> dict[str, Any]:
        told = {"v": WIRE_VERSION, "host_id": self.host_id, "retired": self.retired(), "faults": self.faults()}
        return {**told, "state": self.state()}

    def accept(self, value: Any) -> dict[str, Any]:
        """Take a command: what is answered as accepted is in the journal. Raises as `answer` catches."""
        command = parse_command(value)
        if self.retired() is not None:
            raise CommandRefusedError("this host was given up: nothing is started, and nothing removed")
        if command.host_id != self.host_id:
            raise CommandRefusedError(f"the command is for host {command.host_id}; this is host {self.host_id}")
        if self.clock() > command.not_after:
            raise CommandRefusedError("the command came too late: its not_after has passed")
        self.take_calls(command.calls)
        accepted: list[int] = []
        refused = [{"instance_id": each.instance_id, "reason": each.reason} for each in command.bad]
        verdicts = self.ledger.admit(command.orders, command.not_after, self.world.run_id)
        for order, verdict in verdicts:
            if isinstance(verdict, Refused):
                refused.append({"instance_id": order.instance_id, "reason": verdict.reason})
                continue
            accepted.append(order.instance_id)
            self.attend(order.instance_id)
            if isinstance(verdict, Again):
                self.say_again()
        self.log.say("command taken", accepted=accepted, refused=refused)
        return {"v": WIRE_VERSION, "accepted": accepted, "refused": refused}


def _decode(order: str) -> Any:
    """base64url of JSON, as the Command document carries it. Raises WireError."""
    try:
        return json.loads(from_b64(order))
    except ValueError:
        raise WireError("the order is not base64url of JSON") from None
