"""Delivery: every change of an invocation passes here, to the journal, the mailbox, the deadlines and the event bus."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

from local.ssm.mailbox import Mailbox
from local.ssm.messages import cancel_message, command_message, status_event
from local.ssm.model import Cancellation, Command, Invocation, JsonObject, Record
from local.ssm.replies import overdue
from local.ssm.store import Store

Emit = Callable[[JsonObject], None]


class Delivery:
    """The messages on their way, and the deadlines of invocations."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float],
        emit: Emit,
        is_online: Callable[[str], bool],
        account_id: str,
        region: str,
    ) -> None:
        self.mailbox = Mailbox(clock)
        self._store = store
        self._clock = clock
        self._emit = emit
        self._is_online = is_online
        self._account_id = account_id
        self._region = region
        self._deadlines: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._resume()

    def send(self, command: Command, invocations: list[Invocation]) -> None:
        """Record a command and hand it to its machines."""
        self._store.commit([command, *invocations])
        for invocation in invocations:
            self._watch(invocation)
            self._post(command, invocation)
            self._announce(invocation)

    def save(self, old: Invocation, new: Invocation, *, also: Iterable[Record] = ()) -> None:
        """Record a changed invocation; announce it if its status changed."""
        if new == old:
            return
        self._store.commit([new, *also])
        self._watch(new)
        if new.acknowledged or new.is_over:
            self.mailbox.discard(new.instance_id, new.key)
        if new.status != old.status:
            self._announce(new)

    def cancel(self, invocation: Invocation, cancellation: Cancellation) -> None:
        """Tell a machine to end a command it has taken."""
        cancelling = replace(invocation, status="Cancelling", status_details="Cancelling")
        self.save(invocation, cancelling, also=[cancellation])
        self.mailbox.post(cancellation.instance_id, cancel_message(cancellation, self._region))

    def drop(self, cancellation: Cancellation) -> None:
        """Forget a cancellation: the machine has it, or it came too late."""
        self._store.commit(deletes=[cancellation])
        self.mailbox.discard(cancellation.instance_id, cancellation.key)

    def expire(self) -> None:
        """End what ran out of time. Called by the timer and before every read, so no answer is out of date."""
        now = self._clock()
        for key, deadline in list(self._deadlines.items()):
            if deadline <= now:
                self._expire_one(key, now)
        self._arm()

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _resume(self) -> None:
        for invocation in self._store.all(Invocation):
            command = self._store.find(Command, invocation.command_id)
            if command is None or invocation.is_over:
                continue
            self._watch(invocation)
            if not invocation.acknowledged:
                self._post(command, invocation)
        for cancellation in self._store.all(Cancellation):
            self._deadlines[cancellation.key] = cancellation.deliver_before
            self.mailbox.post(cancellation.instance_id, cancel_message(cancellation, self._region))

    def _post(self, command: Command, invocation: Invocation) -> None:
        self.mailbox.post(invocation.instance_id, command_message(command, invocation.instance_id, self._region))

    def _watch(self, invocation: Invocation) -> None:
        if invocation.is_over:
            self._deadlines.pop(invocation.key, None)
        else:
            deadline = invocation.finish_before if invocation.acknowledged else invocation.deliver_before
            self._deadlines[invocation.key] = deadline
        self._arm()

    def _expire_one(self, key: str, now: float) -> None:
        invocation = self._store.find(Invocation, key)
        cancellation = self._store.find(Cancellation, key)
        if invocation is not None:
            online = self._is_online(invocation.instance_id)
            self.save(invocation, overdue(invocation, now, is_online=online))
        elif cancellation is not None:
            del self._deadlines[key]
            self.drop(cancellation)
        else:
            del self._deadlines[key]

    def _arm(self) -> None:
        self.close()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._deadlines:
            wait_s = max(0.0, min(self._deadlines.values()) - self._clock())
            self._timer = loop.call_later(wait_s, self.expire)

    def _announce(self, invocation: Invocation) -> None:
        event = status_event(invocation, self._region, self._account_id)
        try:
            asyncio.get_running_loop().call_soon(self._emit, event)
        except RuntimeError:
            self._emit(event)
