"""Messages waiting for machines: a long poll that wakes at once, and delivery again until acknowledged.

Nothing here is durable. The journal holds the records; after a start every unacknowledged message is simply due again.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from local.ssm.model import JsonObject

MAX_MESSAGES = 10


@dataclass
class _Letter:
    message: JsonObject
    visible_at: float


class Mailbox:
    """One queue a machine; a newer poll of the same machine ends the older one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._letters: dict[str, dict[str, _Letter]] = {}
        self._polls: dict[str, asyncio.Future[bool]] = {}

    def post(self, instance_id: str, message: JsonObject) -> None:
        """Make a message due now, and wake the machine's poll."""
        self._letters.setdefault(instance_id, {})[message["MessageId"]] = _Letter(message, 0.0)
        self._wake(instance_id, go_on=True)

    def holds(self, instance_id: str, message_id: str) -> bool:
        """Say whether a message still waits for its acknowledgement."""
        return message_id in self._letters.get(instance_id, {})

    def discard(self, instance_id: str, message_id: str) -> None:
        """Forget a message: acknowledged, refused, or no longer wanted."""
        letters = self._letters.get(instance_id, {})
        letters.pop(message_id, None)
        if not letters:
            self._letters.pop(instance_id, None)

    async def poll(self, instance_id: str, visibility_s: float, wait_s: float) -> list[JsonObject]:
        """Take what is due for a machine; wait for something up to `wait_s`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        self._wake(instance_id, go_on=False)
        while True:
            taken = self._take(instance_id, visibility_s)
            remaining_s = deadline - loop.time()
            if taken or remaining_s <= 0:
                return taken
            if not await self._sleep(instance_id, min(remaining_s, self._next_due_s(instance_id))):
                return []

    def _take(self, instance_id: str, visibility_s: float) -> list[JsonObject]:
        now = self._clock()
        due = [letter for letter in self._letters.get(instance_id, {}).values() if letter.visible_at <= now]
        for letter in due[:MAX_MESSAGES]:
            letter.visible_at = now + visibility_s
        return [letter.message for letter in due[:MAX_MESSAGES]]

    def _next_due_s(self, instance_id: str) -> float:
        now = self._clock()
        waits = [letter.visible_at - now for letter in self._letters.get(instance_id, {}).values()]
        return max(0.01, min(waits, default=float("inf")))

    async def _sleep(self, instance_id: str, seconds: float) -> bool:
        poll: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._polls[instance_id] = poll
        try:
            return await asyncio.wait_for(poll, seconds)
        except TimeoutError:
            return True
        finally:
            if self._polls.get(instance_id) is poll:
                del self._polls[instance_id]

    def _wake(self, instance_id: str, *, go_on: bool) -> None:
        poll = self._polls.pop(instance_id, None)
        if poll is not None and not poll.done():
            poll.set_result(go_on)
