"""Draw numbers of the proxy that nobody holds. They are given out in the transaction that makes the contract.

The walk begins anywhere in the range, so that whoever rents at the same moment seldom wants the same numbers. One that
is taken between this look and that transaction is a lost commit, which is drawn for again.
"""

from rental.domain.errors import NoPortsFreeError
from rental.domain.ways_in import Proxy
from rental.service.ledger import Ledger

LOOK = 25
LOOKS = 80
"""So many numbers are looked at in so many reads at most: where none of 2000 in a row is free, hardly any is."""


def draw_proxy_ports(ledger: Ledger, proxy: Proxy, count: int) -> list[int]:
    """As many numbers that were free a moment ago; raises NoPortsFreeError."""
    ports = proxy.ports
    start = ledger.entropy.below(len(ports))
    found: list[int] = []
    for begin in range(0, min(len(ports), LOOK * LOOKS), LOOK):
        looked_at = [ports[(start + place) % len(ports)] for place in range(begin, min(begin + LOOK, len(ports)))]
        taken = ledger.store.read_proxy_ports(looked_at)
        found += [port for port in looked_at if port not in taken]
        if len(found) >= count:
            return found[:count]
    raise NoPortsFreeError("The proxy has no number left. Ask the operator for a longer range, or for mode args.")
