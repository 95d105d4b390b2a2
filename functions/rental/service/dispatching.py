"""Dispatch: turn bells into one command per host, from what the table says now."""

import base64
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rental.domain.book import Bell
from rental.domain.ids import HostId
from rental.ports import Clock, HostCommands, Store
from rental.service.orders import order_of

COMMAND_VALID_S = 120


@dataclass(frozen=True)
class Dispatching:
    """The only part of the service that reaches into hosts."""

    store: Store
    commands: HostCommands
    clock: Clock

    def group(self, bells: Iterable[Bell]) -> dict[HostId, list[Bell]]:
        """Join what is pending for each host."""
        grouped: dict[HostId, list[Bell]] = defaultdict(list)
        for bell in bells:
            grouped[bell.host_id].append(bell)
        return grouped

    def dispatch(self, host_id: HostId, bells: Sequence[Bell]) -> int:
        """Send one command with the current order of every instance rung for; returns how many orders went.

        A bell of a generation that is no longer wanted is answered by the newer order. A retired host is sent nothing:
        its contracts are over, and an order to remove them would destroy what only its owner may give up.
        """
        host = self.store.read_host(host_id)
        if host is None or host.node_id is None or host.is_retired:
            return 0
        orders = self._orders(bells)
        if orders:
            command: dict[str, Any] = {
                "v": 1,
                "host_id": host_id,
                "not_after": self.clock.now() + COMMAND_VALID_S,
                "orders": orders,
            }
            if calls := [bell.call_id for bell in bells if bell.call_id is not None]:
                command["calls"] = calls
            self.commands.send(host.node_id, encode(command))
        return len(orders)

    def _orders(self, bells: Sequence[Bell]) -> list[dict[str, Any]]:
        wanted = {bell.instance_id for bell in bells}
        contracts = self.store.read_contracts(dict.fromkeys(bell.contract_id for bell in bells))
        return [
            order_of(contract, instance)
            for contract in contracts
            for instance in contract.instances
            if instance.id in wanted
        ]


def encode(command: dict[str, Any]) -> str:
    """The command as base64url without padding: nothing in it can mean anything to a shell."""
    text = json.dumps(command, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()
